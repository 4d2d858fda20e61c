"""Pseudo-labels: what the curriculum takes as right for each user and tag."""

import pathlib

import polars as pl
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import TagSchema
from usergpt_jax.tasks import rules

SOURCES = ("truth", "rules")


def pseudo_labels(source: str, events: pathlib.Path, mubs: pl.DataFrame, tags: TagSchema) -> list[dict[str, str]]:
    """Labels of every user, in the order of `mubs`.

    Args:
      source: "truth" reads `users.parquet` of a simulated log, where the simulator's own rule has put NA wherever the
        log holds too little evidence; "rules" applies RULE(U) to the MUB, for a log without truth.
      events: the folder of the event log.
      mubs: users and their MUBs.
      tags: the tags to label.

    Raises:
      InputError: the source is unknown, or there is no truth to read.

    Paper: §3.3. Differs from the paper: its rule reads platform data that nobody else has; a simulator knows the truth.
    """
    if source == "rules":
        return [rules.predict(mub, tags) for mub in mubs["mub"]]
    if source != "truth":
        raise InputError(f"config.curriculum.labels: {source!r} is not one of {', '.join(SOURCES)}")
    path = events / "users.parquet"
    if not path.exists():
        raise InputError(f"{path} is missing: a log without truth needs --config.curriculum.labels=rules")
    schema.check_columns(pq.read_schema(path), schema.truth_schema(tags.names), str(path))
    truth = pl.read_parquet(path, columns=["user_id", *tags.names])
    joined = mubs.select("user_id").join(truth, on="user_id", how="left", maintain_order="left")
    if joined.null_count().row(0) != (0,) * joined.width:
        missing = joined.filter(pl.any_horizontal(pl.all().is_null()))["user_id"][0]
        raise InputError(f"{path}: no truth for user {missing!r}")
    return joined.select(tags.names).to_dicts()
