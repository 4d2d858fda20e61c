"""The joint population: tables of the priors raked into one, so that age, sex, place, schooling and work agree.

Cells are single years of age x gender x city tier x settlement x final education. A seed holds what we believe about
how these go together; iterative proportional fitting then scales it to the published marginals. Users are drawn from
the same cells after re-weighting by the platform weights.

Paper: §2.1 (demographic dimensions). Differs from the paper: raked census tables in place of a pool of real profiles.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logit, ndtr, ndtri

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import priors as priors_lib
from usergpt_jax.simulate.priors import Priors

N_YEARS = 95
N_GENDERS, N_SETTLEMENTS, N_EDUCATION = 2, len(priors_lib.SETTLEMENTS), len(priors_lib.EDUCATION)
N_TIERS = len(gazetteer.CITY_TIERS)
# The level of the school a pupil or student is at, from each age on; the highest attained or current one counts.
SCHOOL_AGES = (15.5, 18.4, 22.4)
SCHOOL_LEVELS = (0, 1, 3, 4)
_OLDER_WORKER = 45  # farmers are older: jobs are tabled on both sides of this age
_REFERENCE_YEAR = 2025
_HOME_LIFT = 0.7  # not all who will own do so yet; measured on 20,000 draws
_INCOME_UNEXPLAINED = 0.75
_FARMERS_LATER = 0.85  # farmers work on past the age at which others retire
_FARMER = priors_lib.JOBS.index("farmer")


def ipf(
    seed: Float[np.ndarray, "..."],
    marginals: Sequence[tuple[Int[np.ndarray, "..."], Float[np.ndarray, " _"]]],
    tolerance: float = 1e-9,
    max_rounds: int = 2000,
) -> Float[np.ndarray, "..."]:
    """Scales a table until its sums over groups of cells are the given ones (iterative proportional fitting).

        seed [[1, 1], [1, 3]], rows to (0.5, 0.5), columns to (0.4, 0.6): the odds ratio 3 stays.

    Args:
      seed: non-negative table; a cell that is 0 stays 0.
      marginals: pairs of the group number of each cell, shaped like `seed`, and the sum wanted for each group.
      tolerance: largest deviation of any sum at the end.
      max_rounds: of one scaling by each marginal.

    Raises:
      InputError: a wanted sum lies on cells that are all 0, or the marginals contradict each other.
    """
    table = seed.astype(np.float64)
    worst = np.inf
    for _ in range(max_rounds):
        worst = 0.0
        for groups, wanted in marginals:
            sums = np.bincount(groups.ravel(), table.ravel(), len(wanted))
            worst = max(worst, float(np.abs(sums - wanted).max()))
            table = table * np.divide(wanted, sums, out=np.zeros_like(sums), where=sums > 0)[groups]
        if worst < tolerance:
            return table
    raise InputError(f"priors.toml: no population fits the tables together: a marginal is off by {worst:.2g}")


def intercept(effects: Float[np.ndarray, " N"], weights: Float[np.ndarray, " N"], target: float) -> float:
    """The `a` for which the weighted mean of sigmoid(a + effects) is `target`, which lies inside (0, 1)."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = float(np.average(1 / (1 + np.exp(-middle - effects)), weights=weights))
        low, high = (middle, high) if mean < target else (low, middle)
    return (low + high) / 2


@dataclasses.dataclass(frozen=True)
class Joint:
    """The cells [C] and how many people and users are in each.

    Attributes:
      age: whole years.
      gender: 0 man, 1 woman.
      tier: number in `gazetteer.CITY_TIERS`.
      settlement: number in `priors.SETTLEMENTS`.
      education: highest that will be attained, number in `priors.EDUCATION`.
      people: share of the population.
      users: share of platform users, 0 outside their ages.
    """

    age: np.ndarray
    gender: np.ndarray
    tier: np.ndarray
    settlement: np.ndarray
    education: np.ndarray
    people: np.ndarray
    users: np.ndarray


@functools.cache
def joint(locale: str = locales.DEFAULT) -> Joint:
    """The raked population of a locale.

    Raises:
      InputError: its priors contradict each other.
    """
    known = priors_lib.load(locale)
    shape = (N_YEARS, N_GENDERS, N_TIERS, N_SETTLEMENTS, N_EDUCATION)
    age, gender, tier, settlement, education = (axis.ravel() for axis in np.indices(shape))
    band = np.searchsorted(known.age_from, age, side="right") - 1
    years = np.bincount(band[:: np.prod(shape[1:])])  # single years in each band
    men = known.men_per_100_women / (100 + known.men_per_100_women)
    by_gender = np.stack([known.age_share * men, known.age_share * (1 - men)], axis=1) / years[:, None]
    seed = _education_seed(known, age, tier, settlement, education) * known.tier_settlement[tier, settlement]
    seed *= np.exp(known.village_age_slope * (np.clip(age, 15, 75) - 40) / 10 * (settlement == 2))
    schooled = np.array([*known.education_share[:2], *(known.education_share[2] * known.cohort["tertiary_share"])])
    tiers = np.bincount(_city_tiers(locale), city_weights(locale), N_TIERS)
    present = np.flatnonzero(tiers > 0)
    seed *= np.isin(tier, present)
    people = ipf(
        seed,
        [
            (age * N_GENDERS + gender, by_gender[band[:: np.prod(shape[1:])]].ravel()),
            (tier, tiers),
            (settlement, known.settlement_share),
            (attained(age + 0.5, education), schooled),
        ],
    )
    users = people * known.platform_age[band] * known.platform_settlement[settlement] * known.platform_tier[tier]
    users *= known.platform_education[education]
    users *= (age >= known.platform_ages[0]) & (age < known.platform_ages[1])
    return Joint(age, gender, tier, settlement, education, people, users / users.sum())


def attained(age_years: np.ndarray, education: np.ndarray) -> np.ndarray:
    """Education attained or current at an age, of someone who will end with `education`."""
    return np.minimum(education, np.array(SCHOOL_LEVELS)[np.searchsorted(SCHOOL_AGES, age_years, side="right")])


def _education_seed(known: Priors, age: np.ndarray, tier: np.ndarray, settlement: np.ndarray, education: np.ndarray):
    cohort = known.cohort
    mean = np.interp(_REFERENCE_YEAR - age, cohort["birth_year"], cohort["mean"])
    mean += cohort["settlement"][settlement] + cohort["tier_step"][0] * (tier - 2)
    cuts = np.concatenate([[-np.inf], cohort["cuts"], [np.inf]])
    upper, lower = ((cuts[education + step] - mean) / cohort["deviation"][0] for step in (1, 0))
    return ndtr(upper) - ndtr(lower) + 1e-9


@functools.cache
def city_weights(locale: str = locales.DEFAULT) -> Float[np.ndarray, " Y"]:
    """Share of all people who live in each city of the gazetteer or in a place like it.

    The two upper tiers count with their own people; the other cities of a province stand for the rest of it.
    """
    cities, provinces = gazetteer.cities(locale), gazetteer.provinces(locale)
    own = np.array([city.population_millions for city in cities])
    province = np.array([provinces.index(city.province) for city in cities])
    upper = np.array([gazetteer.CITY_TIERS.index(city.tier) < 2 for city in cities])
    rest = priors_lib.load(locale).province_millions - np.bincount(province, own * upper, len(provinces))
    lower = np.bincount(province, own * ~upper, len(provinces))
    # A metropolis may hold more people than its state, when it reaches across the border.
    factor = np.divide(np.maximum(rest, lower), lower, out=np.ones_like(lower), where=lower > 0)
    weights = own * np.where(upper, 1.0, factor[province])
    return weights / weights.sum()


@functools.cache
def mean_education(locale: str = locales.DEFAULT) -> Float[np.ndarray, " S"]:
    """Mean final education number by settlement of those at the age when most marry (22 to 32)."""
    people = joint(locale)
    weights = people.people * ((people.age >= 22) & (people.age <= 32))
    total = np.bincount(people.settlement, weights, N_SETTLEMENTS)
    return np.bincount(people.settlement, weights * people.education, N_SETTLEMENTS) / total


@functools.cache
def home_intercept(locale: str = locales.DEFAULT) -> Float[np.ndarray, " P"]:
    """Log odds of ever owning a home by province, lifted so that those who own by now meet the renting shares."""
    return -logit(priors_lib.load(locale).rent_share) + _HOME_LIFT


def _city_tiers(locale: str) -> np.ndarray:
    return np.array([gazetteer.CITY_TIERS.index(city.tier) for city in gazetteer.cities(locale)])


@functools.cache
def job_cdf(locale: str = locales.DEFAULT) -> Float[np.ndarray, "5 2 3 2 J"]:
    """Cumulative chance of each job by final education, gender, settlement and age (under 45, from 45)."""
    known, people = priors_lib.load(locale), joint(locale)
    shape = (N_EDUCATION, N_GENDERS, N_SETTLEMENTS, 2)
    older = (people.age >= _OLDER_WORKER).astype(int)
    row = np.ravel_multi_index((people.education, people.gender, people.settlement, older), shape)
    working = (people.age > known.cohort["graduation_age"][people.education]) & (people.age < 60)
    rows = np.bincount(row, people.people * working, int(np.prod(shape)))
    education, gender, settlement, older = np.unravel_index(np.arange(len(rows)), shape)
    seed = priors_lib.JOB_AFFINITY[education] * priors_lib.JOB_GENDER[gender] * priors_lib.JOB_SETTLEMENT[settlement]
    seed[:, _FARMER] *= np.where(older == 1, 2.5, 0.4)
    seed *= (rows / seed.sum(axis=1))[:, None]
    group, job = np.indices(seed.shape)
    wanted = known.job_share * np.where(np.arange(len(known.job_share)) == _FARMER, _FARMERS_LATER, 1.0)
    table = ipf(seed, [(group, rows / rows.sum()), (job, wanted / wanted.sum())])
    cdf = np.cumsum(table, axis=1)
    return (cdf / cdf[:, -1:]).reshape(*shape, -1)


def job_row(age_years: np.ndarray) -> np.ndarray:
    """The last index but one of `job_cdf`."""
    return (age_years >= _OLDER_WORKER).astype(int)


@functools.cache
def never_married(locale: str = locales.DEFAULT) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "2 3 K"]]:
    """Ages in years, and the share that never married at that age by gender and settlement.

    The curve of all is moved on the logit scale to each settlement's bands, then half the gap of the mean ages at
    first marriage to either side.
    """
    known = priors_lib.load(locale)
    age, share = known.never_married
    middle = known.never_married_from + 2.5
    gap = logit(known.never_married_bands) - logit(np.interp(middle, age, share))
    grid = np.arange(age[0], age[-1] + 5.01, 0.25)
    inner = np.clip(share, 1e-6, 1 - 1e-6)
    men, women = known.first_marriage[0]
    legal = known.first_marriage[1]
    curves = np.ones((N_GENDERS, N_SETTLEMENTS, len(grid)))
    for gender, shift in enumerate(((men - women) / 2, (women - men) / 2)):
        for settlement in range(N_SETTLEMENTS):
            level = logit(np.interp(grid - shift, age, inner)) + np.interp(grid - shift, middle, gap[settlement])
            curve = np.where(grid < legal[gender], 1.0, 1 / (1 + np.exp(-level)))
            curves[gender, settlement] = np.minimum.accumulate(curve)
    return grid, curves


@dataclasses.dataclass(frozen=True)
class Income:
    """How a person's rank in income follows from what is known.

    Attributes:
      spread: standard deviation of what is not explained, on the scale of `income_score`.
      grid: values of the latent score.
      rank: share of people below each value of `grid`.
    """

    spread: float
    grid: np.ndarray
    rank: np.ndarray


def income_score(
    known: Priors, education: np.ndarray, settlement: np.ndarray, tier: np.ndarray, age_years: np.ndarray
) -> np.ndarray:
    """What education, place and age explain of the latent income score."""
    model = known.income
    score = model["education_step"][0] * education + model["settlement"][settlement] + model["tier_step"][0] * tier
    return score - 0.25 * ((np.clip(age_years, 18, 80) - 42) / 25) ** 2


@functools.cache
def income_ranks(locale: str = locales.DEFAULT) -> Income:
    """The distribution of the latent score over the population, so that ranks come out uniform."""
    known, people = priors_lib.load(locale), joint(locale)
    score = income_score(known, people.education, people.settlement, people.tier, people.age + 0.5)
    cdf = job_cdf(locale)[people.education, people.gender, people.settlement, job_row(people.age)]
    chances = np.diff(cdf, prepend=0.0)
    scores = (score[:, None] + priors_lib.JOB_INCOME).ravel()
    weights = (people.people[:, None] * chances).ravel()
    spread = _INCOME_UNEXPLAINED
    counts, edges = np.histogram(scores, bins=200, weights=weights)
    centres = (edges[:-1] + edges[1:]) / 2
    grid = np.linspace(edges[0] - 4 * spread, edges[-1] + 4 * spread, 400)
    rank = ndtr((grid[:, None] - centres) / spread) @ (counts / counts.sum())
    return Income(spread, grid, rank)


def income_at(known: Priors, rank: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Income in CNY a head and year at a rank in (0, 1): split lognormal below, Pareto in the top."""
    model = known.income
    z = ndtri(rank)
    top = model["top_frac"][0]
    body = model["median"][0] * np.exp(np.where(z < 0, model["deviation_below"][0], model["deviation_above"][0]) * z)
    start = model["median"][0] * np.exp(model["deviation_above"][0] * ndtri(1 - top))
    tail = start * (top / np.maximum(1 - rank, 1e-12)) ** (1 / model["pareto_exponent"][0])
    return np.where(rank > 1 - top, tail, body)


@functools.cache
def car_intercept(locale: str, effects: tuple[float, ...]) -> float:
    """The log odds of a car, to which `effects` by consumption level are added, that meet the share of households."""
    known, ranks = priors_lib.load(locale), (np.arange(1000) + 0.5) / 1000
    level = np.searchsorted(known.income["level_cuts"], income_at(known, ranks), side="right")
    return intercept(np.array(effects)[level], np.ones(len(ranks)), known.car_share)
