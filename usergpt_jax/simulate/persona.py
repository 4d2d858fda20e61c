"""Personas: a life course drawn for each user, as dates and traits from which the state of any day follows.

Every draw uses the user's own key, so that user i depends on the seed and i alone. Dates are epoch days; what never
happens lies at `NEVER`.

Paper: §2.1 (persona-driven agent, core persona). Differs from the paper: the course of a whole life is drawn at once
as dates, so that all attributes of a day are consistent by construction.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

from usergpt_jax import gazetteer
from usergpt_jax.simulate import places, priors

NEVER = 2**29
N_MOVES = 3
MAX_INTERESTS = 4
_DRAWS = 24  # uniforms a step of `sample_course` may use
_YEAR = priors.DAYS_PER_YEAR
_TIERS = gazetteer.CITY_TIERS
_FARMER, _FACTORY = (priors.JOBS.index(job) for job in ("farmer", "factory_construction"))

_AGE_WEIGHT = np.cumsum(priors.CENSUS_SHARE * priors.PLATFORM_WEIGHT)
_AGE_CDF = jnp.asarray(_AGE_WEIGHT / _AGE_WEIGHT[-1], jnp.float32)
_CITY_CDF = jnp.asarray(np.cumsum(places.resident_weights()), jnp.float32)
_POPULATION = places.city_column("population")
_BIRTHPLACE_CDF = jnp.asarray(np.cumsum(_POPULATION) / _POPULATION.sum(), jnp.float32)
_CITY_TIER = jnp.asarray(places.city_column("tier"), jnp.int32)
_SETTLEMENT_CDF = jnp.asarray(np.cumsum([priors.SETTLEMENT[t] for t in _TIERS], axis=1), jnp.float32)
_MIGRANT = jnp.asarray([priors.MIGRANT_SHARE[t] for t in _TIERS], jnp.float32)
_JOB_TO_OCCUPATION = jnp.asarray([priors.OCCUPATIONS.index(job) for job in priors.JOBS], jnp.int32)


class Course(NamedTuple):
    """One user's life: traits, and dates as epoch days. Under vmap every field has a leading user axis."""

    birth_day: Int[Array, "..."]
    gender: Int[Array, "..."]
    education: Int[Array, "..."]  # highest that will be attained
    enrol_day: Int[Array, "..."]  # of tertiary education
    graduation_day: Int[Array, "..."]  # end of the last school
    occupation: Int[Array, "..."]  # of the first job
    next_occupation: Int[Array, "..."]
    job_change_day: Int[Array, "..."]
    homemaker_day: Int[Array, "..."]
    retire_day: Int[Array, "..."]
    partner_day: Int[Array, "..."]
    marriage_day: Int[Array, "..."]
    separation_day: Int[Array, "..."]
    first_birth_day: Int[Array, "..."]
    second_birth_day: Int[Array, "..."]
    settlement: Int[Array, "..."]  # 0 city, 1 county town, 2 village
    hometown_city: Int[Array, "..."]
    cities: Int[Array, "... 4"]  # before, between and after the moves
    move_days: Int[Array, "... 3"]
    leave_home_day: Int[Array, "..."]
    buy_home_day: Int[Array, "..."]
    boards: Int[Array, "..."]  # lives in a school or staff dormitory where that applies
    pet: Int[Array, "..."]
    pet_day: Int[Array, "..."]
    consumption_level: Int[Array, "..."]
    interests: Int[Array, "... 4"]  # strongest first, -1 where none
    travel_pattern: Int[Array, "..."]
    car: Int[Array, "..."]
    zone_draw: Float[Array, "..."]
    home_draw: Int[Array, "..."]
    work_draw: Int[Array, "..."]
    log_activity: Float[Array, "..."]
    avoided: Int[Array, "... 5"]  # 1 for each source the user never uses
    noise: Float[Array, "... 4"]  # chance of gift, shared account, misclick (a session), stale stage (a day)


def sample_course(key: Array, as_of_day: Int[Array, ""]) -> Course:
    """Draws a user's life course, given that the user is on the platforms at `as_of_day`."""
    # One block of draws, a row each: every further call of the generator costs compile time.
    draws = iter(jax.random.uniform(key, (8, _DRAWS), minval=1e-6, maxval=1 - 1e-6))
    identity = _identity(next(draws), as_of_day)
    home = _geography(next(draws), identity)
    work = _schooling_and_work(next(draws), identity | home)
    family = _family(next(draws), identity | work)
    known = identity | home | work | family
    traits = _traits(next(draws), as_of_day, known)
    known |= traits
    known |= _housing(next(draws), known)
    known |= _moves(next(draws), as_of_day, known)
    known |= _habits(next(draws))
    return Course(**{name: known[name] for name in Course._fields})


def _draw(cdf: Array, u: Array) -> Array:
    return jnp.minimum(jnp.sum(cdf <= u), cdf.shape[0] - 1).astype(jnp.int32)


def _draw_weighted(weights: Array, u: Array) -> Array:
    cdf = jnp.cumsum(weights)
    return _draw(cdf, u * cdf[-1])


def _years_after(day: Array, years: Array) -> Array:
    """`day` plus `years`, kept at `NEVER` for what never happens."""
    return jnp.where(day >= NEVER, NEVER, day + jnp.floor(years * _YEAR).astype(jnp.int32))


def _snap(day: Array, day_of_year: int) -> Array:
    """Moves a date to a fixed day of its year (month lengths to within a day)."""
    year = jnp.floor(day / _YEAR)
    return jnp.floor(year * _YEAR).astype(jnp.int32) + day_of_year


def _identity(u: Array, as_of_day: Array) -> dict[str, Array]:
    band = _draw(_AGE_CDF, u[0])
    low = jnp.asarray(priors.AGE_FROM, jnp.float32)[band]
    high = jnp.asarray(priors.AGE_TO, jnp.float32)[band]
    age_years = low + (high - low) * u[1]
    birth_day = as_of_day - jnp.floor(age_years * _YEAR).astype(jnp.int32)
    birth_year = 1970 + birth_day / _YEAR
    score = jnp.interp(birth_year, priors.EDUCATION_COHORT_YEAR, priors.EDUCATION_COHORT_MEAN)
    return {
        "birth_day": birth_day,
        "age_years": age_years,
        "gender": (u[2] < 0.51).astype(jnp.int32),
        "education_score": score,
    }


def _geography(u: Array, known: dict[str, Array]) -> dict[str, Array]:
    """Home city, how it is lived in, and the hometown."""
    city = _draw(_CITY_CDF, u[0])
    tier = _CITY_TIER[city]
    settlement = _draw(_SETTLEMENT_CDF[tier], u[1])
    migrant = (u[2] < _MIGRANT[tier] * jnp.where(known["age_years"] < 18, 0.2, 1.0)) & (settlement < 2)
    same_province = u[3] < 0.3
    province = jnp.asarray(places.city_column("province"), jnp.int32)
    weights = jnp.asarray(_POPULATION, jnp.float32) * jnp.where(same_province, province == province[city], 1.0)
    elsewhere = _draw_weighted(weights, u[4])
    return {"city": city, "settlement": settlement, "hometown_city": jnp.where(migrant, elsewhere, city)}


def _schooling_and_work(u: Array, known: dict[str, Array]) -> dict[str, Array]:
    tier = _CITY_TIER[known["city"]]
    score = known["education_score"] + jnp.asarray(priors.EDUCATION_SETTLEMENT, jnp.float32)[known["settlement"]]
    score += 0.3 - 0.12 * tier + 0.85 * ndtri(u[6])

    education = jnp.sum(jnp.asarray(priors.EDUCATION_CUTS, jnp.float32) <= score).astype(jnp.int32)
    graduation_age = jnp.asarray(priors.GRADUATION_AGE, jnp.float32)[education]
    graduation = _snap(_years_after(known["birth_day"], graduation_age), 178)
    enrol = _snap(_years_after(known["birth_day"], jnp.float32(18.4)), 244)
    weights = jnp.asarray(priors.JOB_WEIGHT, jnp.float32)[education]
    weights *= jnp.where(known["gender"] == 0, priors.JOB_MALE, priors.JOB_FEMALE)
    weights *= jnp.asarray(priors.JOB_SETTLEMENT, jnp.float32)[known["settlement"]]
    weights = weights.at[_FARMER].multiply(jnp.where(known["age_years"] > 45, 2.0, 0.5))
    first, second = _draw_weighted(weights, u[0]), _draw_weighted(weights, u[1])
    changes = u[2] < 0.5
    job_change = _years_after(graduation, 1.0 + 18.0 * u[3] ** 2)
    retire_age = jnp.where(known["gender"] == 0, 60.0, 54.0) + 2.0 * u[4] + jnp.where(first == _FARMER, 8.0, 0.0)
    return {
        "education": education,
        "enrol_day": jnp.where(education >= 2, enrol, NEVER),
        "graduation_day": graduation,
        "occupation": _JOB_TO_OCCUPATION[first],
        "next_occupation": _JOB_TO_OCCUPATION[jnp.where(changes, second, first)],
        "job_change_day": jnp.where(changes & (first != second), job_change, NEVER),
        "retire_day": _years_after(known["birth_day"], retire_age),
        "homemaking_draw": u[5],
    }


def _family(u: Array, known: dict[str, Array]) -> dict[str, Array]:
    """Partner, marriage, births and separation, in an order that the tag rules accept."""
    birth, female = known["birth_day"], known["gender"] == 1
    logit = jnp.log(u[0]) - jnp.log1p(-u[0])
    marriage_age = priors.MARRIAGE_MEDIAN_YEARS + jnp.where(female, -0.7, 0.7) + 0.5 * (known["education"] - 1.5)
    marriage_age += priors.MARRIAGE_SCALE_YEARS * logit
    marriage_age = jnp.maximum(marriage_age, jnp.where(female, 20.0, 22.0) + u[11])
    marriage = jnp.maximum(_years_after(birth, marriage_age), known["graduation_day"] + 60)
    marriage = jnp.where((u[1] < priors.NEVER_MARRY_FRAC) | (marriage_age > 50), NEVER, marriage)
    courting = jnp.where(marriage < NEVER, _years_after(marriage, -0.5 - 3.5 * u[2]), NEVER)
    unwed = jnp.where(u[3] < 0.4, _years_after(birth, 20.0 + 12.0 * u[2]), NEVER)
    partner = jnp.maximum(jnp.where(marriage < NEVER, courting, unwed), _years_after(birth, jnp.float32(18.5)))
    partner = jnp.minimum(partner, marriage)
    divorce = jnp.where(u[4] < priors.DIVORCE_FRAC, _years_after(marriage, 2.0 + 16.0 * u[5]), NEVER)
    widowed = jnp.where(u[6] < 0.45, _years_after(birth, 58.0 + 26.0 * u[7]), NEVER)
    separation = jnp.where(marriage < NEVER, jnp.maximum(jnp.minimum(divorce, widowed), marriage + 1), NEVER)
    first = _years_after(marriage, 0.85 - 1.6 * jnp.log1p(-0.98 * u[8]))
    latest = jnp.minimum(_years_after(birth, jnp.float32(44.0)), separation + 150)
    first = jnp.where((u[9] < priors.CHILDLESS_FRAC) | (first > latest), NEVER, first)
    second = jnp.where(u[10] < priors.SECOND_CHILD_FRAC, _years_after(first, 1.8 + 4.0 * u[11]), NEVER)
    second = jnp.where((second > latest) | (first >= NEVER), NEVER, second)
    stays_home = known["homemaking_draw"] < jnp.where(female, 0.22, 0.015)
    return {
        "partner_day": partner,
        "marriage_day": marriage,
        "separation_day": separation,
        "first_birth_day": first,
        "second_birth_day": second,
        "homemaker_day": jnp.where(stays_home & (first < NEVER), first - 60, NEVER),
    }


def _traits(u: Array, as_of_day: Array, known: dict[str, Array]) -> dict[str, Array]:
    """Income level, car, pet, interests and way of travelling."""
    tier = _CITY_TIER[known["city"]]
    income = 0.45 * (known["education"] - 2) + 0.1 * (2.5 - tier) - 0.35 * known["settlement"] + 0.8 * ndtri(u[7])
    level = jnp.sum(jnp.asarray(priors.INCOME_CUTS, jnp.float32) <= income).astype(jnp.int32)
    pet = _draw_weighted(jnp.asarray(priors.PET_WEIGHT, jnp.float32), u[0])
    pet_days = jnp.where(u[1] < 0.3, 900.0 * u[2], 900.0 + 1500.0 * u[2]).astype(jnp.int32)
    decades = (known["age_years"] - 30.0) / 10.0
    base = jnp.where(known["gender"] == 0, priors.INTEREST_MALE, priors.INTEREST_FEMALE)
    logits = jnp.log(base) + jnp.asarray(priors.INTEREST_AGE_SLOPE, jnp.float32) * decades
    gumbel = -jnp.log(-jnp.log(u[8 : 8 + logits.shape[0]]))
    order = jax.lax.top_k(logits + gumbel, MAX_INTERESTS)[1].astype(jnp.int32)
    count = 1 + _draw_weighted(jnp.asarray(priors.INTEREST_COUNT_FRAC, jnp.float32), u[3])
    migrant = known["hometown_city"] != known["city"]
    young = (known["age_years"] < 20) | (known["age_years"] > 62)
    travel = jnp.stack(
        [
            1.0 + 1.6 * young + 0.5 * known["settlement"] + 0.5 * (level < 1),
            jnp.where(migrant, 2.2, 0.02),
            0.8 + 0.35 * level,
            jnp.where(young, 0.0, 0.15 + 0.22 * known["education"]),
            0.05 + 0.05 * level**2,
        ]
    )
    return {
        "consumption_level": level,
        "car": (u[4] < 0.12 + 0.13 * level).astype(jnp.int32) * (known["age_years"] > 21),
        "pet": pet,
        "pet_day": as_of_day - pet_days,
        "interests": jnp.where(jnp.arange(MAX_INTERESTS) < count, order, -1),
        "travel_pattern": _draw_weighted(travel, u[5]),
        "zone_draw": u[6],
    }


def _housing(u: Array, known: dict[str, Array]) -> dict[str, Array]:
    birth, tier = known["birth_day"], _CITY_TIER[known["city"]]
    migrant = known["hometown_city"] != known["city"]
    grown = jnp.minimum(_years_after(birth, 23.0 + 11.0 * u[0]), jnp.where(u[1] < 0.6, known["marriage_day"], NEVER))
    chance = 0.42 + 0.09 * known["consumption_level"] + 0.05 * tier - 0.15 * migrant
    settles = jnp.minimum(known["marriage_day"], _years_after(birth, 32.0 + 10.0 * u[2]))
    buy = jnp.where(u[3] < chance, _years_after(settles, -0.5 + 5.0 * u[4]), NEVER)
    return {
        "leave_home_day": jnp.where(migrant, known["graduation_day"], grown),
        "buy_home_day": jnp.maximum(buy, known["graduation_day"] + 400),
        "boards": (u[5] < 0.4).astype(jnp.int32),
    }


def _moves(u: Array, as_of_day: Array, known: dict[str, Array]) -> dict[str, Array]:
    """Cities before, between and after up to three moves."""
    city, hometown = known["city"], known["hometown_city"]
    young = (known["age_years"] > 23) & (known["age_years"] < 42) & (known["settlement"] < 2)
    frequent = young & (u[0] < 0.13) & (known["buy_home_day"] > as_of_day)
    recent = ~frequent & (known["age_years"] > 19) & (u[0] > jnp.where(young, 0.83, 0.95))
    others = jax.vmap(lambda v: _draw(_CITY_CDF, v))(u[1:3])
    spread = jnp.array([610, 370, 130]) + jnp.floor(u[3:6] * 100).astype(jnp.int32)
    origin = jnp.where(hometown == city, others[0], hometown)
    enrols = (hometown != city) & (known["enrol_day"] < NEVER) & (known["age_years"] < 24)
    recent_day = as_of_day - 60 - jnp.floor(u[6] * 280).astype(jnp.int32)
    single = jnp.where(recent, recent_day, jnp.where(enrols, known["enrol_day"], NEVER))
    move_days = jnp.where(frequent, as_of_day - spread, jnp.array([0, NEVER, NEVER]) + single * jnp.array([1, 0, 0]))
    sequence = jnp.where(
        frequent,
        jnp.stack([origin, others[0], others[1], city]),
        jnp.stack([jnp.where(recent | enrols, origin, city), city, city, city]),
    )
    return {"move_days": jnp.minimum(move_days, NEVER).astype(jnp.int32), "cities": sequence.astype(jnp.int32)}


def _habits(u: Array) -> dict[str, Array]:
    """How much the user does, where, and how noisy the account is."""
    rare = u[0] < 0.09
    avoid_chance = jnp.array([0.04, 0.16, 0.18, 0.16, 0.3])
    avoided = (u[1:6] < avoid_chance) & (jnp.arange(5) != jnp.floor(u[11] * 4))
    shared = jnp.where(u[6] < 0.45, 0.02 + 0.12 * u[7], 0.0)
    return {
        "log_activity": 0.65 * ndtri(u[12]) - jnp.where(rare, 2.6 + 1.2 * u[10], 0.0),
        "avoided": avoided.astype(jnp.int32),
        "noise": jnp.stack([0.02 + 0.05 * u[8], shared, 0.02 + 0.06 * u[9], jnp.float32(0.035)]),
        "home_draw": jnp.floor(u[8] * 1000).astype(jnp.int32) % 2,
        "work_draw": jnp.floor(u[9] * 1000).astype(jnp.int32) % 4,
    }
