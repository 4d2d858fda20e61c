import re

import numpy as np
import pytest

from usergpt_jax import locales, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, evolution, factors, fixed, preferences, priors, week_tables
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate.fixed import LOG_ZERO
from usergpt_jax.tags import HPR18

# A grown-up whose life holds none of the things that desires are conditioned on.
_PLAIN = {
    "gender": "female", "age_band": "26-29", "life_stage": "single_working", "marital_status": "single",
    "child_stage": "none", "housing_tenure": "rent", "consumption_level": "mid", "pet": "none",
    "education": "bachelor", "occupation": "office", "city_tier": "T1", "activity_zone": "cbd_office",
    "mobility_status": "local", "travel_pattern": "none", "car": "no",
}  # fmt: skip
_ROW = {
    "name": "tea", "theme": "dining", "driver": "cognitive", "goal": "order", "rate": "2", "kind": "need",
    "gift": "1.5", "cadence_days": "7", "place": "home", "evidence": "gender|pet", "weights": "",
    "leaves": "Tea:3|Coffee:1",
}  # fmt: skip
_SOURCE_OF_LEAF = {"Coffee": "ecommerce", "Tea": "ecommerce", "Cake": "ecommerce", "Tea House": "poi"}


@pytest.fixture(scope="module")
def catalog_rows() -> list[dict[str, str]]:
    return locales.read_rows("catalog.csv", "cn")


@pytest.fixture(scope="module")
def library(catalog_rows) -> needs_lib.Needs:
    rows = locales.read_rows("needs.csv", "cn")
    source_of_leaf = {row["leaf"]: row["source"] for row in catalog_rows}
    return needs_lib.parse(rows, source_of_leaf, preferences.load().names)


def _parse(*changes: dict[str, str]) -> needs_lib.Needs:
    rows = [_ROW | change for change in changes]
    return needs_lib.parse(rows, _SOURCE_OF_LEAF, preferences.load().names)


def _log_rate(library: needs_lib.Needs, desire: str, *, phases: tuple[str, ...] = (), **values: str) -> int:
    """Log rate of a desire of the plain grown-up with some values changed."""
    held = set((_PLAIN | values).items()) | {("phase", phase) for phase in phases}
    hot = np.array([feature in held for feature in needs_lib.FEATURE_NAMES])
    number = library.names.index(desire)
    return int(library.log_rate[number] + hot @ library.state_weights[:, number])


def test_there_are_hundreds_of_desires_and_leaves_and_every_leaf_is_wanted(library, catalog_rows):
    leaves = [row["leaf"] for row in catalog_rows]
    assert len(library.names) >= 300
    assert len(set(leaves)) == len(leaves) >= 330
    wanted = library.leaves[np.diff(library.leaf_cdf, axis=1, prepend=0) > 0]
    assert {leaves[number] for number in wanted} == set(leaves)


def test_the_catalogue_sells_more_than_twenty_thousand_products(catalog_rows):
    variants = sum(len(row["variants"].split("|")) for row in catalog_rows if row["source"] == "ecommerce")
    assert variants * 12 * 2 >= 22_000


def test_every_theme_driver_kind_goal_and_platform_has_desires(library):
    assert set(library.themes) == set(needs_lib.THEMES)
    assert set(library.drivers) == set(needs_lib.DRIVERS)
    assert set(library.kinds) == set(range(len(needs_lib.KINDS)))
    assert set(library.goals) == set(needs_lib.GOALS)
    assert set(library.sources) == set(range(len(schema.SOURCES)))


def test_every_tag_phase_interest_topic_and_marked_day_moves_some_desire(library):
    declared = library.evidence.any(axis=0)
    assert [tag for tag, has in zip(HPR18.names, declared, strict=True) if not has] == []
    for phase in evolution.PHASES:
        assert library.state_weights[needs_lib.FEATURE_NAMES.index(("phase", phase))].any(), phase
    assert library.interest_weights.any(axis=1).all()
    assert library.topic_weights.any(axis=1).all()
    unmoved = [name for name, row in zip(calendar.FEATURES, library.calendar_weights, strict=True) if not row.any()]
    assert set(unmoved) <= {"minor_sale", "sale_lead"}  # the calendar lifts all shopping on sale days


def test_about_a_quarter_of_desires_and_most_dimensions_are_tied_to_each_other(library):
    drawn, averse = library.preference_weights
    assert ((drawn != 0) | (averse != 0)).any(axis=0).sum() >= 100
    used = preferences.load().used
    assert not drawn[~used].any()
    assert not averse[~used].any()
    assert (drawn[used] != 0).any(axis=1).mean() > 0.7


def test_log_factors_are_integers_and_shares_end_at_one(library):
    for values in (library.log_rate, library.state_weights, library.interest_weights, library.preference_weights):
        assert values.dtype == np.int32
    assert (library.leaf_cdf[:, -1] == 1 << 16).all()
    assert (np.diff(library.leaf_cdf, axis=1) >= 0).all()
    assert library.gift.min() >= 0
    assert library.gift.max() <= 1000


@pytest.mark.parametrize(
    ("desire", "stage"),
    [
        ("change diapers", {"child_stage": "0-1", "life_stage": "parent_preschool"}),
        ("prepare birth", {"child_stage": "expecting"}),
        ("kindergarten goods", {"child_stage": "3-6"}),
        ("primary school goods", {"child_stage": "6-12"}),
        ("secondary school goods", {"child_stage": "12-18"}),
        ("vaccinations", {"child_stage": "0-1"}),
        ("cat care", {"pet": "cat"}),
        ("dog care", {"pet": "dog"}),
        ("walk the dog", {"pet": "dog"}),
        ("vet visits", {"pet": "cat"}),
        ("campus life", {"occupation": "student", "activity_zone": "campus"}),
        ("study at school", {"occupation": "student", "age_band": "<18"}),
        ("live in dormitory", {"housing_tenure": "dormitory"}),
        ("pay property fee", {"housing_tenure": "own"}),
        ("keep the car running", {"car": "yes"}),
        ("park the car", {"car": "yes"}),
        ("retired leisure", {"occupation": "retired", "age_band": "60-69"}),
        ("senior center", {"occupation": "retired", "age_band": "60-69"}),
        ("medical practice", {"occupation": "medical"}),
        ("farm the land", {"occupation": "farmer"}),
        ("upgrade to bachelor", {"education": "college"}),
        ("solo again", {"marital_status": "divorced_widowed", "age_band": "30-34"}),
    ],
)
def test_a_desire_exists_in_its_stage_only(library, desire, stage):
    assert _log_rate(library, desire) <= LOG_ZERO // 2
    assert _log_rate(library, desire, **stage) >= -64  # a third of a session a year or more


@pytest.mark.parametrize(
    ("desire", "phase", "values"),
    [
        ("plan wedding", "wedding", {"marital_status": "partnered"}),
        ("renovate home", "renovation", {"housing_tenure": "own"}),
        ("move house", "moving", {}),
        ("start at college", "enrol", {"occupation": "student"}),
        ("recover from illness", "illness", {}),
        ("first months of retirement", "retiring", {"occupation": "retired", "age_band": "60-69"}),
        ("the nest is empty", "nest_empty", {"child_stage": "adult"}),
        ("rest after birth", "new_baby", {"child_stage": "0-1"}),
        ("bring a pet home", "adopt", {"pet": "cat"}),
    ],
)
def test_a_passing_phase_opens_its_desires(library, desire, phase, values):
    before = _log_rate(library, desire, **values)
    assert before <= LOG_ZERO // 2 or desire == "renovate home"
    assert _log_rate(library, desire, phases=(phase,), **values) >= max(0, before + 64)


def test_the_desires_of_childless_grown_ups_hold_no_goods_for_children(library, catalog_rows):
    leaves = [row["leaf"] for row in catalog_rows]
    for leaf in ("Diapers", "Baby Formula", "Crib", "Vaccination Clinic", "School Uniform", "Kindergarten Gate"):
        slots = (library.leaves == leaves.index(leaf)) & (np.diff(library.leaf_cdf, axis=1, prepend=0) > 0)
        own = slots.any(axis=1) & (library.kinds != needs_lib.KINDS.index("gift"))
        assert own.any()
        assert all(_log_rate(library, library.names[number]) <= LOG_ZERO // 2 for number in np.nonzero(own)[0]), leaf


def test_factors_multiply_and_star_stands_for_the_rest():
    library = _parse(
        {"weights": "gender:male=2/*=0.5;interests:fishing=4/*=0.25;preference:travel=3;averse:travel=0.5"}
    )
    log2 = round(64 * np.log(2))
    state = dict(zip(needs_lib.FEATURE_NAMES, library.state_weights[:, 0], strict=True))
    assert state["gender", "male"] == log2
    assert state["gender", "female"] == -log2
    assert state["pet", "cat"] == 0
    assert library.log_rate[0] == log2 - round(64 * np.log(4))  # 2 a year, a quarter of it without the interest
    fishing = library.interest_weights[priors.INTERESTS.index("fishing"), 0]
    assert library.log_rate[0] + fishing == log2 + round(64 * np.log(4))
    travel = preferences.load().names.index("travel")
    assert library.preference_weights[:, travel, 0].tolist() == [round(64 * np.log(3)), -log2]


def test_a_factor_of_zero_is_a_precondition():
    library = _parse({"weights": "child_stage:0-1=1/*=0;phase:moving=2/*=0;calendar:summer=0;topic:film=2/*=1"})
    state = dict(zip(needs_lib.FEATURE_NAMES, library.state_weights[:, 0], strict=True))
    assert state["child_stage", "0-1"] == 0
    assert state["child_stage", "none"] == LOG_ZERO
    assert library.log_rate[0] + state["phase", "moving"] == 2 * round(64 * np.log(2))
    assert library.log_rate[0] <= LOG_ZERO // 2
    assert library.calendar_weights[calendar.FEATURES.index("summer"), 0] == LOG_ZERO
    assert library.topic_weights[needs_lib.TOPIC_THEMES.index("film"), 0] == round(64 * np.log(2))


def test_leaves_evidence_and_numbers_are_read():
    library = _parse({})
    assert library.leaves[0].tolist() == [1, 0, 1, 1, 1, 1]  # Tea, Coffee, and what is never drawn
    assert library.leaf_cdf[0].tolist() == [49152, *[65536] * 5]  # 3/4 of 2**16, then 1
    assert library.gift[0] == 150
    assert library.cadence_days[0] == 7
    assert [tag for tag, has in zip(HPR18.names, library.evidence[0], strict=True) if has] == ["gender", "pet"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leaves": "Tee:1"}, "unknown leaf 'Tee', expected Leaf:share of catalog.csv"),
        ({"leaves": ""}, "0 leaves, expected 1 to 6"),
        ({"leaves": "|".join(["Tea:1"] * 7)}, "7 leaves, expected 1 to 6"),
        ({"leaves": "Tea:many"}, "share of 'Tea' is 'many', expected a number of at least 0"),
        ({"leaves": "Tea:0"}, "shares of its leaves add up to 0, expected more"),
        ({"leaves": "Tea:1|Tea House:1"}, "leaves are on ecommerce and poi, expected one platform"),
        ({"weights": "sex:male=2"}, "unknown group 'sex', expected one of gender, age_band"),
        ({"weights": "gender:man=2"}, "group gender: unknown value 'man', expected one of male, female, *"),
        ({"weights": "preference:tea=2"}, "group preference: unknown value 'tea', expected one of young"),
        ({"weights": "topic:tea=2"}, "group topic: unknown value 'tea', expected one of sports_event"),
        ({"weights": "calendar:double11=2"}, "group calendar: unknown value 'double11', expected one of major_sale"),
        ({"weights": "gender:male=two"}, "factor of 'male' is 'two', expected a number of at least 0"),
        ({"weights": "gender:male=-2"}, "factor of 'male' is '-2', expected a number of at least 0"),
        ({"weights": "gender:male"}, "'male' is no factor, expected value=factor"),
        ({"weights": "gender:male=1/male=2"}, "value 'male' stands twice, expected each once"),
        ({"weights": "gender:male=1;gender:male=2"}, "weights name the group 'gender' twice"),
        ({"weights": "phase:moving=1/wedding=2/*=0"}, "*=0 with 2 values, expected one value beside *=0"),
        ({"evidence": "gender|sex"}, "unknown tag 'sex', expected one of gender"),
        ({"theme": "tea"}, "unknown theme 'tea', expected one of childcare"),
        ({"driver": "thirst"}, "unknown driver 'thirst', expected one of environment"),
        ({"goal": "drink"}, "unknown goal 'drink', expected one of order"),
        ({"goal": "visit"}, "unknown goal on ecommerce 'visit', expected one of order, browse"),
        ({"kind": "wish"}, "unknown kind 'wish', expected one of need"),
        ({"place": "cafe"}, "unknown place 'cafe', expected one of none"),
        ({"rate": "-1"}, "rate is '-1', expected a number from 0 to 1024"),
        ({"rate": "often"}, "rate is 'often', expected a number from 0 to 1024"),
        ({"rate": "nan"}, "rate is 'nan', expected a number from 0 to 1024"),
        ({"rate": "1e9"}, "rate is '1e9', expected a number from 0 to 1024"),
        ({"rate": "0"}, "rate is 0, expected more than 0"),
        ({"gift": "11"}, "gift is '11', expected a number from 0 to 10"),
        *(
            ({"cadence_days": days}, f"cadence_days is '{days}', expected a whole number from 1 to 1500")
            for days in ("", "0", "1.5", "-7", "1501", "32769", "week")
        ),
    ],
)
def test_a_bad_row_gives_one_clear_line(change, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        _parse({"name": "coffee"}, change)
    assert str(error.value).startswith("needs.csv, desire 'tea'")
    assert "\n" not in str(error.value)


def test_bounds_of_numbers_are_what_fixed_point_holds():
    library = _parse({"rate": "1024", "cadence_days": "1500"})
    assert library.log_rate[0] <= fixed.LOG_TOP
    assert fixed.WEIGHTS[library.log_rate[0] - LOG_ZERO] == fixed.WEIGHTS.max()  # no rate weighs more
    eighths_a_day = (week_tables.PRESSURE_STEPS << week_tables.RECIPROCAL_BITS) // library.cadence_days[0]
    assert eighths_a_day * 1500 >= 0.95 * (week_tables.PRESSURE_STEPS << week_tables.RECIPROCAL_BITS)


def test_a_desire_may_stand_once():
    with pytest.raises(InputError, match=r"needs\.csv, desire 'tea': stands twice, expected each name once"):
        _parse({}, {})


def test_a_missing_column_is_named():
    row = {name: value for name, value in _ROW.items() if name != "goal"}
    with pytest.raises(InputError, match=r"needs\.csv: no column 'goal', expected name, theme"):
        needs_lib.parse([row], _SOURCE_OF_LEAF, preferences.load().names)


def test_a_cell_without_text_has_no_factors():
    assert factors.parse("", {"gender": ("male",)}, "here") == {}


def test_the_lexicon_names_leaves_tags_and_values_that_exist(catalog_rows):
    rows = locales.read_rows("evidence.csv", "cn")
    leaves = {row["leaf"] for row in catalog_rows}
    assert len({(row["item"], row["tag"], row["value"]) for row in rows}) == len(rows) > 600
    for row in rows:
        assert row["item"] in leaves
        assert row["value"] in (HPR18[row["tag"]].values or priors.INTERESTS)
        assert 0 < float(row["weight"]) <= 1
    assert {row["value"] for row in rows if row["tag"] == "interests"} == set(priors.INTERESTS)
