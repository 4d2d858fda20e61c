"""Answers of a refiner on disk, so that a title is refined once in the life of a refiner.

    <folder>/<refiner>-<identity>/segment-<unique>.parquet    one batch each, renamed into place when it is whole

A kill loses at most the batch in work. Each identity has its own folder, so two refiners never mix; two processes may
write at once. Reading is one scan and one join. Answers that came of an unreachable server are not kept.
"""

import collections
import os
import pathlib
import uuid
from typing import NamedTuple

import polars as pl
from tqdm import tqdm

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.refiners.answers import SCHEMA, UNREACHABLE, Answers

_MAX_SEGMENTS = 32  # more are merged into one
_KEYS = ("title", "category")


class Refiner(NamedTuple):
    """A refiner: `name` and `identity` say which answers are its own; `answers` is asked `batch_titles` at a time."""

    name: str
    identity: str
    answers: Answers
    batch_titles: int


class Looked(NamedTuple):
    """Answers in the order asked for, and counts: known, made, fallback_malformed, fallback_unreachable."""

    answers: pl.DataFrame
    counts: dict[str, int]


def refiner_folder(folder: str | os.PathLike[str], refiner: Refiner) -> pathlib.Path:
    """Where a refiner's answers lie."""
    return pathlib.Path(folder) / f"{refiner.name}-{refiner.identity[:16]}"


def look_up(folder: str | os.PathLike[str], refiner: Refiner, pairs: pl.DataFrame) -> Looked:
    """Answers to distinct pairs, from the cache where it has them.

    Args:
      folder: of the cache; made if absent.
      refiner: who answers.
      pairs: `title`, `category` (perhaps null), distinct.

    Raises:
      InputError: a segment cannot be read.
    """
    own = refiner_folder(folder, refiner)
    own.mkdir(parents=True, exist_ok=True)
    pairs = pairs.select(_KEYS)
    known = _read(own)
    missing = pairs.join(known, on=_KEYS, how="anti", nulls_equal=True, maintain_order="left")
    made = []
    batches = range(0, missing.height, refiner.batch_titles)
    for start in tqdm(batches, desc=f"refine ({refiner.name})", unit="batch", disable=len(batches) < 2):
        batch = refiner.answers(missing.slice(start, refiner.batch_titles)).select(list(SCHEMA))
        kept = batch.filter(pl.col("fallback").ne_missing(UNREACHABLE))
        if kept.height:
            _write(own, kept)
        made.append(batch)
    _merge(own)
    table = pl.concat([known, *made]) if made else known
    answers = pairs.join(table, on=_KEYS, how="left", nulls_equal=True, maintain_order="left")
    reasons = collections.Counter(answers["fallback"].drop_nulls())
    counts = {"known": pairs.height - missing.height, "made": missing.height}
    return Looked(answers, counts | {f"fallback_{reason}": n for reason, n in sorted(reasons.items())})


def _read(own: pathlib.Path) -> pl.DataFrame:
    segments = sorted(own.glob("segment-*.parquet"))
    if not segments:
        return pl.DataFrame(schema=SCHEMA)
    for segment in segments:
        _check(segment)
    table = pl.concat([pl.read_parquet(segment, columns=list(SCHEMA)) for segment in segments])
    return table if len(segments) == 1 else table.unique(_KEYS, keep="first", maintain_order=True)


def _check(segment: pathlib.Path) -> None:
    try:
        found = pl.read_parquet_schema(segment)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{segment}: not readable ({error}); remove it, and its titles are refined again") from None
    if dict(found) != SCHEMA:
        raise InputError(f"{segment}: columns {', '.join(found)}, expected {', '.join(SCHEMA)}; remove it")


def _write(own: pathlib.Path, table: pl.DataFrame) -> None:
    name = uuid.uuid4().hex
    partial = own / f"{name}.partial"
    with partial.open("wb") as file:
        table.write_parquet(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, own / f"segment-{name}.parquet")


def _merge(own: pathlib.Path) -> None:
    """Joins many small segments; killed half-way, it leaves answers twice, which reading does not mind."""
    segments = sorted(own.glob("segment-*.parquet"))
    if len(segments) <= _MAX_SEGMENTS:
        return
    _write(own, _read(own))
    for segment in segments:
        segment.unlink(missing_ok=True)
