"""The stage `simulate`: events, provenance and truth of all users, part by part, and the catalogue behind them.

Parts are ranges of users. Threads make parts side by side, several processes (see `launch/simulate.py`) share the
parts out by range, and a killed stage goes on with the parts that are not complete: the files are the same in any case.
"""

import concurrent.futures
import dataclasses
import datetime
import json
import pathlib
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from usergpt_jax import locales, schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import require_positive, run_config, to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, catalog, engine, part_file, quality, truth
from usergpt_jax.simulate import world as world_lib
from usergpt_jax.tags import HPR18, schema_name

STAGE = "1_events"
_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class SimulateConfig:
    """How many users, of which market, over which days.

    Attributes:
      locale: market: a folder of `usergpt_jax/data/locales/`.
      n_users: users, numbered from 0.
      start: first day of the log, ISO date.
      as_of: day after the last; truth is read here.
      users_per_part: users a file.
      users_per_batch: users simulated at once; decides memory and speed, never results.
      workers: parts made side by side in one process; decides memory and speed, never results.
    """

    locale: str
    n_users: int
    start: str
    as_of: str
    users_per_part: int
    users_per_batch: int
    workers: int


def run(config: ConfigDict, on_change: str) -> None:
    """Simulates the users of a config into `1_events/`.

    Raises:
      InputError: a config value is out of range, or a data file of the locale does not hold together.
    """
    top = run_config(config)
    section: Any = config.simulate
    settings = to_dataclass(SimulateConfig, section, "simulate")
    start_day, as_of_day = days_of(settings)
    if top.seed < 0:
        raise InputError(f"config.seed: expected 0 or more, got {top.seed}")
    if top.tag_schema != schema_name(settings.locale):
        wanted = schema_name(settings.locale)
        raise InputError(f"config.tag_schema: locale {settings.locale!r} needs {wanted!r}, got {top.tag_schema!r}")
    content = {"locale": settings.locale, "n_users": settings.n_users, "start": settings.start, "as_of": settings.as_of}
    layout = {"users_per_part": settings.users_per_part}
    decides = {"simulate": content | layout, "seed": top.seed, "tag_schema": top.tag_schema}
    stage = _open(top.run_dir, decides, on_change)
    folder = pathlib.Path(top.run_dir) / STAGE
    if stage is None:
        print(f"{folder}: reused")
        return
    maker = engine.Engine(locale=settings.locale, seed=top.seed, start_day=start_day, as_of_day=as_of_day)
    _make_parts(stage.path, settings, maker, start_day, as_of_day)
    _meet("parts made")
    if jax.process_index() == 0:
        counts = _gather(stage.path, settings)
        stage.finish(counts)
        shown = ("users", "users_without_events", "events", "parts")
        print(f"{folder}: " + ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in shown))
    _meet("stage finished")


def days_of(settings: SimulateConfig) -> tuple[int, int]:
    """The epoch days of start and as_of, after checking every value.

    Raises:
      InputError: a count is below 1, the locale is unknown, or a date is malformed, outside the festival tables, or
        as_of is not after start.
    """
    locales.check(settings.locale)
    names = ("n_users", "users_per_part", "users_per_batch", "workers")
    require_positive({name: getattr(settings, name) for name in names}, "simulate")
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


def _meet(where: str) -> None:
    """Waits for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)


def _open(folder: str, decides: dict[str, Any], on_change: str) -> run_dir.Stage | None:
    """Opens the stage, process 0 first; what complete parts an earlier attempt left is kept."""
    stage = None
    for turn in range(min(jax.process_count(), 2)):
        if turn == min(jax.process_index(), 1):
            stage = run_dir.open_stage(folder, STAGE, config=decides, format=_FORMAT, on_change=on_change)
        _meet(f"stage opened {turn}")
    return stage


def _make_parts(
    folder: pathlib.Path, settings: SimulateConfig, maker: engine.Engine, start_day: int, as_of_day: int
) -> None:
    """Makes the parts that fall to this process and are not complete."""
    n_parts = -(-settings.n_users // settings.users_per_part)
    mine = np.array_split(np.arange(n_parts), jax.process_count())[jax.process_index()]
    todo = [part for part in mine.tolist() if part_file.counts_of(folder, part) is None]
    total = sum(len(_numbers(settings, part)) for part in todo)

    def make(part: int, progress: tqdm) -> None:
        writer = part_file.PartWriter(folder, part, settings.locale)
        try:
            for numbers in _batches(settings, part):
                made = maker.simulate(numbers, pad_to=min(settings.users_per_batch, settings.users_per_part))
                world = world_lib.world_of(made.course, made.trips, start_day, as_of_day)
                events, counts = quality.assure(made.events, world, settings.locale)
                batch = dataclasses.replace(made, events=events)
                known = truth.truth_table(batch, start_day, as_of_day, settings.locale)
                writer.add(batch.user_ids, batch.events, known, counts)
                progress.update(len(numbers))
            writer.close()
        except BaseException:
            writer.abandon()
            raise

    with (
        tqdm(total=total, unit="user", desc="simulate", disable=None) as progress,
        concurrent.futures.ThreadPoolExecutor(settings.workers) as pool,
    ):
        for made in [pool.submit(make, part, progress) for part in todo]:
            made.result()


def _numbers(settings: SimulateConfig, part: int) -> np.ndarray:
    """User numbers of a part."""
    first = part * settings.users_per_part
    return np.arange(first, min(first + settings.users_per_part, settings.n_users))


def _batches(settings: SimulateConfig, part: int) -> list[np.ndarray]:
    """User numbers of the batches of a part."""
    numbers = _numbers(settings, part)
    return [numbers[n : n + settings.users_per_batch] for n in range(0, len(numbers), settings.users_per_batch)]


def _gather(folder: pathlib.Path, settings: SimulateConfig) -> dict[str, Any]:
    """One truth file and one sum of counts out of those of the parts; and the catalogue."""
    n_parts = -(-settings.n_users // settings.users_per_part)
    counts: dict[str, Any] = {"users": 0, "users_without_events": 0, "events": 0, "parts": n_parts}
    assured = quality.Counts()
    truth_schema = schema.truth_schema(HPR18.names)
    with pq.ParquetWriter(folder / "users.parquet", truth_schema, compression="zstd", store_schema=False) as users:
        for part in range(n_parts):
            users.write_table(pq.read_table(part_file.path_of(folder, "users", part)).cast(truth_schema))
            found = part_file.counts_of(folder, part)
            assert found is not None
            assured += quality.Counts(**found.pop("quality"))
            for name, number in found.items():
                counts[name] += number
    pq.write_table(catalog.gold_table(settings.locale), folder / "items.parquet", compression="zstd")
    quality_text = json.dumps(assured.to_json(), indent=2)
    (folder / "quality.json").write_text(quality_text + "\n", encoding="utf-8")
    for part in range(n_parts):
        part_file.path_of(folder, "users", part).unlink()
        (folder / f"counts-{part:05d}.json").unlink()
    for leftover in folder.glob("*.tmp"):
        leftover.unlink()
    return counts | {"sessions": assured.sessions, "sessions_rejected": assured.sessions_rejected}
