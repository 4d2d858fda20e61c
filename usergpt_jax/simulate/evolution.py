"""How a persona changes: the state of any day from the life course, by integer comparisons only.

Interests are not part of a day's state: they drift in the dynamics.

Paper: §2.1 (event-driven evolution).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Int

from usergpt_jax import gazetteer, locales
from usergpt_jax.simulate import population, priors
from usergpt_jax.simulate.persona import NEVER, Course
from usergpt_jax.tags import HPR18

PHASES = (
    "wedding", "moving", "renovation", "new_job", "enrol", "graduation", "pregnancy", "adopt", "illness", "retiring",
    "nest_empty", "new_baby",
)  # fmt: skip
PREGNANCY_DAYS = 270
_NEW_BABY_DAYS = 120
_YEAR_DAYS, _TWO_YEARS_DAYS = 365, 730


def whole_days(years: float | int) -> int:
    """The first day, counted from birth, at which somebody is so many years old."""
    return int(np.ceil(years * priors.DAYS_PER_YEAR))


_AGE_CUTS = np.array([whole_days(years) for years in (18, 23, 26, 30, 35, 40, 50, 60, 70)], np.int32)
_CHILD_CUTS = np.array([whole_days(years) for years in (0, 1, 3, 6, 12, 18)], np.int32)
_SCHOOL_CUTS = np.array([whole_days(years) for years in population.SCHOOL_AGES], np.int32)
_SCHOOL_LEVELS = np.array(population.SCHOOL_LEVELS, np.int32)
_BOARDER_DAYS = whole_days(15.5)
_N_TIERS = len(gazetteer.CITY_TIERS)
_OCCUPATIONS = {name: number for number, name in enumerate(priors.OCCUPATIONS)}
_STAGES = {name: number for number, name in enumerate(HPR18["life_stage"].values)}
_TENURE = {name: number for number, name in enumerate(HPR18["housing_tenure"].values)}
_ZONE = {name: number for number, name in enumerate(priors.ZONES)}
# Cumulative weights out of 65536 of the zones of each occupation.
_ZONE_CDF = np.array([np.cumsum(priors.ZONE_PERCENT[name]) * 65536 // 100 for name in priors.OCCUPATIONS], np.int32)
_SCHOOLED_IN_TOWN, _WORKS_IN_VILLAGE = 39_322, 52_429  # 0.6 and 0.8 of 65536

# The closed tags that needs may depend on, in feature order.
STATE_TAGS = (
    "gender", "age_band", "life_stage", "marital_status", "child_stage", "housing_tenure", "consumption_level", "pet",
    "education", "occupation", "city_tier", "activity_zone", "mobility_status", "travel_pattern",
)  # fmt: skip


class State(NamedTuple):
    """A user's day: value numbers of `STATE_TAGS`, and what else needs and places depend on."""

    tags: Int[Array, "*U 14"]
    phases: Int[Array, "*U P"]  # 1 where the phase of `PHASES` lasts
    car: Int[Array, "*U"]
    city: Int[Array, "*U"]
    child_months: Int[Array, "*U"]  # of the youngest child, or of the user while at school


def state_at(course: Course, day: Int[Array, ""]) -> State:
    """The state of one user on one epoch day."""
    age_days = day - course.birth_day
    student = day < course.graduation_day
    occupation = _occupation(course, day)
    marital = _marital(course, day)
    child, child_months = _child(course, day)
    stay = jnp.sum(day >= course.move_days)
    city = course.cities[stay]
    tags = {
        "gender": course.gender,
        "age_band": jnp.sum(age_days >= _AGE_CUTS),
        "life_stage": _life_stage(occupation, marital, child),
        "marital_status": marital,
        "child_stage": child,
        "housing_tenure": _tenure(course, day, age_days, occupation),
        "consumption_level": course.consumption_level,
        "pet": jnp.where(day >= course.pet_day, course.pet, 0),
        "education": jnp.minimum(course.education, jnp.asarray(_SCHOOL_LEVELS)[jnp.sum(age_days >= _SCHOOL_CUTS)]),
        "occupation": occupation,
        "city_tier": jnp.where(course.settlement == 2, _N_TIERS, course.city_tiers[stay]),
        "activity_zone": _zone(course, occupation),
        "mobility_status": _mobility(course, day, city),
        "travel_pattern": course.travel_pattern,
    }
    return State(
        tags=jnp.stack([jnp.asarray(tags[name], jnp.int32) for name in STATE_TAGS]),
        phases=_phases(course, day),
        car=jnp.asarray(course.car),
        city=city,
        child_months=jnp.where(student, _months(age_days), child_months),
    )


def features(state: State) -> Int[Array, " F"]:
    """One-hot tags, then phases and car as 0/1."""
    hot = [(state.tags[i] == jnp.arange(len(HPR18[name].values))) for i, name in enumerate(STATE_TAGS)]
    car = jnp.stack([state.car == 0, state.car == 1])
    return jnp.concatenate([*hot, state.phases == 1, car]).astype(jnp.int32)


def _months(days: Array) -> Array:
    """Whole months of an age in days: a month is 487/16 days, a minute off the mean."""
    return jnp.maximum(days, 0) * 16 // 487


def _occupation(course: Course, day: Array) -> Array:
    job = jnp.where(day >= course.job_change_day, course.next_occupation, course.occupation)
    job = jnp.where(day >= course.second_job_change_day, course.last_occupation, job)
    job = jnp.where(day >= course.homemaker_day, _OCCUPATIONS["homemaker"], job)
    job = jnp.where(day >= course.retire_day, _OCCUPATIONS["retired"], job)
    return jnp.where(day < course.graduation_day, _OCCUPATIONS["student"], job)


def _marital(course: Course, day: Array) -> Array:
    """Single, partnered, married, divorced or widowed; married again after that."""
    first = jnp.sum(day >= jnp.stack([course.partner_day, course.marriage_day, course.separation_day]))
    return jnp.where(day >= course.remarriage_day, 2, first)


def _births(course: Course) -> Array:
    return jnp.stack([course.first_birth_day, course.second_birth_day, course.third_birth_day])


def _child(course: Course, day: Array) -> tuple[Array, Array]:
    """Stage of the youngest child (none, expecting, 0-1, ...) and its age in months; a first child may be expected."""
    births = _births(course)
    youngest = jnp.max(jnp.where(day >= births, births, -NEVER))
    age_days = jnp.where(youngest > -NEVER, day - youngest, -1)
    expecting = (day < course.first_birth_day) & (day >= course.first_birth_day - PREGNANCY_DAYS)
    born = jnp.sum(age_days >= _CHILD_CUTS)  # 0 before birth, then 1 for "0-1"
    stage = jnp.where(expecting, 1, jnp.where(born > 0, born + 1, 0))
    return stage, _months(age_days)


def _life_stage(occupation: Array, marital: Array, child: Array) -> Array:
    single = (marital == 0) | (marital == 3)
    childless = jnp.where(single, _STAGES["single_working"], _STAGES["couple_no_child"])
    retired = occupation == _OCCUPATIONS["retired"]
    stage = jnp.where((child == 0) & retired, _STAGES["retired"], childless)
    stage = jnp.where(child == 1, _STAGES["expecting"], stage)
    stage = jnp.where((child >= 2) & (child <= 4), _STAGES["parent_preschool"], stage)
    stage = jnp.where((child >= 5) & (child <= 6), _STAGES["parent_school"], stage)
    stage = jnp.where(child == 7, jnp.where(retired, _STAGES["retired"], _STAGES["empty_nest"]), stage)
    return jnp.where(occupation == _OCCUPATIONS["student"], _STAGES["student"], stage)


def _tenure(course: Course, day: Array, age_days: Array, occupation: Array) -> Array:
    student = occupation == _OCCUPATIONS["student"]
    in_college = student & (day >= course.enrol_day)
    boarder = student & (age_days >= _BOARDER_DAYS) & (course.boards == 1)
    factory = (occupation == _OCCUPATIONS["factory_construction"]) & (course.boards == 1) & (day < course.marriage_day)
    tenure = jnp.where(day < course.leave_home_day, _TENURE["with_family"], _TENURE["rent"])
    tenure = jnp.where(student, _TENURE["with_family"], tenure)
    settled_local = (course.settlement > 0) & (day >= course.marriage_day)
    tenure = jnp.where((day >= course.buy_home_day) | settled_local, _TENURE["own"], tenure)
    return jnp.where(in_college | boarder | (factory & (tenure != _TENURE["own"])), _TENURE["dormitory"], tenure)


def _zone(course: Course, occupation: Array) -> Array:
    city = jnp.minimum(jnp.sum(jnp.asarray(_ZONE_CDF)[occupation] <= course.zone_draw), len(priors.ZONES) - 1)
    on_campus = (occupation == _OCCUPATIONS["student"]) | (occupation == _OCCUPATIONS["teacher"])
    county = jnp.where(on_campus & (course.zone_draw < _SCHOOLED_IN_TOWN), _ZONE["campus"], _ZONE["county_town"])
    village = jnp.where(course.zone_draw < _WORKS_IN_VILLAGE, _ZONE["rural"], _ZONE["county_town"])
    return jnp.where(course.settlement == 0, city, jnp.where(course.settlement == 1, county, village))


def _mobility(course: Course, day: Array, city: Array) -> Array:
    ago = day - course.move_days
    within_two_years = jnp.sum((ago >= 0) & (ago < _TWO_YEARS_DAYS))
    within_one_year = jnp.sum((ago >= 0) & (ago < _YEAR_DAYS))
    settled = jnp.where(course.hometown_city == city, 0, 1)
    return jnp.where(within_two_years >= 3, 3, jnp.where(within_one_year >= 1, 2, settled))


def _phases(course: Course, day: Array) -> Int[Array, " P"]:
    def near(event_day: Array, before: int, after: int) -> Array:
        return (day >= event_day - before) & (day <= event_day + after)

    births = _births(course)
    changes = jnp.stack([course.job_change_day, course.second_job_change_day, course.graduation_day])
    works = day < course.retire_day
    flags = {
        "wedding": near(course.marriage_day, 150, 20) | near(course.remarriage_day, 90, 10),
        "moving": jnp.any(near(course.move_days, 20, 25)) | near(course.leave_home_day, 10, 25),
        "renovation": near(course.buy_home_day, 20, 180),
        "new_job": jnp.any(near(changes, 30, 60)) & works,
        "enrol": near(course.enrol_day, 10, 45),
        "graduation": near(course.graduation_day, 60, 20),
        "pregnancy": jnp.any(near(births, PREGNANCY_DAYS, 0)),
        "adopt": near(course.pet_day, 5, 60) & (course.pet > 0),
        "illness": (day >= course.illness_day) & (day < course.illness_day + course.illness_days),
        "retiring": near(course.retire_day, 60, 120),
        "nest_empty": near(course.nest_empty_day, 30, 120),
        "new_baby": jnp.any(near(births, 0, _NEW_BABY_DAYS)),
    }
    return jnp.stack([flags[name] for name in PHASES]).astype(jnp.int32)


# What a date of the course is called when it comes up in a life.
_EVENTS = {
    "enrol_day": "enrolled",
    "graduation_day": "graduated",
    "job_change_day": "changed job",
    "second_job_change_day": "changed job",
    "homemaker_day": "left work for the family",
    "retire_day": "retired",
    "partner_day": "found a partner",
    "marriage_day": "married",
    "separation_day": "separated or widowed",
    "remarriage_day": "remarried",
    "nest_empty_day": "empty nest",
    "leave_home_day": "left the parents' home",
    "buy_home_day": "bought a home",
    "illness_day": "fell ill",
}
_FIRST_JOB_DAYS = 10  # from the last day of school
_CHILD_BIRTHDAYS = (1, 3, 6, 12, 18)
_CHILDREN = ("first", "second", "third")


def life_events(course: Course, start_day: int, as_of_day: int, locale: str = locales.DEFAULT) -> pl.DataFrame:
    """What happened to each user in [start_day, as_of_day): columns user, date (text) and event, sorted by user, date.

    Args:
      course: of users [U], arrays.
      start_day: first epoch day that counts.
      as_of_day: epoch day after the last.
      locale: names the cities.
    """
    of = {name: np.asarray(values) for name, values in course._asdict().items()}
    texts, days, happens = [], [], []
    works = of["graduation_day"] + _FIRST_JOB_DAYS < np.minimum(of["retire_day"], of["homemaker_day"])
    everywhere = np.ones(len(works), bool)

    def told(text: str, day: np.ndarray, where: np.ndarray = everywhere) -> None:
        texts.append(text)
        days.append(day)
        happens.append(where & (day >= start_day) & (day < as_of_day))

    for field, text in _EVENTS.items():
        # A retired person or one at home changes no job; a home of one's own ends the life with parents.
        at_work = (of[field] < of["retire_day"]) & (of[field] < of["homemaker_day"])
        told(text, of[field], at_work if field.endswith("job_change_day") else everywhere)
    told("found the first job", of["graduation_day"] + _FIRST_JOB_DAYS, works)
    told("recovered", of["illness_day"] + of["illness_days"])
    for number, name in enumerate(priors.PETS):
        told(f"adopted a pet: {name}", of["pet_day"], (of["pet"] == number) & (number > 0))
    for child in _CHILDREN:
        born = of[f"{child}_birth_day"]
        told(f"{child} pregnancy", born - PREGNANCY_DAYS)
        told(f"{child} child born", born)
        for years in _CHILD_BIRTHDAYS:
            told(f"a child turned {years}", born + whole_days(years), born < NEVER)
    n_plain = len(texts)
    cities = gazetteer.cities(locale)
    names = [f"{how} {city.name}" for how in ("moved to", "moved within") for city in cities]
    kind, user = np.nonzero(np.stack(happens))
    day = np.stack(days)[kind, user]
    move = (of["move_days"] >= start_day) & (of["move_days"] < as_of_day)
    mover, stay = np.nonzero(move)
    home, new_home = of["cities"][mover, stay], of["cities"][mover, stay + 1]
    how = np.where(home == new_home, len(cities), 0)
    table = pl.DataFrame(
        {
            "user": np.concatenate([user, mover]).astype(np.int64),
            "date": np.concatenate([day, of["move_days"][mover, stay]]).astype(np.int32),
            "event": np.concatenate([kind, n_plain + how + new_home]).astype(np.int64),
        }
    )
    table = table.sort("user", "date", "event")
    words = pl.Series("event", texts + names).gather(table["event"])
    return table.with_columns(pl.col("date").cast(pl.Date).dt.to_string("%Y-%m-%d"), words)
