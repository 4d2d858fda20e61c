import dataclasses
import datetime
import json

import numpy as np
import polars as pl
import pytest

from usergpt_jax import schema
from usergpt_jax.schema import NA
from usergpt_jax.simulate import calendar, emit, evolution, persona, places, preferences, priors, travel, truth
from usergpt_jax.simulate.engine import Batch, InterestChanges, Trips
from usergpt_jax.tags import HPR18

START, AS_OF = (calendar.epoch_day(datetime.date(year, 7, 1)) for year in (2022, 2025))
N_USERS = 40
NEVER = 2**29


def filled(of, **known):
    """A named tuple of arrays [U], zero where nothing is given."""
    return of(**(dict.fromkeys(of._fields, np.zeros(N_USERS, np.int32)) | known))


LIVED = [(3, "2023-01-09", "married"), (3, "2022-08-01", "moved to Xi'an"), (0, "2024-02-29", 'wrote "home"')]


@pytest.fixture
def batch(monkeypatch):
    rng = np.random.default_rng(0)
    births = np.sort(rng.integers(AS_OF - 4000, AS_OF + 400, (N_USERS, 3)), axis=1)
    births[rng.random((N_USERS, 3)) < 0.5] = NEVER
    births.sort(axis=1)
    n_values = [len(HPR18[tag].values) for tag in evolution.STATE_TAGS]
    course = filled(
        persona.Course,
        birth_day=rng.integers(-9000, 15_000, N_USERS),
        first_birth_day=births[:, 0],
        second_birth_day=births[:, 1],
        third_birth_day=births[:, 2],
        hometown_city=rng.integers(0, 50, N_USERS),
        settlement=rng.integers(0, 3, N_USERS),
        car=rng.integers(0, 2, N_USERS),
        avoided=rng.integers(0, 2, (N_USERS, 5)),
        income_cny=rng.integers(10_000, 900_000, N_USERS),
        household_size=rng.integers(1, 6, N_USERS),
        household_kind=rng.integers(0, len(persona.HOUSEHOLD_KINDS), N_USERS),
        big_five=rng.integers(-250, 251, (N_USERS, 5)),
        preferences=rng.integers(-1, 2, (N_USERS, 90)) * (rng.random((N_USERS, 90)) < 0.2),
    )
    tags = rng.integers(0, n_values, (N_USERS, len(n_values)))
    state = filled(evolution.State, tags=tags, city=rng.integers(0, 50, N_USERS))
    trips = Trips(
        user=np.array([3, 0, 3, 5]),
        start_day=np.array([START + 40, START + 2, START - 5, AS_OF - 1]),
        end_day=np.array([START + 45, START + 3, START + 2, AS_OF + 4]),
        destination=np.array([7, 2, 3, 4]),
        kind=np.array([2, 0, 1, 3]),
    )
    changes = InterestChanges(
        user=np.array([3, 5]),
        day=np.array([START + 40, AS_OF]),
        interest=np.array([1, 2]),
        gained=np.array([False, True]),
    )
    told = {tag: np.where(np.arange(N_USERS) % 2 == 0, "x", NA) for tag in HPR18.names}
    monkeypatch.setattr(truth.observe, "observed_tags", lambda *args: told)
    frame = pl.DataFrame(LIVED, schema=["user", "date", "event"], orient="row")
    monkeypatch.setattr(truth.evolution, "life_events", lambda *args: frame)
    interests = np.where(rng.random((N_USERS, 5)) < 0.6, rng.integers(0, 16, (N_USERS, 5)), -1)
    nothing = {field.name: np.zeros(0, np.int64) for field in dataclasses.fields(emit.Events)}
    return Batch(
        user_ids=[f"u{number:07d}" for number in range(N_USERS)],
        course=course,
        state=state,
        interests=interests,
        trips=trips,
        interest_changes=changes,
        events=emit.Events(**nothing),
    )


def slow_persona(batch, hidden, row):
    """What `persona_json` writes, user by user."""
    course = {name: values[row].tolist() for name, values in batch.course._asdict().items()}
    births = [course[f"{name}_birth_day"] for name in ("first", "second", "third")]
    wishes = list(zip(preferences.load("cn").names, course["preferences"], strict=True))
    return {
        **{tag: str(hidden[tag][row]) for tag in HPR18.names},
        "age_days": AS_OF - course["birth_day"],
        "birth_date": calendar.date_of(course["birth_day"]).isoformat(),
        "hometown_city": places.load("cn").cities[course["hometown_city"]].name,
        "children_born": [calendar.date_of(day).isoformat() for day in births if day < AS_OF],
        "has_car": bool(course["car"]),
        "avoided_sources": [name for name, no in zip(schema.SOURCES, course["avoided"], strict=True) if no],
        "income_cny": course["income_cny"],
        "household_size": course["household_size"],
        "household": persona.HOUSEHOLD_KINDS[course["household_kind"]],
        "settlement": priors.SETTLEMENTS[course["settlement"]],
        "big_five": {name: z / 100 for name, z in zip(persona.BIG_FIVE, course["big_five"], strict=True)},
        "preferences": {
            "drawn_to": [name for name, wish in wishes if wish > 0],
            "averse_to": [name for name, wish in wishes if wish < 0],
        },
    }


def test_persona_json_is_what_a_loop_over_users_writes(batch):
    hidden = truth.hidden_values(batch.course, batch.state, batch.interests, "cn")
    made = truth.persona_json(batch.course, hidden, AS_OF, "cn")
    assert [json.loads(text) for text in made] == [slow_persona(batch, hidden, row) for row in range(N_USERS)]
    assert list(json.loads(made[0])) == list(slow_persona(batch, hidden, 0))


def test_life_events_are_in_order_and_inside_the_days_of_the_log(batch):
    texts = truth.life_events_json(batch, START, AS_OF, "cn")
    cities = places.load("cn").destinations
    day = [calendar.date_of(START + offset).isoformat() for offset in (2, 40)]
    assert json.loads(texts[3]) == [
        {"date": "2022-08-01", "event": "moved to Xi'an"},
        {"date": day[1], "event": f"dropped {priors.INTERESTS[1]}"},
        {"date": day[1], "event": f"trip to {cities[7]} ({travel.KINDS[2]}), 5 days"},
        {"date": "2023-01-09", "event": "married"},
    ]
    assert json.loads(texts[0]) == [
        {"date": day[0], "event": f"trip to {cities[2]} ({travel.KINDS[0]}), 1 day"},
        {"date": "2024-02-29", "event": 'wrote "home"'},
    ]
    assert [event["event"] for event in json.loads(texts[5])] == [f"trip to {cities[4]} ({travel.KINDS[3]}), 5 days"]
    assert texts[1] == "[]"


def test_the_table_has_the_declared_columns_and_the_observable_tags(batch):
    table = truth.truth_table(batch, START, AS_OF, "cn")
    assert table.schema == schema.truth_schema(HPR18.names)
    rows = table.to_pylist()
    assert [row["user_id"] for row in rows] == batch.user_ids
    assert {row["as_of"] for row in rows} == {datetime.datetime(2025, 7, 1)}
    assert rows[0]["observable"] == list(HPR18.names)
    assert rows[1]["observable"] == []
    assert rows[0]["gender"] == "x"


def test_hidden_values_name_places_and_interests(batch):
    hidden = truth.hidden_values(batch.course, batch.state, batch.interests, "cn")
    cities = places.load("cn").cities
    for row in range(N_USERS):
        assert hidden["resident_city"][row] == cities[batch.state.city[row]].name
        assert hidden["hometown_province"][row] == cities[batch.course.hometown_city[row]].province
        names = [priors.INTERESTS[number] for number in batch.interests[row] if number >= 0]
        assert hidden["interests"][row] == ", ".join(names)


def test_a_batch_without_trips_or_changes_has_no_such_events(batch):
    none = {
        "trips": Trips(*(np.zeros(0, np.int32) for _ in range(5))),
        "interest_changes": InterestChanges(*(np.zeros(0, np.int32) for _ in range(4))),
    }
    texts = truth.life_events_json(dataclasses.replace(batch, **none), START, AS_OF, "cn")
    assert sum(len(json.loads(text)) for text in texts) == len(LIVED)
