"""HPR-Bench items: held-out users with their MUB and the gold value of every tag.

Paper: §4 (HPR-Bench). Differs from the paper: gold comes from the simulator's truth, judged on the emitted log (NA
where it holds too little evidence), not from experts; users are those of the split "bench", which no training has seen.
"""

import dataclasses
import pathlib
import zlib
from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.split import SplitConfig, split_of
from usergpt_jax.schema import TagSchema

ITEMS_FILE = "items.parquet"


@dataclasses.dataclass(frozen=True)
class Item:
    """One user.

    Attributes:
      user_id: the user.
      mub: the log as the model reads it.
      gold: tag name to value, every tag.
      raw_tokens: size of the raw log.
      mub_tokens: size of the MUB.
    """

    user_id: str
    mub: str
    gold: Mapping[str, str]
    raw_tokens: int
    mub_tokens: int


def read_users(run: pathlib.Path, tag_schema: TagSchema) -> list[Item]:
    """All users of a run with MUB and truth, ordered by a hash of their id, so that any first n are a fair sample.

    Raises:
      InputError: a file is missing or broken, or truth has a value outside its tag's set.
    """
    truth_file = run / "1_events" / "users.parquet"
    if not truth_file.exists():
        raise InputError(f"{truth_file} is missing: the benchmark needs the truth of each user")
    schema.check_columns(pq.read_schema(truth_file), schema.truth_schema(tag_schema.names), str(truth_file))
    parts = sorted((run / "2_mub").glob("part-*.parquet"))
    for part in parts:
        schema.check_columns(pq.read_schema(part), schema.MUB_SCHEMA, str(part))
    truth = pl.read_parquet(truth_file, columns=["user_id", *tag_schema.names])
    _check_values(truth, tag_schema, truth_file)
    mub = pl.read_parquet(parts, columns=["user_id", "mub", "raw_tokens", "mub_tokens"])
    joined = mub.join(truth, on="user_id", how="inner").iter_rows(named=True)
    items = [
        Item(
            row["user_id"],
            row["mub"],
            {name: row[name] for name in tag_schema.names},
            row["raw_tokens"],
            row["mub_tokens"],
        )
        for row in joined
    ]
    return sorted(items, key=lambda item: (zlib.crc32(f"order:{item.user_id}".encode()), item.user_id))


def split_users(users: list[Item], split: SplitConfig) -> tuple[list[Item], list[Item]]:
    """The users that baselines train on (split "sft") and those of the benchmark (split "bench"), disjoint.

    Raises:
      InputError: either is empty.
    """
    by_split: dict[str, list[Item]] = {"sft": [], "rl": [], "bench": []}
    for item in users:
        by_split[split_of(item.user_id, split)].append(item)
    for name in ("sft", "bench"):
        if not by_split[name]:
            raise InputError(f"config.split: none of {len(users)} users is in the split {name!r}; simulate more users")
    return by_split["sft"], by_split["bench"]


def write_items(path: pathlib.Path, items: list[Item], tag_schema: TagSchema) -> None:
    """Writes the benchmark: user_id, mub, raw_tokens, mub_tokens and one column `gold_<tag>` a tag."""
    columns = {name: [getattr(item, name) for item in items] for name in ("user_id", "mub", "raw_tokens", "mub_tokens")}
    gold = {f"gold_{name}": [item.gold[name] for item in items] for name in tag_schema.names}
    pq.write_table(pa.table({**columns, **gold}), path)


def _check_values(truth: pl.DataFrame, tag_schema: TagSchema, path: pathlib.Path) -> None:
    for tag in tag_schema.tags:
        if tag.is_open:
            continue
        odd = truth.filter(~pl.col(tag.name).is_in([*tag.values, schema.NA]))
        if odd.height:
            value, user = odd[tag.name][0], odd["user_id"][0]
            raise schema.SchemaError(
                f"{path}: user {user}: {tag.name} is {value!r}, expected NA or one of {', '.join(tag.values)}"
            )
