import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from usergpt_jax.simulate import evolution, persona
from usergpt_jax.simulate.evolution import PHASES, STATE_TAGS
from usergpt_jax.tags import HPR18

START_DAY, AS_OF_DAY = 19_540, 20_270
NEVER = persona.NEVER
STATE_AT = jax.jit(evolution.state_at)


@pytest.fixture(scope="module")
def course() -> persona.Course:
    return persona.sample_courses(persona.user_uniforms(4, np.arange(3000)), AS_OF_DAY)


@pytest.fixture(scope="module")
def told(course) -> pl.DataFrame:
    return evolution.life_events(course, START_DAY, AS_OF_DAY)


def one(course: persona.Course, **changes) -> persona.Course:
    """The first user with other fields."""
    alone = persona.Course(*(field[0] for field in course))
    return alone._replace(**{name: np.asarray(value, np.int32) for name, value in changes.items()})


def calm(course: persona.Course) -> persona.Course:
    """A grown-up of 40 years to whom nothing ever happens."""
    dates = {name: NEVER for name in course._fields if name.endswith("_day")}
    return one(course, **dates | {"birth_day": 0, "graduation_day": 8000, "move_days": [NEVER] * 3, "settlement": 0})


def married(course: persona.Course, **changes: int) -> persona.Course:
    """The calm grown-up with a partner from day 9000 and a wedding on day 9500, and other fields."""
    dates = {"partner_day": 9000, "marriage_day": 9500} | changes
    return calm(course)._replace(**{name: np.int32(value) for name, value in dates.items()})


def phases(course: persona.Course, day: int) -> set[str]:
    state = STATE_AT(course, jnp.int32(day))
    return {name for name, on in zip(PHASES, np.asarray(state.phases), strict=True) if on}


def tag(course: persona.Course, day: int, name: str) -> str:
    state = STATE_AT(course, jnp.int32(day))
    return HPR18[name].values[int(state.tags[STATE_TAGS.index(name)])]


def test_a_state_is_integers_only(course):
    """No float enters, so that every device agrees."""
    closed = jax.make_jaxpr(evolution.state_at)(persona.Course(*(field[0] for field in course)), jnp.int32(20_000))
    kinds = {variable.aval.dtype.kind for equation in closed.jaxpr.eqns for variable in equation.outvars}
    assert kinds <= {"i", "b", "u"}


def test_age_bands_change_on_the_birthday(course):
    child = one(course, birth_day=0)
    turns = evolution.whole_days(18)
    assert turns == 6575  # 18 * 365.2425 = 6574.4
    assert tag(child, turns - 1, "age_band") == "<18"
    assert tag(child, turns, "age_band") == "18-22"


def test_the_youngest_child_counts(course):
    parent = married(course, first_birth_day=10_000, second_birth_day=11_500, third_birth_day=13_000)
    stages = [tag(parent, day, "child_stage") for day in (9700, 9731, 10_100, 11_490, 11_500, 12_990, 13_010, 19_600)]
    assert stages == ["none", "expecting", "0-1", "3-6", "0-1", "3-6", "0-1", "adult"]
    state = STATE_AT(parent, jnp.int32(13_000 + 366))
    assert int(state.child_months) == 12


def test_remarriage_ends_the_time_apart(course):
    life = married(course, separation_day=11_000, remarriage_day=12_000)
    found = [tag(life, day, "marital_status") for day in (8999, 9499, 10_999, 11_999, 12_000)]
    assert found == ["single", "partnered", "married", "divorced_widowed", "married"]


def test_two_job_changes_lead_to_the_last_job(course):
    jobs = [HPR18["occupation"].values.index(name) for name in ("office", "teacher", "finance")]
    life = calm(course)._replace(
        occupation=np.int32(jobs[0]),
        next_occupation=np.int32(jobs[1]),
        last_occupation=np.int32(jobs[2]),
        job_change_day=np.int32(9000),
        second_job_change_day=np.int32(10_000),
    )
    found = [tag(life, day, "occupation") for day in (7999, 8999, 9999, 10_000)]
    assert found == ["student", "office", "teacher", "finance"]


@pytest.mark.parametrize(
    ("field", "phase", "inside", "outside"),
    [
        ("marriage_day", "wedding", (-150, 20), (-151, 21)),
        ("buy_home_day", "renovation", (-20, 180), (-21, 181)),
        ("retire_day", "retiring", (-60, 120), (-61, 121)),
        ("nest_empty_day", "nest_empty", (-30, 120), (-31, 121)),
        ("third_birth_day", "pregnancy", (-270, 0), (-271, 1)),
        ("third_birth_day", "new_baby", (0, 120), (-1, 121)),
    ],
)
def test_a_phase_lasts_about_its_date(course, field, phase, inside, outside):
    life = calm(course)._replace(**{field: np.int32(14_000)})
    assert phases(calm(course), 14_000) == set()
    assert all(phase in phases(life, 14_000 + step) for step in inside)
    assert not any(phase in phases(life, 14_000 + step) for step in outside)


def test_an_illness_lasts_its_days(course):
    life = calm(course)._replace(illness_day=np.int32(14_000), illness_days=np.int32(30))
    assert [("illness" in phases(life, day)) for day in (13_999, 14_000, 14_029, 14_030)] == [False, True, True, False]


def test_features_are_one_hot_tags_phases_and_car(course):
    state = STATE_AT(persona.Course(*(field[0] for field in course)), jnp.int32(AS_OF_DAY))
    vector = np.asarray(evolution.features(state))
    n_values = sum(len(HPR18[name].values) for name in STATE_TAGS)
    assert vector.dtype == np.int32
    assert len(vector) == n_values + len(PHASES) + 2
    assert vector[:n_values].sum() == len(STATE_TAGS)
    assert vector[-2:].sum() == 1


def test_lives_change_during_the_log(course):
    at = jax.jit(jax.vmap(evolution.state_at, in_axes=(0, None)))
    before, after = (np.asarray(at(course, jnp.int32(day)).tags) for day in (START_DAY, AS_OF_DAY))
    stage, names = STATE_TAGS.index("life_stage"), HPR18["life_stage"].values
    pairs = {(names[a], names[b]) for a, b in zip(before[:, stage], after[:, stage], strict=True) if a != b}
    assert (before[:, stage] != after[:, stage]).mean() > 0.1
    assert {
        ("student", "single_working"),
        ("single_working", "couple_no_child"),
        ("couple_no_child", "parent_preschool"),
        ("parent_preschool", "parent_school"),
        ("parent_school", "empty_nest"),
        ("empty_nest", "retired"),
    } <= pairs


def test_life_events_lie_inside_the_days_in_order(told):
    assert told.columns == ["user", "date", "event"]
    assert told["date"].min() >= "2023-07-02"
    assert told["date"].max() < "2025-07-01"
    assert told.equals(told.sort("user", "date", maintain_order=True))


def test_every_kind_of_life_event_occurs(told):
    kinds = {event for event in told["event"].to_list() if not event.startswith("moved to")}
    assert kinds >= {
        "enrolled", "graduated", "found the first job", "changed job", "retired", "found a partner", "married",
        "separated or widowed", "remarried", "empty nest", "left the parents' home", "bought a home", "fell ill",
        "recovered", "first pregnancy", "first child born", "second child born", "third child born",
        "adopted a pet: cat", "a child turned 1", "a child turned 3", "a child turned 6", "a child turned 12",
        "a child turned 18",
    }  # fmt: skip
    assert told["event"].str.starts_with("moved to").any()


def test_life_events_match_the_course(course, told):
    weddings = told.filter(pl.col("event") == "married")
    inside = np.flatnonzero((course.marriage_day >= START_DAY) & (course.marriage_day < AS_OF_DAY))
    assert weddings["user"].to_list() == inside.tolist()
    days = weddings["date"].str.to_date().cast(pl.Int32)
    np.testing.assert_array_equal(days.to_numpy(), course.marriage_day[inside])


def test_an_empty_span_tells_nothing(course):
    assert evolution.life_events(course, AS_OF_DAY, AS_OF_DAY).is_empty()
