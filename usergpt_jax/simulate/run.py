"""The stage `simulate`: users.parquet (truth), event parts and provenance parts, streamed batch by batch."""

import dataclasses
import datetime
import itertools
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from tqdm import tqdm

from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import run_config, to_dataclass, to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, emit, engine, truth
from usergpt_jax.tags import HPR18

STAGE = "1_events"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class SimulateConfig:
    """How many users, over which days.

    Attributes:
      n_users: users, numbered from 0.
      start: first day of the log, ISO date.
      as_of: day after the last; truth is read here.
      users_per_batch: users simulated at once; decides memory, never results.
      users_per_part: users a file.
    """

    n_users: int
    start: str
    as_of: str
    users_per_batch: int
    users_per_part: int


def run(config: ConfigDict, on_change: str) -> None:
    """Simulates the users of a config into `1_events/`.

    Raises:
      InputError: a config value is out of range.
    """
    top = run_config(config)
    section: Any = config.simulate
    settings = to_dataclass(SimulateConfig, section, "simulate")
    start_day, as_of_day = days_of(settings)
    if top.tag_schema != HPR18.name:
        raise InputError(f"config.tag_schema: the simulator makes truth for {HPR18.name!r}, got {top.tag_schema!r}")
    decides = {"simulate": to_plain(settings), "seed": top.seed, "tag_schema": top.tag_schema}
    stage = run_dir.open_stage(top.run_dir, STAGE, config=decides, format=_FORMAT, on_change=on_change)
    folder = pathlib.Path(top.run_dir) / STAGE
    if stage is None:
        print(f"{folder}: reused")
        return
    stage.clear()
    counts = _write_parts(stage.path, settings, top.seed, start_day, as_of_day)
    stage.finish(counts)
    print(f"{folder}: " + ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in counts.items()))


def days_of(settings: SimulateConfig) -> tuple[int, int]:
    """The epoch days of start and as_of, after checking every value.

    Raises:
      InputError: a count is below 1, or a date is malformed, outside the festival tables, or as_of is not after start.
    """
    for name in ("n_users", "users_per_batch", "users_per_part"):
        if getattr(settings, name) < 1:
            raise InputError(f"config.simulate.{name}: expected at least 1, got {getattr(settings, name)}")
    start, as_of = _date("start", settings.start), _date("as_of", settings.as_of)
    if as_of <= start:
        raise InputError(f"config.simulate.as_of: expected a day after start {start}, got {as_of}")
    return calendar.epoch_day(start), calendar.epoch_day(as_of)


def _date(name: str, text: str) -> datetime.date:
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"config.simulate.{name}: expected a date like 2025-07-01, got {text!r}") from None
    first, last = calendar.FIRST_YEAR, calendar.LAST_YEAR
    if not first <= date.year <= last:
        raise InputError(f"config.simulate.{name}: expected a year in {first}-{last}, got {date}")
    return date


def _write_parts(
    folder: pathlib.Path, settings: SimulateConfig, seed: int, start_day: int, as_of_day: int
) -> dict[str, int]:
    """Writes all files; a part holds `users_per_part` users, cut out of the stream of batches."""
    counts = {"users": 0, "users_without_events": 0, "events": 0, "parts": 0}
    batches = engine.simulate_batches(
        n_users=settings.n_users,
        users_per_batch=settings.users_per_batch,
        seed=seed,
        start_day=start_day,
        as_of_day=as_of_day,
    )
    writers: dict[str, pq.ParquetWriter] = {}
    with (
        pq.ParquetWriter(folder / "users.parquet", schema.truth_schema(HPR18.names), compression="zstd") as users,
        tqdm(total=settings.n_users, unit="user", desc="simulate") as progress,
    ):
        for batch in batches:
            users.write_table(truth.truth_table(batch, start_day, as_of_day))
            for first, last in _pieces(counts["users"], len(batch.user_ids), settings.users_per_part):
                if counts["users"] % settings.users_per_part == 0:
                    _close(writers)
                    writers = _open_part(folder, counts["parts"])
                    counts["parts"] += 1
                _write_piece(writers, batch, first, last)
                counts["users"] += last - first
            counts["events"] += len(batch.events.user)
            counts["users_without_events"] += len(batch.user_ids) - len(np.unique(batch.events.user))
            progress.update(len(batch.user_ids))
    _close(writers)
    return counts


def _pieces(done: int, n_batch: int, per_part: int) -> list[tuple[int, int]]:
    """Row ranges of a batch that fall into one part each, when `done` users were written before."""
    inner = range(per_part - done % per_part, n_batch, per_part)
    edges = [0, *inner, n_batch]
    return list(itertools.pairwise(edges))


def _write_piece(writers: dict[str, pq.ParquetWriter], batch: engine.Batch, first: int, last: int) -> None:
    low, high = np.searchsorted(batch.events.user, [first, last])
    columns = {field.name: getattr(batch.events, field.name) for field in dataclasses.fields(batch.events)}
    events = emit.Events(**{name: values[low:high] for name, values in columns.items()})
    writers["part"].write_table(emit.event_table(events, batch.user_ids))
    writers["provenance"].write_table(emit.provenance_table(events, batch.user_ids))


def _open_part(folder: pathlib.Path, number: int) -> dict[str, pq.ParquetWriter]:
    schemas: dict[str, pa.Schema] = {"part": schema.EVENT_SCHEMA, "provenance": schema.PROVENANCE_SCHEMA}
    return {
        name: pq.ParquetWriter(folder / f"{name}-{number:05d}.parquet", columns, compression="zstd")
        for name, columns in schemas.items()
    }


def _close(writers: dict[str, pq.ParquetWriter]) -> None:
    for writer in writers.values():
        writer.close()
