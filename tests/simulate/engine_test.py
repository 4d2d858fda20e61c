import dataclasses

import jax
import numpy as np
import pytest

from tests.simulate.tools_test import is_walk
from usergpt_jax import schema
from usergpt_jax.simulate import calendar, catalog, emit, engine, evolution, places, tools, travel, week_tables
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate import world as world_lib
from usergpt_jax.tags import HPR18

CAUSE = {name: number for number, name in enumerate(schema.CAUSES)}
ACTION = {name: number for number, name in enumerate(schema.ACTIONS)}
NEED, ROUTINE = CAUSE["need"], CAUSE["routine"]
DAY = 86_400
# The same days as in `run_test`.
SHORT = {"locale": "cn", "seed": 5, "start_day": 19_600, "as_of_day": 19_720}
COLUMNS = [field.name for field in dataclasses.fields(emit.Events)]


def rows_of(events: emit.Events, user: int) -> list[tuple]:
    taken = events.take(events.user == user)
    columns = [getattr(taken, name).tolist() for name in COLUMNS if name != "user"]
    return [tuple(map(repr, row)) for row in zip(*columns, strict=True)]


def histories(numbers: list[int], **changes) -> dict[str, list[tuple]]:
    batch = engine.Engine(**(SHORT | changes)).simulate(np.array(numbers), pad_to=16)
    return {user_id: rows_of(batch.events, row) for row, user_id in enumerate(batch.user_ids)}


@pytest.fixture(scope="module")
def reference() -> dict[str, list[tuple]]:
    return histories(list(range(16)))


@pytest.mark.parametrize("n_devices", [1, 2, 8])
def test_the_same_seed_gives_the_same_histories_on_any_number_of_devices(reference, n_devices):
    assert histories(list(range(16)), devices=jax.devices()[:n_devices]) == reference


@pytest.mark.parametrize("numbers", [[3], [9, 2, 15], list(range(40))])
def test_a_history_depends_on_seed_and_user_alone(reference, numbers):
    other = histories(numbers)
    shared = reference.keys() & other.keys()
    assert len(shared) == len(set(numbers) & set(range(16)))
    assert sum(len(reference[user]) for user in shared) > 50
    for user in shared:
        assert other[user] == reference[user]


def test_another_seed_gives_other_histories(reference):
    assert histories([0], seed=6)["u0000000"] != reference["u0000000"]


def test_events_are_sorted_by_user_and_time_within_the_days(batch, days):
    events = batch.events
    assert (np.diff(events.user) >= 0).all()
    assert (np.diff(events.second)[np.diff(events.user) == 0] >= 0).all()
    assert events.second.min() >= days[0] * DAY
    assert events.second.max() < days[1] * DAY


def test_sessions_are_numbered_by_their_first_event(batch):
    events = batch.events
    for user in range(0, 160, 40):
        numbers = events.session[events.user == user]
        first = np.unique(numbers, return_index=True)[1]
        assert np.array_equal(np.unique(numbers), np.arange(len(first)))
        assert (np.diff(first) > 0).all()


def test_every_session_is_a_valid_walk_on_the_tool_graph():
    graph = tools.load("cn")
    maker = engine.Engine(**SHORT)
    seen = {}
    spy = engine.emit.make_events

    def keep(chosen, details, *args, **kwargs):
        seen["calls"], seen["reach"] = details.calls, chosen.reach
        return spy(chosen, details, *args, **kwargs)

    engine.emit.make_events = keep
    try:
        maker.simulate(np.arange(16))
    finally:
        engine.emit.make_events = spy
    assert len(seen["calls"]) > 300
    for calls, reach in zip(seen["calls"], seen["reach"], strict=True):
        walk = calls[: int(np.argmax(calls == 0)) + 1].tolist()
        assert walk[-1] == 0  # it ends
        assert is_walk(graph, walk)
        ordered = np.isin(graph.emits[walk], (ACTION["purchase"], ACTION["visit"])).sum()
        assert (ordered > 0) == (tools.REACHES[reach] == "ordering")


def test_a_bought_item_is_the_one_looked_at_last(batch):
    events = batch.events
    bought = np.nonzero((events.action == ACTION["purchase"]) & (events.cause != CAUSE["return"]))[0]
    shop = catalog.load("cn").sources[events.leaf[bought]] == schema.SOURCES.index("ecommerce")
    for row in bought[shop][::50]:
        session = np.nonzero((events.user == events.user[row]) & (events.session == events.session[row]))[0]
        clicks = session[(events.action[session] == ACTION["click"]) & (session < row)]
        assert events.title[clicks[-1]] == events.title[row]
        assert events.price[clicks[-1]] == events.price[row]


def test_prices_are_positive_where_something_is_sold(batch):
    events = batch.events
    priced = ~np.isnan(events.price)
    assert (events.price[priced] > 0).all()
    goods = (events.action == ACTION["purchase"]) & ~np.isnan(catalog.load("cn").price[events.leaf])
    assert priced[goods].all()
    quantity = events.quantity[events.action == ACTION["purchase"]]
    assert ((quantity > 0) == (events.cause[events.action == ACTION["purchase"]] != CAUSE["return"])).all()


def test_visits_and_orders_fall_into_opening_hours(batch):
    events, shelf = batch.events, catalog.load("cn")
    lasting = np.isin(events.action, (ACTION["purchase"], ACTION["visit"])) & (events.cause != CAUSE["return"])
    half_hour = events.second[lasting] % DAY // 1800
    opens, closes = shelf.opens[events.leaf[lasting]], shelf.closes[events.leaf[lasting]]
    inside = (half_hour >= opens) & (half_hour < closes) | (half_hour < closes - 48)
    assert inside.mean() > 0.999  # the rest starts before opening and is shifted by `quality`


def test_histories_are_heavy_tailed_with_some_tiny_ones(batch):
    counts = np.bincount(batch.events.user, minlength=160)
    assert 800 < np.median(counts) < 4000
    assert (counts <= 120).mean() > 0.02
    assert counts.max() > 2.5 * np.median(counts)


def test_sales_lift_shopping(batch, days):
    events = batch.events
    shopping = catalog.load("cn").sources[events.leaf] == schema.SOURCES.index("ecommerce")
    bought = shopping & (events.action == ACTION["purchase"])
    per_day = np.bincount(events.second[bought] // DAY - days[0], minlength=days[1] - days[0])
    marked = calendar.load("cn", days[0], days[1] - days[0]).features[:, calendar.FEATURES.index("major_sale")]
    assert 5 < per_day[marked].max() / per_day.mean() < 25


@pytest.mark.parametrize("desire", ["change diapers", "feed infant"])
def test_baby_goods_are_bought_for_a_child_that_is_expected_or_there(batch, desire):
    """For oneself, that is: gifts, other people on the account and bait are noise by design."""
    events = batch.events
    own = (events.need == needs_lib.load("cn").names.index(desire)) & np.isin(events.cause, (NEED, ROUTINE))
    assert own.sum() > 20
    day = events.second[own] // DAY
    week = days_of_week(day)
    state = jax.vmap(evolution.state_at)(
        jax.tree.map(lambda values: values[events.user[own]], batch.course), jax.numpy.asarray(week, np.int32)
    )
    stage = np.asarray(state.tags)[:, evolution.STATE_TAGS.index("child_stage")]
    names = np.array(HPR18["child_stage"].values)[stage]
    assert set(names) <= {"expecting", "0-1", "1-3", "3-6"}


def days_of_week(day: np.ndarray) -> np.ndarray:
    """First day of the simulated week of each epoch day, for a log that starts on 2023-07-01."""
    start = calendar.epoch_day(calendar.datetime.date(2023, 7, 1))
    return start + (day - start) // 7 * 7


def test_hard_preconditions_hold_for_every_own_need(batch, days):
    """No desire whose weight is zero for the user's state leads to an own event."""
    events, library = batch.events, needs_lib.load("cn")
    own = np.nonzero(np.isin(events.cause, (NEED, ROUTINE)) & (events.action == ACTION["purchase"]))[0][::7]
    week = days[0] + (events.second[own] // DAY - days[0]) // 7 * 7
    features = world_lib.features_of(batch.course)(events.user[own], week)
    log_rate = (features * library.state_weights.T[events.need[own]]).sum(axis=1)
    assert len(own) > 1000
    assert (log_rate > needs_lib.LOG_ZERO // 2).all()


def test_every_cause_occurs_and_own_needs_prevail(batch):
    share = np.bincount(batch.events.cause, minlength=len(schema.CAUSES)) / len(batch.events)
    assert (share > 0).all(), dict(zip(schema.CAUSES, share, strict=True))
    assert share[NEED] + share[ROUTINE] > 0.5


def test_bait_is_false_about_its_buyer(batch):
    events, shelf = batch.events, catalog.load("cn")
    baited = (shelf.bait[events.title] > 0) & (events.cause == CAUSE["bait"])
    own = (shelf.bait[events.title] > 0) & np.isin(events.cause, (NEED, ROUTINE))
    assert baited.sum() > 100
    word = catalog.BAITS[int(shelf.bait[events.title[np.nonzero(baited)[0][0]]])][0]
    assert word.lower() in shelf.titles[events.title[np.nonzero(baited)[0][0]]].lower()
    assert baited.sum() > own.sum()


def test_returns_take_back_an_earlier_purchase(batch):
    events = batch.events
    back = np.nonzero(events.cause == CAUSE["return"])[0]
    assert len(back) > 20
    for row in back:
        before = np.nonzero(
            (events.user == events.user[row])
            & (events.title == events.title[row])
            & (events.second < events.second[row])
            & (events.quantity == -events.quantity[row])
        )[0]
        days_before = (events.second[row] - events.second[before]) / DAY
        assert ((days_before >= 1) & (days_before <= 14)).any()


def test_some_users_never_use_a_platform(batch):
    source = catalog.load("cn").sources[batch.events.leaf]
    used = np.zeros((160, len(schema.SOURCES)), bool)
    used[batch.events.user, source] = True
    assert not used[batch.course.avoided == 1].any()
    assert batch.course.avoided[:, :4].any(axis=1).mean() > 0.2


def test_trips_move_the_user(batch):
    """Visits on the days of a trip happen at its destination."""
    events, trips = batch.events, batch.trips
    n_parts = places.load("cn").n_parts
    visits = (events.action == ACTION["visit"]) & np.isin(events.cause, (NEED, ROUTINE))
    away = 0
    for user, start, end, destination in zip(*(getattr(trips, n) for n in COLUMNS_OF_TRIPS), strict=True):
        during = visits & (events.user == user) & (events.second // DAY >= start) & (events.second // DAY < end)
        away += during.sum()
        assert set((events.place[during] // n_parts).tolist()) <= {int(destination)}
    assert away > 30
    assert (trips.end_day > trips.start_day).all()
    assert set(np.unique(trips.kind)) == set(range(len(travel.KINDS)))


def test_a_booking_names_the_city_that_it_leads_to(batch):
    events, shelf, where = batch.events, catalog.load("cn"), places.load("cn")
    booked = (events.action == ACTION["purchase"]) & shelf.by_destination[events.leaf]
    rows = np.nonzero(booked & np.isin(events.cause, (NEED, ROUTINE)))[0]
    assert len(rows) > 100
    for row in rows:
        assert where.destinations[events.place[row] // where.n_parts] in shelf.titles[events.title[row]]
        assert shelf.titles[events.title[row]] in shelf.titles[shelf.title_start[events.leaf[row]] :][:2000]


COLUMNS_OF_TRIPS = ("user", "start_day", "end_day", "destination")


def test_interests_drift_with_behaviour(batch):
    changes = batch.interest_changes
    assert changes.gained.any()
    assert not changes.gained.all()
    assert len(changes.user) < 1.5 * 160
    gained, lost = int(changes.gained.sum()), int((~changes.gained).sum())
    started, ended = int((batch.course.interests >= 0).sum()), int((batch.interests >= 0).sum())
    crowded = int((batch.interests >= 0).all(axis=1).sum())  # who holds more than fit
    assert 0 <= started + gained - lost - ended <= 2 * crowded


def test_a_satisfied_need_rests(batch):
    """Own orders of one desire keep apart: a need rests after it was satisfied."""
    events, library = batch.events, needs_lib.load("cn")
    own = (events.action == ACTION["purchase"]) & np.isin(events.cause, (NEED, ROUTINE))
    rows = np.nonzero(own & (library.cadence_days[events.need] >= 20))[0]
    order = rows[np.lexsort((events.second[rows], events.need[rows], events.user[rows]))]
    same = (np.diff(events.user[order]) == 0) & (np.diff(events.need[order]) == 0)
    same &= np.diff(events.session[order]) != 0  # an order may hold several items
    gap_days = np.diff(events.second[order])[same] / DAY
    cadence = library.cadence_days[events.need[order]][1:][same]
    assert len(gap_days) > 200
    assert np.median(gap_days / cadence) > 1.0
    assert (gap_days < 0.25 * cadence).mean() < 0.12


def test_week_tables_put_sales_on_their_days(days):
    weeks = week_tables.week_tables("cn", 0, days[0], days[1])
    shop = int(np.nonzero(needs_lib.load("cn").sources == schema.SOURCES.index("ecommerce"))[0][0])
    eleventh = calendar.epoch_day(calendar.datetime.date(2023, 11, 11))
    week, day = divmod(eleventh - days[0], 7)
    chance = np.diff(weeks.day_cdf[week, shop].astype(int), prepend=0) / (1 << 14)
    assert chance.argmax() == day
    assert chance[day] > 0.3
