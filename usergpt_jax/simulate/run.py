"""The stage `simulate`: users.parquet (truth), event parts and provenance parts, streamed batch by batch.

Paper: §2.1.
"""

import dataclasses
import datetime
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from tqdm import tqdm

from usergpt_jax import gazetteer, schema
from usergpt_jax.core import config as config_lib
from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, dynamics, emit, evolution, observe, persona, places, priors
from usergpt_jax.tags import HPR18

STAGE = "1_events"


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


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one batch of users left: their ids, events and truth rows."""

    user_ids: list[str]
    events: emit.Events
    truth: pa.Table


def run(config: ConfigDict, on_change: str) -> None:
    """Simulates the users of a config into `1_events/`.

    Raises:
      InputError: a config value is out of range.
    """
    settings = config_lib.to_dataclass(SimulateConfig, config.simulate, "simulate")
    start_day, as_of_day = _check(settings)
    if config.tag_schema != HPR18.name:
        raise InputError(f"config.tag_schema: the simulator makes truth for {HPR18.name!r}, got {config.tag_schema!r}")
    stage = run_dir.open_stage(
        config.run_dir,
        STAGE,
        config={"simulate": config_lib.to_plain(settings), "seed": config.seed, "tag_schema": config.tag_schema},
        on_change=on_change,
    )
    if stage is None:
        print(f"{pathlib.Path(config.run_dir) / STAGE}: reused")
        return
    stage.clear()
    counts = _write_parts(stage.path, settings, config.seed, start_day, as_of_day)
    stage.finish(counts)
    print(
        f"{pathlib.Path(config.run_dir) / STAGE}: " + ", ".join(f"{value:,} {name}" for name, value in counts.items())
    )


def _check(settings: SimulateConfig) -> tuple[int, int]:
    """The epoch days of start and as_of, after checking every value."""
    for name in ("n_users", "users_per_batch", "users_per_part"):
        if getattr(settings, name) < 1:
            raise InputError(f"config.simulate.{name}: expected at least 1, got {getattr(settings, name)}")
    days = []
    for name in ("start", "as_of"):
        try:
            date = datetime.date.fromisoformat(getattr(settings, name))
        except ValueError:
            raise InputError(
                f"config.simulate.{name}: expected a date like 2025-07-01, got {getattr(settings, name)!r}"
            ) from None
        if not calendar.FIRST_YEAR <= date.year <= calendar.LAST_YEAR:
            raise InputError(
                f"config.simulate.{name}: expected a year in {calendar.FIRST_YEAR}-{calendar.LAST_YEAR}, got {date}"
            )
        days.append(calendar.epoch_day(date))
    if days[1] <= days[0]:
        raise InputError(f"config.simulate.as_of: expected a day after start {settings.start}, got {settings.as_of}")
    return days[0], days[1]


def simulate_batches(settings: SimulateConfig, seed: int, start_day: int, as_of_day: int) -> Iterator[Batch]:
    """Simulates the users batch by batch; user i depends on `seed` and i alone."""
    days = np.arange(start_day, as_of_day)
    marks = calendar.day_features(start_day, len(days))
    discount = calendar.sale_discount(marks)
    table = dynamics.tables()
    size = min(settings.users_per_batch, settings.n_users)
    simulate = _compiled()
    for first in range(0, settings.n_users, size):
        numbers = np.arange(first, first + size)  # the last batch is simulated in full and cut
        count = min(size, settings.n_users - first)
        made = simulate(jax.random.key(seed), jnp.asarray(numbers), jnp.asarray(days), jnp.asarray(marks), table)
        course, state, sessions = jax.tree.map(lambda array: np.asarray(array)[:count], made)
        user_ids = [f"u{number:07d}" for number in numbers[:count]]
        events = emit.flatten(sessions, start_day, discount)
        yield Batch(user_ids, events, _truth(user_ids, course, state, events, start_day, as_of_day))


@functools.cache
def _compiled():
    def simulate(root, numbers, days, marks, table):
        def one(number):
            course_key, log_key = jax.random.split(jax.random.fold_in(root, number))
            as_of_day = days[-1] + 1
            course = persona.sample_course(course_key, as_of_day)
            sessions = dynamics.simulate_user(log_key, course, days, marks, table)
            return course, evolution.state_at(course, as_of_day), sessions

        return jax.vmap(one)(numbers)

    return jax.jit(simulate)


def hidden_values(course: persona.Course, state: evolution.State) -> dict[str, np.ndarray]:
    """The hidden value of each tag, as text arrays [U]."""
    provinces = np.array([city.province for city in places.CITIES])
    values = {
        tag: np.array(HPR18[tag].values)[state.tags[:, column]] for column, tag in enumerate(evolution.STATE_TAGS)
    }
    values["resident_city"] = np.array([city.name for city in places.CITIES])[state.city]
    values["resident_province"] = provinces[state.city]
    values["hometown_province"] = provinces[course.hometown_city]
    values["interests"] = np.array(
        [", ".join(priors.INTERESTS[i] for i in row if i >= 0) for row in np.asarray(course.interests)]
    )
    return values


def _truth(
    user_ids: list[str],
    course: persona.Course,
    state: evolution.State,
    events: emit.Events,
    start_day: int,
    as_of_day: int,
) -> pa.Table:
    hidden = hidden_values(course, state)
    seen = observe.observed_tags(hidden, np.asarray(course.interests), events, as_of_day * 86_400)
    rows: list[dict[str, Any]] = []
    for row, user_id in enumerate(user_ids):
        own = {name: np.asarray(values)[row].tolist() for name, values in course._asdict().items()}
        portrait = {tag: str(hidden[tag][row]) for tag in HPR18.names}
        portrait |= {
            "age_days": as_of_day - own["birth_day"],
            "birth_date": calendar.date_of(own["birth_day"]).isoformat(),
            "hometown_city": gazetteer.cities()[own["hometown_city"]].name,
            "children_born": [
                calendar.date_of(own[name]).isoformat()
                for name in ("first_birth_day", "second_birth_day")
                if own[name] < as_of_day
            ],
            "avoided_sources": [s for s, avoided in zip(schema.SOURCES, own["avoided"], strict=True) if avoided],
        }
        rows.append(
            {
                "user_id": user_id,
                "as_of": datetime.datetime.combine(calendar.date_of(as_of_day), datetime.time()),
                **{tag: str(seen[tag][row]) for tag in HPR18.names},
                "persona": json.dumps(portrait),
                "life_events": json.dumps(evolution.life_events(own, start_day, as_of_day)),
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.truth_schema(HPR18.names))


def _write_parts(folder: pathlib.Path, settings: SimulateConfig, seed: int, start_day: int, as_of_day: int) -> dict:
    """Writes all files; a part holds `users_per_part` users, cut out of the stream of batches."""
    counts = {"users": 0, "users_without_events": 0, "events": 0, "parts": 0}
    truths: list[pa.Table] = []
    writers: dict[str, pq.ParquetWriter] = {}
    batches = simulate_batches(settings, seed, start_day, as_of_day)
    with tqdm(total=settings.n_users, unit="user", desc="simulate") as progress:
        for batch in batches:
            first = 0
            while first < len(batch.user_ids):
                if counts["users"] % settings.users_per_part == 0:
                    _close(writers)
                    writers = _open_part(folder, counts["parts"])
                    counts["parts"] += 1
                room = settings.users_per_part - counts["users"] % settings.users_per_part
                last = min(first + room, len(batch.user_ids))
                inside = (batch.events.user >= first) & (batch.events.user < last)
                events = emit.Events(**{k: v[inside] for k, v in vars(batch.events).items()})
                writers["part"].write_table(emit.event_table(events, batch.user_ids))
                writers["provenance"].write_table(emit.provenance_table(events, batch.user_ids))
                counts["users"] += last - first
                counts["events"] += len(events.user)
                first = last
            counts["users_without_events"] += len(batch.user_ids) - len(np.unique(batch.events.user))
            truths.append(batch.truth)
            progress.update(len(batch.user_ids))
    _close(writers)
    pq.write_table(pa.concat_tables(truths), folder / "users.parquet")
    return counts


def _open_part(folder: pathlib.Path, number: int) -> dict[str, pq.ParquetWriter]:
    return {
        "part": pq.ParquetWriter(folder / f"part-{number:05d}.parquet", schema.EVENT_SCHEMA, compression="zstd"),
        "provenance": pq.ParquetWriter(
            folder / f"provenance-{number:05d}.parquet", schema.PROVENANCE_SCHEMA, compression="zstd"
        ),
    }


def _close(writers: dict[str, pq.ParquetWriter]) -> None:
    for writer in writers.values():
        writer.close()
