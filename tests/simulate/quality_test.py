import dataclasses
import datetime

import jax
import numpy as np
import pytest

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, catalog, emit, evolution, places, quality, quality_rules
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate import world as world_lib
from usergpt_jax.simulate.engine import Trips
from usergpt_jax.simulate.world import World

LOCALE = "cn"
START = calendar.epoch_day(datetime.date(2024, 1, 1))  # a Monday
AS_OF = START + 100
HANGZHOU, CHENGDU = ([city.name for city in places.load(LOCALE).cities].index(name) for name in ("Hangzhou", "Chengdu"))
LEAVES = catalog.load(LOCALE).leaves
ACTIONS, CAUSES = schema.ACTIONS.index, schema.CAUSES.index


def place_in(city: int) -> int:
    return city * places.load(LOCALE).n_parts


def event(leaf, action="purchase", *, day=10, hour=12.0, session=0, user=0, cause="need", **more):
    """One event as a dict of columns; a visit or purchase in Hangzhou at noon of the tenth day by default."""
    bought = action == "purchase"
    return {
        "user": user,
        "second": (START + day) * 86_400 + round(hour * 3600),
        "session": session,
        "tool": 0,
        "action": ACTIONS(action),
        "leaf": LEAVES.index(leaf),
        "need": 0,
        "cause": CAUSES(cause),
        "outcome": 0,
        "title": int(catalog.load(LOCALE).title_start[LEAVES.index(leaf)]),
        "price": 10.0 if bought else np.nan,
        "quantity": 1.0 if bought else np.nan,
        "place": place_in(HANGZHOU) if action in ("purchase", "visit") else -1,
    } | more


def events_of(*rows) -> emit.Events:
    names = [field.name for field in dataclasses.fields(emit.Events)]
    columns = {name: np.array([row[name] for row in rows]) for name in names}
    return emit.Events(**columns)


def world(*, holds=(), age_years=30.0, avoided=(0, 0, 0, 0, 0), trips=(), n_users=2, moves=()) -> World:
    """Users who live in Hangzhou; `holds` are the features that are 1, `trips` (user, first, last + 1, city)."""
    held = np.array([name in holds for name in needs_lib.FEATURE_NAMES], np.int32)
    days = [2**29] * 3
    cities = [HANGZHOU] * 4
    for number, (day, city) in enumerate(moves):
        days[number], cities[number + 1 :] = START + day, [city] * (3 - number)
    columns = np.array(trips, np.int64).reshape(-1, 4)
    return World(
        start_day=START,
        as_of_day=AS_OF,
        birth_day=np.full(n_users, START - round(age_years * 365.2425)),
        cities=np.tile(cities, (n_users, 1)),
        move_days=np.tile(days, (n_users, 1)),
        avoided=np.tile(avoided, (n_users, 1)),
        trips=Trips(
            user=columns[:, 0],
            start_day=START + columns[:, 1],
            end_day=START + columns[:, 2],
            destination=columns[:, 3],
            kind=np.zeros(len(columns), int),
        ),
        features_at=lambda user, day: np.tile(held, (len(user), 1)),
    )


def assure(rows, **kwargs):
    kept, counts = quality.assure(events_of(*rows), world(**kwargs), LOCALE)
    return kept, counts


def found(counts, rule):
    return counts.rules[rule]["repaired"], counts.rules[rule]["rejected"]


def broken(counts):
    return {name for name, row in counts.rules.items() if row["repaired"] or row["rejected"]}


FITTING = [
    event("Smartphone", "search", session=0, hour=9),
    event("Smartphone", "click", session=0, hour=9.1),
    event("Smartphone", session=0, hour=9.2),
    event("Park", "visit", session=1, hour=15),
]


def test_what_breaks_no_rule_stays_as_it_is():
    events = events_of(*FITTING)
    kept, counts = quality.assure(events, world(), LOCALE)
    for field in dataclasses.fields(events):
        np.testing.assert_array_equal(getattr(kept, field.name), getattr(events, field.name))
    assert broken(counts) == set()
    assert (counts.sessions, counts.events, counts.sessions_rejected, counts.events_rejected) == (2, 4, 0, 0)


def test_no_events_are_no_trouble():
    none = events_of(*FITTING).take(slice(0, 0))
    kept, counts = quality.assure(none, world(), LOCALE)
    assert len(kept) == 0
    assert counts.sessions == 0


@pytest.mark.parametrize(
    ("leaf", "action", "holds", "rule"),
    [
        ("Diapers", "purchase", [("child_stage", "0-1")], "infants"),
        ("Baby Formula", "purchase", [("child_stage", "1-3")], "baby food"),
        ("Prenatal Clinic", "visit", [("child_stage", "expecting")], "expectant mothers"),
        ("Textbooks Secondary", "purchase", [("child_stage", "12-18")], "teenagers"),
        ("Textbooks Secondary", "purchase", [("occupation", "teacher")], "teenagers"),
        ("Cat Litter", "purchase", [("pet", "cat")], "cat owners"),
        ("Vet Clinic", "visit", [("pet", "other")], "pet owners"),
        ("Rent Payment", "purchase", [("housing_tenure", "rent")], "tenants"),
        ("Gas Station", "visit", [("car", "yes")], "drivers"),
        ("Wedding Dress", "purchase", [("phase", "wedding")], "weddings"),
    ],
)
def test_an_own_purchase_needs_its_persona(leaf, action, holds, rule):
    row = event(leaf, action)
    kept, counts = assure([row])
    assert len(kept) == 0
    assert found(counts, rule) == (0, 1)
    kept, counts = assure([row], holds=holds)
    assert len(kept) == 1
    assert broken(counts) == set()
    assert counts.rules[rule]["checked"] == 1


@pytest.mark.parametrize("cause", [*schema.CAUSES[2:-1]])
def test_traps_are_excused_from_the_persona(cause):
    kept, _ = assure([event("Diapers", cause=cause)])
    assert len(kept) == 1


def test_looking_at_something_needs_no_persona():
    kept, _ = assure([event("Diapers", "click"), event("Diapers", "search")])
    assert len(kept) == 2


def test_a_state_of_the_first_day_of_the_week_counts():
    # Day 10 lies in the week of days 7 to 13; the cat leaves on day 8.
    cat = np.array([name == ("pet", "cat") for name in needs_lib.FEATURE_NAMES], np.int32)
    changing = dataclasses.replace(world(), features_at=lambda user, day: cat * (day < START + 8)[:, None])
    assert len(quality.assure(events_of(event("Cat Litter", day=10)), changing, LOCALE)[0]) == 1
    assert len(quality.assure(events_of(event("Cat Litter", day=14)), changing, LOCALE)[0]) == 0


@pytest.mark.parametrize(
    ("leaf", "action", "rule"),
    [
        ("Beer", "purchase", "alcohol"),
        ("Budget Hotel", "purchase", "hotels"),
        ("Car Rental", "purchase", "driving licence"),
    ],
)
def test_ages_hold_for_gifts_too_but_not_for_a_shared_account(leaf, action, rule):
    for cause, kept_rows in (("need", 0), ("gift", 0), ("shared_account", 1)):
        kept, counts = assure([event(leaf, action, cause=cause)], age_years=17)
        assert len(kept) == kept_rows
        assert found(counts, rule) == (0, 1 - kept_rows)
    assert len(assure([event(leaf, action)], age_years=18.1)[0]) == 1


def test_a_whole_session_is_dropped_and_nothing_else():
    rows = [event("Diapers", action, hour=hour, session=4) for action, hour in (("search", 9), ("purchase", 9.5))]
    kept, counts = assure(
        [*rows, event("Smartphone", hour=11, session=5), event("Diapers", "click", user=1, session=4)]
    )
    assert kept.leaf.tolist() == [LEAVES.index("Smartphone"), LEAVES.index("Diapers")]
    assert kept.session.tolist() == [0, 0]
    assert (counts.sessions_rejected, counts.events_rejected) == (1, 2)


def test_an_avoided_platform_is_never_used():
    source = schema.SOURCES.index("ecommerce")
    kept, counts = assure(FITTING, avoided=[int(number == source) for number in range(5)])
    assert kept.leaf.tolist() == [LEAVES.index("Park")]
    assert found(counts, "avoided platforms") == (0, 1)


def test_prices_and_quantities_are_put_right_or_dropped():
    kept, counts = assure(
        [
            event("Smartphone", session=0, hour=8, quantity=-2.0),
            event("Laptop", session=1, hour=9, price=np.nan),
            event("Tablet", session=2, hour=10, quantity=np.nan),
            event("Charger", session=3, hour=11, price=0.0),
        ]
    )
    assert kept.quantity.tolist() == [2.0, 1.0]
    assert found(counts, "quantity above zero") == (2, 0)
    assert found(counts, "price above zero") == (0, 2)


def test_a_return_is_negative_and_of_something_bought():
    bought = event("Laptop", session=0, day=10)
    back = event("Laptop", session=1, day=15, cause="return", quantity=1.0)
    orphan = event("Tablet", session=2, day=16, cause="return", quantity=-1.0)
    kept, counts = assure([bought, back, orphan])
    assert kept.quantity.tolist() == [1.0, -1.0]
    assert found(counts, "returns take back") == (1, 0)
    assert found(counts, "returns of what was bought") == (0, 1)


def test_the_return_of_a_dropped_purchase_goes_too():
    kept, _ = assure([event("Diapers", day=10), event("Diapers", day=15, session=1, cause="return", quantity=-1.0)])
    assert len(kept) == 0


def test_a_missing_place_is_that_of_the_last_visit():
    kept, counts = assure(
        [
            event("Park", "visit", session=0, day=3, place=place_in(HANGZHOU) + 1),
            event("Cinema", "visit", session=1, day=5, place=-1),
            event("Cinema", "visit", session=0, day=5, user=1, place=-1),
        ]
    )
    assert kept.place.tolist() == [place_in(HANGZHOU) + 1] * 2
    assert found(counts, "place is known") == (1, 1)


@pytest.mark.parametrize(("hour", "opens_at"), [(3.25, 9.25), (23.75, 16.75)])
def test_a_visit_outside_opening_hours_moves_to_the_nearest_half_hour(hour, opens_at):
    shelf = catalog.load(LOCALE)
    leaf = LEAVES.index("Museum")
    assert (shelf.opens[leaf], shelf.closes[leaf]) == (18, 34)  # 9:00 to 17:00
    rows = [event("Museum", "click", hour=hour - 0.1), event("Museum", "visit", hour=hour)]
    kept, counts = assure(rows)
    hours = (kept.second - kept.second[0] // 86_400 * 86_400) / 3600
    assert hours.tolist() == pytest.approx([opens_at - 0.1, opens_at])
    assert found(counts, "opening hours") == (1, 0)


def test_sessions_wait_for_the_one_before():
    rows = [
        event("Laptop", "click", session=0, hour=9),
        event("Tablet", "click", session=1, hour=9.25),
        event("Laptop", "click", session=0, hour=9.5),
        event("Tablet", "click", session=1, hour=9.75),
        event("Charger", "click", session=2, hour=9.9),
    ]
    kept, counts = assure(rows)
    assert kept.session.tolist() == [0, 0, 1, 1, 2]
    hours = (kept.second % 86_400) / 3600
    # Session 1 lasts half an hour and starts a second after 9:30; session 2 a second after that.
    assert hours.tolist() == pytest.approx([9, 9.5, 9.5 + 1 / 3600, 10 + 1 / 3600, 10 + 2 / 3600])
    assert found(counts, "one session at a time") == (2, 0)


def test_somebody_else_at_the_account_may_be_there_at_the_same_time():
    rows = [event("Laptop", "click", session=0, hour=hour) for hour in (9, 10)]
    rows += [event("Tablet", "click", session=1, hour=9.5, cause="shared_account")]
    kept, counts = assure(rows)
    assert broken(counts) == {"in order of time"}  # the rows above are not sorted
    assert sorted(kept.second) == sorted(events_of(*rows).second)


def test_a_session_that_would_wait_too_long_is_dropped():
    rows = [event("Laptop", "click", session=0, hour=hour) for hour in (8, 18)]
    kept, counts = assure([*rows, event("Tablet", "click", session=1, hour=9)])
    assert len(kept) == 2
    assert found(counts, "one session at a time") == (0, 1)


def test_events_outside_the_days_of_the_log_are_dropped():
    kept, counts = assure([event("Laptop", day=day, session=number) for number, day in enumerate((-1, 5, 100))])
    assert len(kept) == 1
    assert found(counts, "days of the log") == (0, 2)


def test_nobody_visits_two_cities_within_two_hours():
    trips = [(0, 10, 12, CHENGDU)]
    rows = [
        event("Park", "visit", session=0, hour=12),
        event("Cinema", "visit", session=1, hour=13.5, place=place_in(CHENGDU)),
        event("Museum", "visit", session=2, hour=14.5),
        event("Zoo", "visit", session=3, hour=16.6, place=place_in(CHENGDU)),
    ]
    kept, counts = assure(rows, trips=trips)
    assert kept.leaf.tolist() == [LEAVES.index(name) for name in ("Park", "Zoo")]
    assert found(counts, "two cities within two hours") == (0, 2)


def test_other_cities_are_visited_on_trips_only():
    away = place_in(CHENGDU)
    days = (3, 9, 10, 12, 13, 20)
    rows = [event("Park", "visit", session=number, day=day, place=away) for number, day in enumerate(days)]
    kept, counts = assure(rows, trips=[(1, 0, 40, CHENGDU), (0, 10, 12, CHENGDU)])
    assert (kept.second // 86_400 - START).tolist() == [9, 10, 12, 13]  # a day before and after counts
    assert found(counts, "away from home on trips only") == (0, 2)


def test_after_a_move_the_new_city_is_home():
    rows = [
        event("Park", "visit", session=number, day=day, place=place_in(CHENGDU)) for number, day in enumerate((5, 25))
    ]
    kept, _ = assure(rows, moves=[(20, CHENGDU)])
    assert (kept.second // 86_400 - START).tolist() == [25]


def test_gifts_may_be_delivered_anywhere():
    kept, _ = assure([event("Lunch Set", cause="gift", place=place_in(CHENGDU))])
    assert len(kept) == 1


def test_a_second_pass_finds_nothing():
    rng = np.random.default_rng(0)
    leaves = ("Museum", "Diapers", "Laptop", "Lunch Set", "Beer", "Park")
    rows = [
        event(
            leaves[rng.integers(6)],
            ("click", "purchase", "visit")[rng.integers(3)],
            user=user,
            day=int(rng.integers(-1, 101)),
            hour=float(rng.uniform(0, 24)),
            session=session,
            cause=schema.CAUSES[rng.integers(10)],
            place=place_in((HANGZHOU, HANGZHOU, CHENGDU)[rng.integers(3)]),
        )
        for user in range(2)
        for session in np.repeat(np.arange(300), 2).tolist()
    ]
    rows.sort(key=lambda row: (row["user"], row["second"]))
    once, counts = quality.assure(events_of(*rows), world(age_years=17.5), LOCALE)
    assert {"alcohol", "infants", "opening hours", "one session at a time", "days of the log"} <= broken(counts)
    assert 0 < len(once) < len(rows)
    again, none = quality.assure(once, world(age_years=17.5), LOCALE)
    assert broken(none) == set()
    assert len(again) == len(once)


def test_counts_of_batches_add_up():
    _, one = assure([event("Diapers"), event("Laptop", session=1)])
    _, two = assure([event("Beer")], age_years=12)
    total = (one + two).to_json()
    assert total["rules"]["infants"] == {"checked": 1, "repaired": 0, "rejected": 1}
    assert total["rules"]["alcohol"] == {"checked": 1, "repaired": 0, "rejected": 1}
    assert (total["sessions"], total["sessions_rejected"], total["events_rejected"]) == (3, 2, 2)


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_the_rules_of_every_locale_can_be_read(locale):
    rules = {rule.name: rule for rule in quality_rules.load(locale)}
    assert len(rules) >= 20
    assert rules["alcohol"].min_age_years == {"cn": 18, "us": 21}[locale]
    assert rules["cat owners"].clauses.shape == (1, len(needs_lib.FEATURE_NAMES))
    assert not rules["cat owners"].asks_age


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"leaves": "Diapers|Moon Dust"}, "'Moon Dust' is no leaf"),
        ({"condition": "pet:dragon"}, "value of pet 'dragon' is not one of none, cat"),
        ({"condition": "mood:good"}, "unknown group 'mood'"),
        ({"causes": "whim"}, "cause 'whim'"),
        ({"actions": "steal"}, "action 'steal'"),
        ({"min_age": "old"}, "min_age 'old'"),
    ],
)
def test_a_bad_rule_is_one_clear_line(changes, words):
    row = {"rule": "mine", "leaves": "Diapers", "actions": "purchase", "causes": "own", "condition": "", "min_age": ""}
    with pytest.raises(InputError, match=words) as caught:
        quality_rules.parse([row | changes], LOCALE)
    assert str(caught.value).startswith("quality_rules.csv rule 'mine'")


def test_states_are_looked_up_day_by_day(crowd):
    course = type(crowd[0])(*(np.asarray(values)[:50] for values in crowd[0]))
    user, day = np.array([3, 49, 3]), np.array([START, START + 400, START - 4000])
    found = world_lib.features_of(course)(user, day)
    for row, (one, when) in enumerate(zip(user, day, strict=True)):
        lone = type(course)(*(jax.numpy.asarray(values[one]) for values in course))
        np.testing.assert_array_equal(found[row], evolution.features(evolution.state_at(lone, jax.numpy.int32(when))))
    assert world_lib.features_of(course)(user[:0], day[:0]).shape == (0, len(needs_lib.FEATURE_NAMES))


def test_what_the_engine_makes_is_nearly_all_kept_and_passes_a_second_time(batch, days):
    judge = world_lib.world_of(batch.course, batch.trips, *days)
    kept, counts = quality.assure(batch.events, judge, LOCALE)
    assert counts.sessions_rejected < 0.02 * counts.sessions
    assert counts.rules["away from home on trips only"]["rejected"] == 0
    _, none = quality.assure(kept, judge, LOCALE)
    assert broken(none) == set()
