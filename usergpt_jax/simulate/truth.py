"""The truth of a batch: `users.parquet` rows with hidden personas, life events and observable tags."""

import datetime
import json
from typing import Any

import numpy as np
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.simulate import calendar, evolution, observe, persona, places, priors
from usergpt_jax.simulate.engine import Batch
from usergpt_jax.tags import HPR18


def hidden_values(course: persona.Course, state: evolution.State) -> dict[str, np.ndarray]:
    """The hidden value of each tag, as text arrays [U]."""
    cities = np.array([city.name for city in places.CITIES])
    provinces = np.array([city.province for city in places.CITIES])
    tags, city = np.asarray(state.tags), np.asarray(state.city)
    values = {tag: np.array(HPR18[tag].values)[tags[:, column]] for column, tag in enumerate(evolution.STATE_TAGS)}
    return values | {
        "resident_city": cities[city],
        "resident_province": provinces[city],
        "hometown_province": provinces[np.asarray(course.hometown_city)],
        "interests": np.array([_interest_text(row) for row in np.asarray(course.interests)]),
    }


def truth_table(batch: Batch, start_day: int, as_of_day: int) -> pa.Table:
    """The truth of a batch in `schema.truth_schema`; `start_day` and `as_of_day` are epoch days."""
    hidden = hidden_values(batch.course, batch.state)
    seen = observe.observed_tags(hidden, np.asarray(batch.course.interests), batch.events, as_of_day * 86_400)
    courses = {name: np.asarray(values).tolist() for name, values in batch.course._asdict().items()}
    as_of = datetime.datetime.combine(calendar.date_of(as_of_day), datetime.time())
    rows: list[dict[str, Any]] = []
    for row, user_id in enumerate(batch.user_ids):
        course = {name: values[row] for name, values in courses.items()}
        portrait = {tag: str(hidden[tag][row]) for tag in HPR18.names} | _beyond_tags(course, as_of_day)
        rows.append(
            {
                "user_id": user_id,
                "as_of": as_of,
                **{tag: str(seen[tag][row]) for tag in HPR18.names},
                "persona": json.dumps(portrait),
                "life_events": json.dumps(evolution.life_events(course, start_day, as_of_day)),
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.truth_schema(HPR18.names))


def _interest_text(numbers: np.ndarray) -> str:
    return ", ".join(priors.INTERESTS[number] for number in numbers if number >= 0)


def _beyond_tags(course: dict[str, Any], as_of_day: int) -> dict[str, Any]:
    """What the persona holds besides the tags: age, birth dates, hometown, platforms never used."""
    births = [course[name] for name in ("first_birth_day", "second_birth_day") if course[name] < as_of_day]
    return {
        "age_days": as_of_day - course["birth_day"],
        "birth_date": calendar.date_of(course["birth_day"]).isoformat(),
        "hometown_city": places.CITIES[course["hometown_city"]].name,
        "children_born": [calendar.date_of(day).isoformat() for day in births],
        "has_car": bool(course["car"]),
        "avoided_sources": [name for name, no in zip(schema.SOURCES, course["avoided"], strict=True) if no],
    }
