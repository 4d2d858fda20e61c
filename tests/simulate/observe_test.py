import types

import numpy as np
import pytest

from usergpt_jax import schema
from usergpt_jax.schema import NA
from usergpt_jax.simulate import emit, observe, places, priors
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.tags import HPR18

AS_OF = 1_000 * 86_400
NEEDS = ("cat care", "see friends", "reading", "walk")  # speaks for: pet, marital_status, interests, nothing
READING = priors.INTERESTS.index("reading")


def library() -> types.SimpleNamespace:
    weights = np.zeros((len(needs_lib.FEATURE_NAMES), len(NEEDS)), np.int32)
    for (group, value), row in zip(needs_lib.FEATURE_NAMES, weights, strict=True):
        if group == "pet":
            row[0] = {"cat": 0, "both": -14, "none": -78}.get(value, -1280)
        if group == "marital_status":
            row[1] = {"single": 0, "partnered": -77}.get(value, -1280)
    interests = np.full((len(priors.INTERESTS), len(NEEDS)), -300, np.int32)
    interests[READING, 2] = 0
    evidence = np.zeros((len(NEEDS), len(HPR18.names)), bool)
    for need, tag in ((0, "pet"), (1, "marital_status"), (2, "interests"), (1, "hometown_province")):
        evidence[need, HPR18.names.index(tag)] = True
    return types.SimpleNamespace(state_weights=weights, interest_weights=interests, evidence=evidence)


@pytest.fixture(autouse=True)
def small_library(monkeypatch):
    monkeypatch.setattr(observe.needs_lib, "load", lambda locale: library())
    for cached in (observe._fits, observe._interest_of_need):
        cached.cache_clear()
    yield
    for cached in (observe._fits, observe._interest_of_need):
        cached.cache_clear()


def events_of(*rows) -> emit.Events:
    """Each row: need, then what differs from an own purchase of user 0 the day before as_of."""
    columns = {
        "user": 0, "day": 999, "action": "purchase", "cause": "need", "title": 0, "price": 9.0, "quantity": 1.0,
        "place": -1, "need": "walk",
    }  # fmt: skip
    full = sorted((columns | row for row in rows), key=lambda row: (row["user"], row["day"]))
    kinds = {"user": int, "title": int, "price": float, "quantity": float, "place": int}
    of = {name: np.array([row[name] for row in full], kind) for name, kind in kinds.items()}
    zeros = np.zeros(len(full), int)
    return emit.Events(
        **of,
        second=np.array([row["day"] for row in full], int) * 86_400,
        action=np.array([schema.ACTIONS.index(row["action"]) for row in full], int),
        cause=np.array([schema.CAUSES.index(row["cause"]) for row in full], int),
        need=np.array([NEEDS.index(row["need"]) for row in full], int),
        session=np.arange(len(full)),
        tool=zeros,
        leaf=zeros,
        outcome=zeros,
    )


def observed(rows, n_users=1, interests=None, **values):
    hidden = {tag.name: np.repeat(tag.values[0] if tag.values else "Chengdu", n_users) for tag in HPR18.tags}
    hidden |= {name: np.array([value] * n_users) for name, value in values.items()}
    held = np.full((n_users, 5), -1) if interests is None else np.array(interests)
    return observe.observed_tags(hidden, held, events_of(*rows), AS_OF, "cn")


def cats(number, **more):
    return [{"need": "cat care", "title": index} | more for index in range(number)]


def test_enough_fitting_events_make_a_tag_observable():
    needed = observe.RULES["pet"].events
    assert observed(cats(needed), pet="cat")["pet"].tolist() == ["cat"]
    assert observed(cats(needed - 1), pet="cat")["pet"].tolist() == [NA]


@pytest.mark.parametrize(("value", "told"), [("cat", True), ("both", True), ("dog", False), ("none", False)])
def test_only_events_that_fit_the_value_count(value, told):
    # both: exp(-14 / 64) = 0.8 of the largest weight; none: exp(-78 / 64) = 0.296, just below 0.3.
    assert (observed(cats(9), pet=value)["pet"][0] == value) == told


@pytest.mark.parametrize(
    "more",
    [
        {"cause": "gift"}, {"cause": "proxy"}, {"cause": "bait"}, {"cause": "stale_stage"}, {"cause": "shared_account"},
        {"cause": "routine"}, {"action": "click"}, {"action": "search"}, {"day": 1}, {"user": 1},
    ],
)  # fmt: skip
def test_what_does_not_last_or_is_not_ones_own_does_not_count(more):
    assert observed(cats(9, **more), n_users=2, pet="cat")["pet"][0] == NA


def test_returned_purchases_do_not_count():
    needed = observe.RULES["pet"].events
    bought = cats(needed, day=990)
    back = {"need": "cat care", "title": 0, "cause": "return", "quantity": -1.0, "day": 995}
    assert observed([*bought, back], pet="cat")["pet"].tolist() == [NA]
    elsewhere = [back | {"title": 77}, back | {"day": 980}, back | {"user": 1}]
    assert observed([*bought, *elsewhere], n_users=2, pet="cat")["pet"][0] == "cat"


def test_a_return_takes_back_the_latest_purchase_before_it():
    events = events_of(*({"day": day} for day in (10, 20, 30)), {"day": 25, "cause": "return", "quantity": -1.0})
    bought, returns = observe.match_returns(events, np.arange(4))
    assert (events.second[bought] // 86_400).tolist() == [20]
    assert returns.tolist() == [2]


def test_a_rich_log_shows_what_shows_by_absence():
    rule = observe.RULES["pet"]
    walks = [{"title": index, "cause": "routine"} for index in range(rule.rich)]
    assert observed(walks, pet="none")["pet"].tolist() == ["none"]
    assert observed(walks, pet="cat")["pet"].tolist() == [NA]
    assert observed(walks[1:], pet="none")["pet"].tolist() == [NA]


def place_in(city: str) -> int:
    where = places.load("cn")
    return where.destinations.index(city) * where.n_parts + 1


def test_places_count_where_they_are_told_and_spending_by_prices():
    rule = observe.RULES["resident_city"]
    home = {"action": "visit", "place": place_in("Chengdu"), "price": np.nan}
    visits = [home | {"title": index} for index in range(rule.events)]
    assert observed(visits)["resident_city"].tolist() == ["Chengdu"]
    elsewhere = [row | {"place": place_in("Beijing")} for row in visits]
    assert observed(elsewhere)["resident_city"].tolist() == [NA]
    assert observed(visits[1:])["resident_city"].tolist() == [NA]
    assert observed(visits * 9)["consumption_level"].tolist() == [NA]
    priced = [{"title": index} for index in range(observe.RULES["consumption_level"].events)]
    assert observed(priced)["consumption_level"].tolist() == ["low"]
    assert observed(priced)["resident_city"].tolist() == [NA]


def test_open_tags_count_what_declares_them():
    at_home = [{"need": "see friends", "place": place_in("Wuhan")}]
    assert observed(at_home, hometown_province="Hubei")["hometown_province"].tolist() == ["Hubei"]
    assert observed(at_home, hometown_province="Henan")["hometown_province"].tolist() == [NA]
    assert observed([{"need": "cat care"}])["hometown_province"].tolist() == [NA]


def test_each_interest_needs_events_of_its_own():
    gaming = priors.INTERESTS.index("gaming")
    books = [{"need": "reading", "title": index} for index in range(observe.INTEREST_EVENTS)]
    held = [[gaming, READING, -1, -1, -1]]
    assert observed(books, interests=held)["interests"].tolist() == ["reading"]
    assert observed(books[1:], interests=held)["interests"].tolist() == [NA]
    assert observed(books, interests=[[gaming, -1, -1, -1, -1]])["interests"].tolist() == [NA]


def test_no_events_tell_nothing():
    assert set(np.concatenate(list(observed([], n_users=2).values()))) == {NA}


def test_interests_are_named_in_order():
    text = observe.interest_text(np.array([[READING, 0, -1], [-1, 1, 0], [-1, -1, -1]]))
    names = priors.INTERESTS
    assert text.tolist() == [f"reading, {names[0]}", f"{names[1]}, {names[0]}", ""]


def test_every_tag_has_a_rule():
    assert {*observe.RULES, "interests"} == set(HPR18.names)
