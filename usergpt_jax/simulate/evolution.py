"""How a persona changes: the state of any day from the life course, and the life events along it.

Paper: §2.1 (event-driven evolution).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from usergpt_jax import gazetteer
from usergpt_jax.simulate import places, priors
from usergpt_jax.simulate.calendar import date_of
from usergpt_jax.simulate.persona import NEVER, Course
from usergpt_jax.tags import HPR18

PHASES = ("wedding", "moving", "renovation", "new_job", "enrol", "graduation", "pregnancy", "adopt")
_YEAR = priors.DAYS_PER_YEAR
_CITY_TIER = jnp.asarray(places.city_column("tier"), jnp.int32)
_N_TIERS = len(gazetteer.CITY_TIERS)
_AGE_CUTS = jnp.array([18, 23, 26, 30, 35, 40, 50, 60, 70], jnp.float32)
_CHILD_CUTS = jnp.array([0, 1, 3, 6, 12, 18], jnp.float32)
_PREGNANCY_DAYS = 270
# The level a pupil or student is at, by age: the highest attained or current one counts.
_SCHOOL_AGES = jnp.array([15.5, 18.4, 22.4], jnp.float32)
_SCHOOL_LEVEL = jnp.array([0, 1, 3, 4])
_OCCUPATIONS = {name: number for number, name in enumerate(priors.OCCUPATIONS)}
_STAGES = {name: number for number, name in enumerate(HPR18["life_stage"].values)}
_TENURE = {name: number for number, name in enumerate(HPR18["housing_tenure"].values)}
_ZONE = {name: number for number, name in enumerate(priors.ZONES)}
_ZONE_TABLE = np.array([priors.ZONE_WEIGHT[name] for name in priors.OCCUPATIONS])
_ZONE_CDF = jnp.asarray(np.cumsum(_ZONE_TABLE / _ZONE_TABLE.sum(1, keepdims=True), axis=1), jnp.float32)

# The closed tags that needs may depend on, in feature order.
STATE_TAGS = (
    "gender", "age_band", "life_stage", "marital_status", "child_stage", "housing_tenure", "consumption_level", "pet",
    "education", "occupation", "city_tier", "activity_zone", "mobility_status", "travel_pattern",
)  # fmt: skip


class State(NamedTuple):
    """A user's day: value numbers of `STATE_TAGS`, and what else needs and places depend on."""

    tags: Int[Array, "14"]
    interests: Int[Array, "16"]  # 1 where the user has it
    phases: Int[Array, "8"]
    car: Int[Array, ""]
    city: Int[Array, ""]
    child_months: Int[Array, ""]  # of the youngest child, or of the user while at school


def state_at(course: Course, day: Int[Array, ""]) -> State:
    """The state of one user on one epoch day."""
    age_years = (day - course.birth_day) / _YEAR
    student = day < course.graduation_day
    occupation = _occupation(course, day)
    marital = jnp.sum(day >= jnp.stack([course.partner_day, course.marriage_day, course.separation_day]))
    child, child_months = _child(course, day)
    city = course.cities[jnp.sum(day >= course.move_days)]
    tags = {
        "gender": course.gender,
        "age_band": jnp.sum(age_years >= _AGE_CUTS),
        "life_stage": _life_stage(occupation, marital, child),
        "marital_status": marital,
        "child_stage": child,
        "housing_tenure": _tenure(course, day, age_years, occupation),
        "consumption_level": course.consumption_level,
        "pet": jnp.where(day >= course.pet_day, course.pet, 0),
        "education": jnp.minimum(course.education, _SCHOOL_LEVEL[jnp.sum(age_years >= _SCHOOL_AGES)]),
        "occupation": occupation,
        "city_tier": jnp.where(course.settlement == 2, _N_TIERS, _CITY_TIER[city]),
        "activity_zone": _zone(course, occupation),
        "mobility_status": _mobility(course, day, city),
        "travel_pattern": course.travel_pattern,
    }
    numbers = jnp.arange(len(priors.INTERESTS))
    return State(
        tags=jnp.stack([tags[name] for name in STATE_TAGS]).astype(jnp.int32),
        interests=jnp.any(course.interests[:, None] == numbers[None, :], axis=0).astype(jnp.int32),
        phases=_phases(course, day),
        car=course.car,
        city=city,
        child_months=jnp.where(student, jnp.floor(age_years * 12).astype(jnp.int32), child_months),
    )


def _occupation(course: Course, day: Array) -> Array:
    job = jnp.where(day >= course.job_change_day, course.next_occupation, course.occupation)
    job = jnp.where(day >= course.homemaker_day, _OCCUPATIONS["homemaker"], job)
    job = jnp.where(day >= course.retire_day, _OCCUPATIONS["retired"], job)
    return jnp.where(day < course.graduation_day, _OCCUPATIONS["student"], job)


def _child(course: Course, day: Array) -> tuple[Array, Array]:
    """Stage of the youngest child (none, expecting, 0-1, ...) and its age in months; a first child may be expected."""
    youngest = jnp.where(day >= course.second_birth_day, course.second_birth_day, course.first_birth_day)
    years = (day - youngest) / _YEAR
    expecting = (day < course.first_birth_day) & (day >= course.first_birth_day - _PREGNANCY_DAYS)
    born = jnp.sum(years >= _CHILD_CUTS)  # 0 before birth, then 1 for "0-1"
    stage = jnp.where(expecting, 1, jnp.where(born > 0, born + 1, 0))
    return stage, jnp.where(born > 0, jnp.floor(years * 12).astype(jnp.int32), 0)


def _life_stage(occupation: Array, marital: Array, child: Array) -> Array:
    single = (marital == 0) | (marital == 3)
    childless = jnp.where(single, _STAGES["single_working"], _STAGES["couple_no_child"])
    retired = occupation == _OCCUPATIONS["retired"]
    stage = jnp.where(child == 0, jnp.where(retired, _STAGES["retired"], childless), childless)
    stage = jnp.where(child == 1, _STAGES["expecting"], stage)
    stage = jnp.where((child >= 2) & (child <= 4), _STAGES["parent_preschool"], stage)
    stage = jnp.where((child >= 5) & (child <= 6), _STAGES["parent_school"], stage)
    stage = jnp.where(child == 7, jnp.where(retired, _STAGES["retired"], _STAGES["empty_nest"]), stage)
    return jnp.where(occupation == _OCCUPATIONS["student"], _STAGES["student"], stage)


def _tenure(course: Course, day: Array, age_years: Array, occupation: Array) -> Array:
    student = occupation == _OCCUPATIONS["student"]
    in_college = student & (day >= course.enrol_day)
    boarder = student & (age_years >= 15.5) & (course.boards == 1)
    factory = (occupation == _OCCUPATIONS["factory_construction"]) & (course.boards == 1) & (day < course.marriage_day)
    tenure = jnp.where(day < course.leave_home_day, _TENURE["with_family"], _TENURE["rent"])
    tenure = jnp.where(student, _TENURE["with_family"], tenure)
    settled_local = (course.settlement > 0) & (day >= course.marriage_day)
    tenure = jnp.where((day >= course.buy_home_day) | settled_local, _TENURE["own"], tenure)
    return jnp.where(in_college | boarder | (factory & (tenure != _TENURE["own"])), _TENURE["dormitory"], tenure)


def _zone(course: Course, occupation: Array) -> Array:
    city = jnp.minimum(jnp.sum(_ZONE_CDF[occupation] <= course.zone_draw), len(priors.ZONES) - 1)
    on_campus = (occupation == _OCCUPATIONS["student"]) | (occupation == _OCCUPATIONS["teacher"])
    county = jnp.where(on_campus & (course.zone_draw < 0.6), _ZONE["campus"], _ZONE["county_town"])
    village = jnp.where(course.zone_draw < 0.8, _ZONE["rural"], _ZONE["county_town"])
    return jnp.where(course.settlement == 0, city, jnp.where(course.settlement == 1, county, village))


def _mobility(course: Course, day: Array, city: Array) -> Array:
    ago = day - course.move_days
    within_two_years = jnp.sum((ago >= 0) & (ago < 2 * _YEAR))
    within_one_year = jnp.sum((ago >= 0) & (ago < _YEAR))
    settled = jnp.where(course.hometown_city == city, 0, 1)
    return jnp.where(within_two_years >= 3, 3, jnp.where(within_one_year >= 1, 2, settled))


def _phases(course: Course, day: Array) -> Int[Array, "8"]:
    def near(event_day: Array, before: int, after: int) -> Array:
        return (day >= event_day - before) & (day <= event_day + after)

    flags = {
        "wedding": near(course.marriage_day, 150, 20),
        "moving": jnp.any(near(course.move_days, 20, 25)) | near(course.leave_home_day, 10, 25),
        "renovation": near(course.buy_home_day, 20, 180),
        "new_job": near(course.job_change_day, 30, 60) | near(course.graduation_day, 30, 60),
        "enrol": near(course.enrol_day, 10, 45),
        "graduation": near(course.graduation_day, 60, 20),
        "pregnancy": near(course.first_birth_day, _PREGNANCY_DAYS, 0),
        "adopt": near(course.pet_day, 5, 60),
    }
    return jnp.stack([flags[name] for name in PHASES]).astype(jnp.int32)


def life_events(course: dict[str, Any], start_day: int, as_of_day: int) -> list[dict[str, str]]:
    """What happened to one user in [start_day, as_of_day), in order; `course` holds plain numbers."""
    names = {
        "enrol_day": "enrolled",
        "graduation_day": "graduated",
        "job_change_day": "changed job",
        "homemaker_day": "left work for the family",
        "retire_day": "retired",
        "partner_day": "found a partner",
        "marriage_day": "married",
        "separation_day": "separated or widowed",
        "first_birth_day": "first child born",
        "second_birth_day": "second child born",
        "buy_home_day": "bought a home",
        "leave_home_day": "left the parents' home",
    }
    dated = [(course[field], text) for field, text in names.items()]
    dated += [(course["first_birth_day"] - _PREGNANCY_DAYS, "first pregnancy")]
    moves = zip(course["move_days"], course["cities"][1:], strict=True)
    dated += [(day, f"moved to {places.CITIES[city].name}") for day, city in moves]
    if course["pet"]:
        dated.append((course["pet_day"], f"adopted a pet: {priors.PETS[course['pet']]}"))
    for born in (course["first_birth_day"], course["second_birth_day"]):
        if born < NEVER:
            dated += [(born + int(years * _YEAR), f"a child turned {years}") for years in (1, 3, 6, 12, 18)]
    inside = sorted((day, text) for day, text in dated if start_day <= day < as_of_day)
    return [{"date": date_of(day).isoformat(), "event": text} for day, text in inside]


def features(state: State) -> Float[Array, " F"]:
    """One-hot tags, then interests, phases and car as 0/1, in the order of `needs.FEATURE_NAMES`."""
    hot = [
        (state.tags[i] == jnp.arange(len(HPR18[name].values))).astype(jnp.float32) for i, name in enumerate(STATE_TAGS)
    ]
    car = jnp.stack([state.car == 0, state.car == 1]).astype(jnp.float32)
    return jnp.concatenate([*hot, state.interests.astype(jnp.float32), state.phases.astype(jnp.float32), car])
