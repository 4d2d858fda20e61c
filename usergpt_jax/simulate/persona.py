"""Personas: a life course drawn for each user, as dates and traits from which the state of any day follows.

Each user has a row of uniforms from the user's own key, and the course is computed from it on the host in float64, so
that user i depends on the seed and i alone, on any device and in any batch. Dates are epoch days; what never happens
lies at `NEVER`.

Paper: §2.1 (persona-driven agent, core persona: demographics, Big Five, preferences). Differs from the paper: the
course of a whole life is drawn at once as dates, so that all attributes of a day are consistent by construction; race,
religion, party and ideology give way to city tier, hometown, housing tenure and household.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

from usergpt_jax import gazetteer, locales
from usergpt_jax.simulate import biography, population, preferences
from usergpt_jax.simulate import priors as priors_lib
from usergpt_jax.simulate.biography import NEVER as NEVER
from usergpt_jax.simulate.biography import Known, Uniforms, pick
from usergpt_jax.simulate.priors import DAYS_PER_YEAR, Priors

Numbers = Any  # numpy on the host as drawn, traced inside the simulation
MAX_INTERESTS = 4
LOG_UNITS = 64  # of log_activity in a nat
BIG_FIVE = preferences.TRAITS
HOUSEHOLD_KINDS = (
    "alone", "couple", "couple_children", "one_parent", "three_generations", "with_parents", "shared",
)  # fmt: skip

# Uniforms that each part of a persona uses, in order; a new one goes to the end, so that old draws stay.
_BLOCKS = {
    "identity": 3, "geography": 4, "work": 8, "family": 16, "income": 2, "interests": 18, "traits": 8, "housing": 6,
    "moves": 7, "big_five": 5, "habits": 20, "household": 5, "preferences": preferences.COUNT,
}  # fmt: skip
N_UNIFORMS = sum(_BLOCKS.values())
_STARTS = dict(zip(_BLOCKS, np.cumsum([0, *_BLOCKS.values()])[:-1].tolist(), strict=True))

# Correlations of the Big Five, of the size that meta-analyses find; shifts by ten years of age and for women.
_BIG_FIVE_ROOT = np.linalg.cholesky(
    [
        [1.0, 0.1, 0.25, 0.1, -0.1],
        [0.1, 1.0, 0.15, 0.25, -0.3],
        [0.25, 0.15, 1.0, 0.1, -0.25],
        [0.1, 0.25, 0.1, 1.0, -0.25],
        [-0.1, -0.3, -0.25, -0.25, 1.0],
    ]
)
_BIG_FIVE_DECADE = np.array([-0.03, 0.12, -0.04, 0.08, -0.05])
_BIG_FIVE_WOMEN = np.array([0.0, 0.08, 0.05, 0.25, 0.3])
_MOST_FOREIGN = 0.85  # of a user's sessions may come from no need of their own
_CAR_EFFECT = np.array([-1.3, -0.5, 0.1, 0.8, 1.5])  # log odds by consumption level
# Chance that a user never touches e-commerce, delivery, travel, points of interest, other.
_AVOIDS = np.array([0.04, 0.16, 0.18, 0.16, 0.3])


class Course(NamedTuple):
    """Lives: traits, and dates as epoch days. int32 arrays with a leading user axis, without it for one user."""

    birth_day: Int[Numbers, "..."]
    gender: Int[Numbers, "..."]
    education: Int[Numbers, "..."]  # highest that will be attained
    enrol_day: Int[Numbers, "..."]  # of tertiary education
    graduation_day: Int[Numbers, "..."]  # end of the last school
    occupation: Int[Numbers, "..."]  # of the first job
    next_occupation: Int[Numbers, "..."]
    job_change_day: Int[Numbers, "..."]
    last_occupation: Int[Numbers, "..."]
    second_job_change_day: Int[Numbers, "..."]
    homemaker_day: Int[Numbers, "..."]
    retire_day: Int[Numbers, "..."]
    partner_day: Int[Numbers, "..."]
    marriage_day: Int[Numbers, "..."]
    separation_day: Int[Numbers, "..."]
    remarriage_day: Int[Numbers, "..."]
    first_birth_day: Int[Numbers, "..."]
    second_birth_day: Int[Numbers, "..."]
    third_birth_day: Int[Numbers, "..."]
    nest_empty_day: Int[Numbers, "..."]  # the last child leaves for college or work
    settlement: Int[Numbers, "..."]  # 0 city, 1 county town, 2 village
    hometown_city: Int[Numbers, "..."]
    cities: Int[Numbers, "... 4"]  # before, between and after the moves
    city_tiers: Int[Numbers, "... 4"]  # of `cities`
    move_days: Int[Numbers, "... 3"]
    leave_home_day: Int[Numbers, "..."]
    buy_home_day: Int[Numbers, "..."]
    boards: Int[Numbers, "..."]  # lives in a school or staff dormitory where that applies
    household_size: Int[Numbers, "..."]  # at as_of, as the kind
    household_kind: Int[Numbers, "..."]  # number in `HOUSEHOLD_KINDS`
    pet: Int[Numbers, "..."]
    pet_day: Int[Numbers, "..."]
    illness_day: Int[Numbers, "..."]
    illness_days: Int[Numbers, "..."]  # how long it lasts
    income_cny: Int[Numbers, "..."]  # disposable income of the household a head and year
    consumption_level: Int[Numbers, "..."]
    big_five: Int[Numbers, "... 5"]  # z in 1/100, in the order of `BIG_FIVE`
    preferences: Int[Numbers, "... 90"]  # 1 drawn to it, -1 averse, 0 neutral
    interests: Int[Numbers, "... 4"]  # at first; strongest first, -1 where none
    travel_pattern: Int[Numbers, "..."]
    car: Int[Numbers, "..."]
    zone_draw: Int[Numbers, "..."]  # 0..65535
    home_draw: Int[Numbers, "..."]  # 0..1
    work_draw: Int[Numbers, "..."]  # 0..3
    loyalty: Int[Numbers, "..."]  # 0..255: chance of the favourite brand
    impulse: Int[Numbers, "..."]  # 0..255
    log_activity: Int[Numbers, "..."]  # 1/64 nat
    avoided: Int[Numbers, "... 5"]  # 1 for each source the user never uses
    noise: Int[Numbers, "... 6"]  # out of 65536: gift, proxy buying, shared account, misclick, exploration; stale week


def user_uniforms(seed: int, numbers: Int[np.ndarray, " U"]) -> Float[np.ndarray, "U K"]:
    """The uniforms in (0, 1) of the users of these numbers, from each one's own key."""
    bits = _bits(jax.random.key(seed, impl="threefry2x32"), jnp.asarray(numbers, jnp.uint32))
    return (np.asarray(bits).astype(np.float64) + 0.5) / 2.0**32


@jax.jit
def _bits(key: jax.Array, numbers: jax.Array) -> jax.Array:
    return jax.vmap(lambda number: jax.random.bits(jax.random.fold_in(key, number), (N_UNIFORMS,), "uint32"))(numbers)


def sample_courses(
    uniforms: Float[np.ndarray, "U K"], as_of_day: int, locale: str = locales.DEFAULT, platform: bool = True
) -> Course:
    """Draws life courses.

    Args:
      uniforms: `N_UNIFORMS` a user, of `user_uniforms`.
      as_of_day: epoch day at which the users have their ages and the last of their cities.
      locale: the market.
      platform: re-weight people to users of the platforms; without, the whole population is drawn.

    Raises:
      InputError: the locale's priors are bad, or contradict each other.
    """
    block = {name: uniforms[:, start : start + _BLOCKS[name]] for name, start in _STARTS.items()}
    priors = priors_lib.load(locale)
    known = _identity(block["identity"], as_of_day, locale, platform)
    known |= _geography(block["geography"], known, priors)
    known |= biography.schooling_and_work(block["work"], known, priors)
    known |= biography.family(block["family"], known, priors)
    known |= _income(block["income"], known, priors)
    known |= _big_five(block["big_five"], known)
    known |= _interests(block["interests"], known)
    known |= _traits(block["traits"], as_of_day, known, priors)
    known |= biography.housing(block["housing"], known, priors)
    known |= biography.moves(block["moves"], as_of_day, known, np.cumsum(_home_weights(locale, platform)))
    known["city_tiers"] = _city_table(locale)[0][known["cities"]]
    known |= _household(block["household"], as_of_day, known, priors)
    known |= _habits(block["habits"], known)
    known["preferences"] = preferences.sample(block["preferences"], known, locale)
    return Course(**{name: known[name].astype(np.int32) for name in Course._fields})


@functools.cache
def _cell_cdf(locale: str, platform: bool) -> np.ndarray:
    joint = population.joint(locale)
    return np.cumsum(joint.users if platform else joint.people)


@functools.cache
def _city_table(locale: str) -> tuple[np.ndarray, np.ndarray]:
    """Tier and province number of each city."""
    cities, provinces = gazetteer.cities(locale), gazetteer.provinces(locale)
    tier = np.array([gazetteer.CITY_TIERS.index(city.tier) for city in cities])
    return tier, np.array([provinces.index(city.province) for city in cities])


def _home_weights(locale: str, platform: bool) -> np.ndarray:
    weights = population.city_weights(locale)
    return weights * priors_lib.load(locale).platform_tier[_city_table(locale)[0]] if platform else weights


def _identity(u: Uniforms, as_of_day: int, locale: str, platform: bool) -> Known:
    joint, cdf = population.joint(locale), _cell_cdf(locale, platform)
    cell = np.minimum(np.searchsorted(cdf, u[:, 0] * cdf[-1], side="right"), len(cdf) - 1)
    age_years = joint.age[cell] + u[:, 1]
    weights = population.city_weights(locale)
    tiers = _city_table(locale)[0]
    by_tier = np.cumsum((tiers == np.arange(population.N_TIERS)[:, None]) * weights, axis=1)
    return {
        "birth_day": as_of_day - np.floor(age_years * DAYS_PER_YEAR).astype(np.int64),
        "age_years": age_years,
        "gender": joint.gender[cell],
        "settlement": joint.settlement[cell],
        "education": joint.education[cell],
        "tier": joint.tier[cell],
        "city": pick(by_tier[joint.tier[cell]], u[:, 2]),
    }


def _geography(u: Uniforms, known: Known, priors: Priors) -> Known:
    """The hometown, and the province of the home."""
    weights = population.city_weights(priors.locale)
    province = _city_table(priors.locale)[1]
    home = province[known["city"]]
    child = np.where(known["age_years"] < 18, 0.2, 1.0)
    migrant = (u[:, 0] < priors.migrant_share[known["tier"]] * child) & (known["settlement"] < 2)
    near = np.cumsum((province == np.arange(province.max() + 1)[:, None]) * weights, axis=1)
    nearby, far = pick(near[home], u[:, 2]), pick(np.cumsum(weights), u[:, 3])
    elsewhere = np.where(u[:, 1] < priors.same_province, nearby, far)
    return {"province": home, "hometown_city": np.where(migrant, elsewhere, known["city"])}


def _income(u: Uniforms, known: Known, priors: Priors) -> Known:
    """Income from its rank in the population, and the level of consumption that goes with it."""
    ranks = population.income_ranks(priors.locale)
    score = population.income_score(priors, *(known[name] for name in ("education", "settlement", "tier", "age_years")))
    score = score + priors_lib.JOB_INCOME[known["job"]] + ranks.spread * ndtri(u[:, 0])
    rank = np.clip(np.interp(score, ranks.grid, ranks.rank), 1e-6, 1 - 1e-6)
    income = population.income_at(priors, rank)
    spending = income * np.exp(0.25 * ndtri(u[:, 1]))
    level = np.searchsorted(priors.income["level_cuts"], spending, side="right")
    return {"income_cny": np.round(income), "consumption_level": level}


def _big_five(u: Uniforms, known: Known) -> Known:
    decades = (np.clip(known["age_years"], 15, 75) - 35) / 10
    z = ndtri(u) @ _BIG_FIVE_ROOT.T + decades[:, None] * _BIG_FIVE_DECADE
    z += np.where(known["gender"] == 1, 0.5, -0.5)[:, None] * _BIG_FIVE_WOMEN
    return {"big_five": np.round(100 * np.clip(z, -3.5, 3.5)).astype(np.int64)}


def _interests(u: Uniforms, known: Known) -> Known:
    """One to four of the interests, by gender, age and openness, strongest first."""
    base = np.where(known["gender"][:, None] == 0, priors_lib.INTEREST_MALE, priors_lib.INTEREST_FEMALE)
    decades = (np.clip(known["age_years"], 13, 80) - 30.0) / 10.0
    logits = np.log(base) + priors_lib.INTEREST_AGE_SLOPE * decades[:, None]
    order = np.argsort(-(logits - np.log(-np.log(u[:, :16]))), axis=1, kind="stable")[:, :MAX_INTERESTS]
    share = np.clip(u[:, 16] + 0.06 * known["big_five"][:, 0] / 100, 0.0, 1.0)  # the open-minded have more
    count = 1 + pick(np.cumsum(priors_lib.INTEREST_COUNT_SHARE), share)
    return {"interests": np.where(np.arange(MAX_INTERESTS) < count[:, None], order, -1)}


def _traits(u: Uniforms, as_of_day: int, known: Known, priors: Priors) -> Known:
    """Car, pet, illness and way of travelling."""
    age, level = known["age_years"], known["consumption_level"]
    car_odds = population.car_intercept(priors.locale, tuple(_CAR_EFFECT)) + _CAR_EFFECT[level]
    keeps = np.where((known["gender"] == 1) & (age < 40), 1.25, 0.95)[:, None] * np.array([0, 1, 1, 1, 1])
    pets = np.cumsum(priors.pet_share * np.where(np.arange(5) == 0, 1.0, keeps), axis=1)
    pet_days = np.where(u[:, 2] < 0.3, 900.0 * u[:, 3], 900.0 + 1500.0 * u[:, 3]).astype(np.int64)
    ill = u[:, 4] < 0.14 + 0.003 * np.maximum(age - 30, 0)
    migrant = known["hometown_city"] != known["city"]
    at_home = (age < 20) | (age > 62)
    travel = np.stack(
        [
            1.0 + 1.6 * at_home + 0.5 * known["settlement"] + 0.5 * (level < 1),
            np.where(migrant, 2.2, 0.02),
            0.8 + 0.35 * level,
            np.where(at_home, 0.0, 0.15 + 0.22 * known["education"]),
            0.05 + 0.05 * level**2,
        ],
        axis=1,
    )
    return {
        "car": (u[:, 0] < 1 / (1 + np.exp(-car_odds))) & (age > 21),
        "pet": pick(pets, u[:, 1]),
        "pet_day": as_of_day - pet_days,
        "illness_day": np.where(ill, as_of_day - np.floor(1100 * u[:, 5]).astype(np.int64), NEVER),
        "illness_days": 14 + np.floor(90 * u[:, 6] ** 2).astype(np.int64),
        "travel_pattern": pick(np.cumsum(travel, axis=1), u[:, 7]),
    }


def _household(u: Uniforms, as_of_day: int, known: Known, priors: Priors) -> Known:
    """Who the user lives with at `as_of_day`, from the dates, and how many they are."""
    births = np.stack([known[f"{name}_birth_day"] for name in ("first", "second", "third")], axis=1)
    ages = (as_of_day - births) / DAYS_PER_YEAR
    # Grown children leave one by one; nearly half of those under 27 are still there.
    at_home = (ages >= 0) & ((ages < 18) | ((ages < 27) & (u[:, :1] < 0.45)))
    children = at_home.sum(axis=1)
    married = (as_of_day >= known["marriage_day"]) & (as_of_day < known["separation_day"])
    married |= as_of_day >= known["remarriage_day"]
    parted = (as_of_day >= known["separation_day"]) & ~married
    with_parents = ~married & (children == 0) & (as_of_day < np.minimum(known["leave_home_day"], known["buy_home_day"]))
    with_parents |= ~married & (known["age_years"] < 18)
    three = priors.family["three_generations"][known["settlement"]]
    elders = married & (children > 0) & (u[:, 1] < three)
    # Old people live with a grown child's family somewhat more often than these with an old parent.
    elders |= (known["age_years"] > 60) & (children == 0) & (u[:, 1] < 1.2 * three)
    shared = ~married & ~parted & ~with_parents & (children == 0) & (u[:, 2] < 0.35)
    kind = np.select(
        [elders, married & (children > 0), children > 0, married, with_parents, shared],
        [HOUSEHOLD_KINDS.index(name) for name in _KIND_ORDER],
        HOUSEHOLD_KINDS.index("alone"),
    )
    siblings = (u[:, 3] < 0.45).astype(int) + (u[:, 3] < 0.1)
    size = np.select(
        [elders & (children == 0), elders, married, children > 0, with_parents, shared],
        [
            4 + (u[:, 3] < 0.5) + married,
            2 + children + 1 + (u[:, 4] < 0.6),
            2 + children,
            1 + children,
            3 + siblings + 2 * (u[:, 4] < 0.12),
            2 + (u[:, 3] < 0.4),
        ],
        1,
    )
    return {"household_kind": kind, "household_size": size}


_KIND_ORDER = ("three_generations", "couple_children", "one_parent", "couple", "with_parents", "shared")


def _habits(u: Uniforms, known: Known) -> Known:
    """How much the user does, where, how faithfully, and how noisy the account is."""
    openness, conscientiousness, _, agreeableness, neuroticism = known["big_five"].T / 100.0
    rare = u[:, 0] < 0.09
    avoided = (u[:, 1:6] < _AVOIDS) & (np.arange(5) != np.floor(u[:, 11] * 4)[:, None])
    chances = [
        0.02 + 0.04 * u[:, 8] + 0.005 * np.clip(agreeableness, -2, 2),
        0.004 + 0.03 * u[:, 14] ** 2,
        # Most accounts are used alone, some lent now and then, a few run for the whole household.
        np.select([u[:, 6] < 0.34, u[:, 6] < 0.46], [0.02 + 0.12 * u[:, 7], 0.4 + 0.4 * u[:, 7]], 0.0),
        0.02 + 0.06 * u[:, 9],
        0.08 + 0.08 * u[:, 15] + 0.02 * np.clip(openness, -2, 2),
        np.full(len(u), 0.2),
    ]
    chances[2] = np.minimum(chances[2], _MOST_FOREIGN - (chances[0] + chances[1] + chances[3] + chances[4]))
    years = np.clip(known["age_years"], 18, 70) - 18
    # Others come partly on top of the owner's sessions, mostly instead of them.
    log_activity = 0.65 * ndtri(u[:, 12]) - np.where(rare, 2.6 + 1.2 * u[:, 10], 0.0) - 0.25 * np.log1p(-chances[2])
    return {
        "log_activity": np.round(LOG_UNITS * log_activity),
        "avoided": avoided,
        "noise": np.round(65536 * np.stack(chances, axis=1)),
        "zone_draw": np.floor(65536 * u[:, 13]),
        "home_draw": np.floor(2 * u[:, 16]),
        "work_draw": np.floor(4 * u[:, 17]),
        "loyalty": np.clip(np.round(90 + 1.2 * years + 18 * conscientiousness + 40 * ndtri(u[:, 18])), 0, 255),
        "impulse": np.clip(np.round(96 - 34 * conscientiousness + 16 * neuroticism + 24 * ndtri(u[:, 19])), 0, 255),
    }
