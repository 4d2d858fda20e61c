import numpy as np
import pytest

from usergpt_jax import schema
from usergpt_jax.simulate import calendar, catalog, engine
from usergpt_jax.simulate import needs as needs_lib

NEED, ROUTINE = schema.CAUSES.index("need"), schema.CAUSES.index("routine")
# The same shapes as in `run_test`: the simulator compiles once a shape.
SHORT = {"seed": 5, "start_day": 19_600, "as_of_day": 19_720}


def rows_of(batch: engine.Batch, user: int) -> list[tuple]:
    events = batch.events
    chosen = events.user == user
    columns = (events.second, events.action, events.title, events.need, events.cause, events.price, events.place)
    return [tuple(map(repr, row)) for row in zip(*(column[chosen] for column in columns), strict=True)]


def histories(n_users: int, users_per_batch: int) -> dict[str, list[tuple]]:
    found = {}
    for batch in engine.simulate_batches(n_users=n_users, users_per_batch=users_per_batch, **SHORT):
        found |= {user_id: rows_of(batch, row) for row, user_id in enumerate(batch.user_ids)}
    return found


@pytest.fixture(scope="module")
def reference() -> dict[str, list[tuple]]:
    return histories(24, 24)


def test_the_same_seed_gives_the_same_histories(reference):
    assert histories(24, 24) == reference


@pytest.mark.parametrize(("n_users", "users_per_batch"), [(24, 8), (8, 8), (40, 24)])
def test_a_history_depends_on_seed_and_user_alone(reference, n_users, users_per_batch):
    other = histories(n_users, users_per_batch)
    shared = reference.keys() & other.keys()
    assert len(shared) == min(24, n_users)
    assert sum(len(reference[user]) for user in shared) > 100
    for user in shared:
        assert other[user] == reference[user]


def test_another_seed_gives_other_histories(reference):
    (batch,) = engine.simulate_batches(n_users=24, users_per_batch=24, **(SHORT | {"seed": 6}))
    assert rows_of(batch, 0) != reference["u0000000"]


def test_events_are_sorted_by_user_and_time_within_the_days(batch, days):
    events = batch.events
    assert (np.diff(events.user) >= 0).all()
    same_user = np.diff(events.user) == 0
    assert (np.diff(events.second)[same_user] >= 0).all()
    start, as_of = days
    assert events.second.min() >= start * 86_400
    assert events.second.max() < as_of * 86_400


def test_prices_are_positive_where_something_is_sold(batch):
    events = batch.events
    priced = ~np.isnan(events.price)
    bought = events.action == schema.ACTIONS.index("purchase")
    assert (events.price[priced] > 0).all()
    assert priced[bought].all()
    assert not np.isnan(events.quantity[bought]).any()


def test_histories_are_heavy_tailed_with_some_tiny_ones(batch):
    counts = np.bincount(batch.events.user, minlength=160)
    assert 150 < np.median(counts) < 700
    assert (counts <= 40).mean() > 0.02
    assert counts.max() > 3 * np.median(counts)


def test_double_11_lifts_shopping(batch, days):
    start, as_of = days
    events = batch.events
    shopping = catalog.load().sources[events.leaf] == schema.SOURCES.index("ecommerce")
    per_day = np.bincount(events.second[shopping] // 86_400 - start, minlength=as_of - start)
    marked = calendar.day_features(start, as_of - start)[:, calendar.FEATURES.index("double11")] > 0
    assert 3 < per_day[marked].mean() / np.median(per_day) < 15


def test_baby_goods_come_from_parents_or_noise(batch, leaf_names):
    """Own needs buy diapers only in a household with a small or expected child."""
    needs = needs_lib.load()
    diapers = (batch.events.need == needs.names.index("change diapers")) & (leaf_names == "Diapers")
    own = diapers & np.isin(batch.events.cause, (NEED, ROUTINE))
    user, day = batch.events.user[own], batch.events.second[own] // 86_400
    births = np.stack([batch.course.first_birth_day, batch.course.second_birth_day], axis=1)[user]
    age_days = day[:, None] - births
    assert own.sum() > 20
    assert ((age_days >= -271) & (age_days < 6 * 366)).any(axis=1).all()


def test_every_cause_occurs_and_own_needs_prevail(batch):
    share = np.bincount(batch.events.cause, minlength=len(schema.CAUSES)) / len(batch.events.cause)
    assert (share > 0).all()
    assert share[NEED] + share[ROUTINE] > 0.7


def test_some_users_never_use_a_platform(batch):
    source = catalog.load().sources[batch.events.leaf]
    used = np.zeros((160, len(schema.SOURCES)), bool)
    used[batch.events.user, source] = True
    assert not used[batch.course.avoided == 1].any()
    assert batch.course.avoided[:, :4].any(axis=1).mean() > 0.2
