"""The truth of a batch: `users.parquet` rows with hidden personas, life events and observable tags.

Everything is done column by column for the whole batch; no user is looked at alone.
"""

import datetime
import functools
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.schema import NA
from usergpt_jax.simulate import calendar, evolution, observe, persona, places, preferences, priors, travel
from usergpt_jax.simulate.engine import Batch, InterestChanges, Trips
from usergpt_jax.tags import HPR18

_BIRTHS = ("first_birth_day", "second_birth_day", "third_birth_day")


def hidden_values(
    course: persona.Course, state: evolution.State, interests: np.ndarray, locale: str
) -> dict[str, np.ndarray]:
    """The hidden value of each tag, as text arrays [U]; `interests` [U, 5] are numbers, -1 where none."""
    names, provinces = _city_columns(locale)
    tags, city = np.asarray(state.tags), np.asarray(state.city)
    values = {tag: np.array(HPR18[tag].values)[tags[:, column]] for column, tag in enumerate(evolution.STATE_TAGS)}
    return values | {
        "resident_city": names[city],
        "resident_province": provinces[city],
        "hometown_province": provinces[np.asarray(course.hometown_city)],
        "interests": observe.interest_text(interests),
    }


def truth_table(batch: Batch, start_day: int, as_of_day: int, locale: str) -> pa.Table:
    """The truth of a batch in `schema.truth_schema`; `start_day` and `as_of_day` are epoch days."""
    hidden = hidden_values(batch.course, batch.state, batch.interests, locale)
    seen = observe.observed_tags(hidden, batch.interests, batch.events, as_of_day * 86_400, locale)
    as_of = datetime.datetime.combine(calendar.date_of(as_of_day), datetime.time())
    told = np.stack([seen[tag] != NA for tag in HPR18.names], axis=1)
    columns = {
        "user_id": pa.array(batch.user_ids, pa.string()),
        "as_of": pa.array([as_of], pa.timestamp("s")).take(pa.array(np.zeros(len(told), np.int32))),
        **{tag: pa.array(seen[tag], pa.string()) for tag in HPR18.names},
        "observable": _lists(told, HPR18.names),
        "persona": persona_json(batch.course, hidden, as_of_day, locale).to_arrow().cast(pa.string()),
        "life_events": life_events_json(batch, start_day, as_of_day, locale).to_arrow().cast(pa.string()),
    }
    return pa.table(columns).cast(schema.truth_schema(HPR18.names))


def persona_json(course: persona.Course, hidden: dict[str, np.ndarray], as_of_day: int, locale: str) -> pl.Series:
    """The hidden persona of each user as a JSON object [U]: all tags, and what no tag tells.

    Beyond the tags: age_days, birth_date, hometown_city, children_born, has_car, avoided_sources, income_cny,
    household_size, household, settlement, big_five (z-scores), preferences (drawn_to and averse_to).
    """
    of = {name: np.asarray(values) for name, values in course._asdict().items()}
    births = np.stack([of[name] for name in _BIRTHS], axis=1)
    avoided, wanted = of["avoided"] > 0, of["preferences"]
    names = preferences.load(locale).names
    columns: dict[str, Any] = {tag: hidden[tag] for tag in HPR18.names} | {
        "age_days": as_of_day - of["birth_day"],
        "birth_date": _dates(of["birth_day"]),
        "hometown_city": _city_columns(locale)[0][of["hometown_city"]],
        "children_born": _birth_dates(births, as_of_day),
        "has_car": of["car"] > 0,
        "avoided_sources": _lists(avoided, schema.SOURCES),
        "income_cny": of["income_cny"],
        "household_size": of["household_size"],
        "household": np.array(persona.HOUSEHOLD_KINDS)[of["household_kind"]],
        "settlement": np.array(priors.SETTLEMENTS)[of["settlement"]],
    }
    big_five = pl.DataFrame({name: of["big_five"][:, i] / 100 for i, name in enumerate(persona.BIG_FIVE)})
    wishes = {
        "drawn_to": _series(_lists(wanted > 0, names)),
        "averse_to": _series(_lists(wanted < 0, names)),
    }
    table = pl.DataFrame({name: _series(values) for name, values in columns.items()}).with_columns(
        big_five.select(pl.struct(pl.all()).alias("big_five")).to_series(),
        pl.DataFrame(wishes).select(pl.struct(pl.all()).alias("preferences")).to_series(),
    )
    return table.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def life_events_json(batch: Batch, start_day: int, as_of_day: int, locale: str) -> pl.Series:
    """What happened to each user in [start_day, as_of_day) as a JSON list of {"date", "event"}, in order [U]."""
    parts = [
        evolution.life_events(batch.course, start_day, as_of_day, locale).select(
            pl.col("user").cast(pl.Int64), pl.col("date").cast(pl.String), pl.col("event").cast(pl.String)
        ),
        _trip_events(batch.trips, start_day, as_of_day, locale),
        _interest_events(batch.interest_changes, start_day, as_of_day),
    ]
    told = (
        pl.concat(parts)
        .sort("user", "date", "event")
        .select("user", pl.struct("date", "event").struct.json_encode().alias("json"))
        .group_by("user", maintain_order=True)
        .agg(pl.format("[{}]", pl.col("json").str.join(",")).alias("json"))
    )
    users = pl.DataFrame({"user": np.arange(len(batch.user_ids))}, schema={"user": pl.Int64})
    return users.join(told, on="user", how="left", maintain_order="left")["json"].fill_null("[]")


def _trip_events(trips: Trips, start_day: int, as_of_day: int, locale: str) -> pl.DataFrame:
    names = pl.Series(places.load(locale).destinations)
    kinds = pl.Series(travel.KINDS)
    days = np.asarray(trips.end_day) - np.asarray(trips.start_day)
    table = pl.DataFrame(
        {
            "user": np.asarray(trips.user, np.int64),
            "day": np.asarray(trips.start_day, np.int32),
            "city": names.gather(np.asarray(trips.destination)),
            "kind": kinds.gather(np.asarray(trips.kind)),
            "days": days,
        }
    )
    unit = pl.when(pl.col("days") == 1).then(pl.lit("day")).otherwise(pl.lit("days"))
    text = pl.format("trip to {} ({}), {} {}", "city", "kind", "days", unit)
    return _dated(table.with_columns(text.alias("event")), start_day, as_of_day)


def _interest_events(changes: InterestChanges, start_day: int, as_of_day: int) -> pl.DataFrame:
    names = pl.Series(list(priors.INTERESTS))
    table = pl.DataFrame(
        {
            "user": np.asarray(changes.user, np.int64),
            "day": np.asarray(changes.day, np.int32),
            "interest": names.gather(np.asarray(changes.interest)),
            "gained": np.asarray(changes.gained, bool),
        }
    )
    verb = pl.when("gained").then(pl.lit("took up")).otherwise(pl.lit("dropped"))
    return _dated(table.with_columns(pl.format("{} {}", verb, "interest").alias("event")), start_day, as_of_day)


def _dated(table: pl.DataFrame, start_day: int, as_of_day: int) -> pl.DataFrame:
    inside = table.filter(pl.col("day").is_between(start_day, as_of_day, closed="left"))
    return inside.select("user", pl.col("day").cast(pl.Date).cast(pl.String).alias("date"), "event")


def _birth_dates(births: np.ndarray, as_of_day: int) -> pa.ListArray:
    born = births < as_of_day
    return _listed(born, pa.array(births[born].astype(np.int32), pa.int32()).cast(pa.date32()).cast(pa.string()))


def _lists(chosen: np.ndarray, words: tuple[str, ...]) -> pa.ListArray:
    """The words where `chosen` [U, W], as lists of text [U]."""
    numbers = pa.array(np.nonzero(chosen)[1].astype(np.int32))
    return _listed(chosen, pa.DictionaryArray.from_arrays(numbers, pa.array(words, pa.string())).cast(pa.string()))


def _listed(chosen: np.ndarray, values: pa.Array) -> pa.ListArray:
    ends = np.cumsum(chosen.sum(axis=1))
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]).astype(np.int32)), values)


def _dates(days: np.ndarray) -> pl.Series:
    return pl.Series(days.astype(np.int32)).cast(pl.Date).cast(pl.String)


def _series(values: Any) -> pl.Series:
    return pl.Series(pl.from_arrow(values)) if isinstance(values, pa.Array) else pl.Series(values)


@functools.cache
def _city_columns(locale: str) -> tuple[np.ndarray, np.ndarray]:
    """Name and province of each city."""
    cities = places.load(locale).cities
    return np.array([city.name for city in cities]), np.array([city.province for city in cities])
