"""The dated side of a persona: schooling, jobs, partners, children, homes and moves, in an order the tag rules accept.

All functions take uniforms in (0, 1) with a leading user axis and what is known so far, and return arrays [U]; dates
are epoch days, `NEVER` for what does not happen.

Paper: §2.1 (life stages advance in time).
"""

import numpy as np
from jaxtyping import Float

from usergpt_jax.simulate import population
from usergpt_jax.simulate import priors as priors_lib
from usergpt_jax.simulate.priors import DAYS_PER_YEAR, Priors

NEVER = 2**29
_FARMER = priors_lib.JOBS.index("farmer")
_JOB_TO_OCCUPATION = np.array([priors_lib.OCCUPATIONS.index(job) for job in priors_lib.JOBS])
_CHANGES_JOB = (0.55, 0.4)  # chance of a first and then of a second change
_MARRY_LATER_YEARS = 0.55  # for each step of education, about the mean of the settlement
_JUNE_27, _SEPTEMBER_1 = 178, 244  # days of the year
# Log odds of ever owning a home, on top of the intercept that meets the city renting shares.
_OWN_LEVEL, _OWN_MIGRANT, _OWN_SINGLE = 0.35, -1.3, -1.2

Known = dict[str, np.ndarray]
Uniforms = Float[np.ndarray, "U K"]


def years_after(day: np.ndarray, years: np.ndarray | float) -> np.ndarray:
    """`day` plus `years`, kept at `NEVER` for what never happens."""
    return np.where(day >= NEVER, NEVER, day + np.floor(years * DAYS_PER_YEAR).astype(np.int64))


def pick(cdf: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The entry that `u` falls on in cumulative weights, [K] for all or [U, K] for each."""
    cdf = np.broadcast_to(cdf, (len(u), cdf.shape[-1]))
    return np.minimum((cdf <= (u * cdf[:, -1])[:, None]).sum(axis=1), cdf.shape[1] - 1)


def schooling_and_work(u: Uniforms, known: Known, priors: Priors) -> Known:
    """Dates of school, the jobs and when they change."""
    education, birth = known["education"], known["birth_day"]
    graduation = _snap(years_after(birth, priors.cohort["graduation_age"][education]), _JUNE_27)
    enrol = np.where(education >= 2, _snap(years_after(birth, 18.4), _SEPTEMBER_1), NEVER)
    older = population.job_row(known["age_years"])
    cdf = population.job_cdf(priors.locale)[education, known["gender"], known["settlement"], older]
    first, second, third = (pick(cdf, u[:, slot]) for slot in range(3))
    # Who farms stays on the farm; a person with one job has it three times.
    changes = (u[:, 3] < _CHANGES_JOB[0]) & (first != _FARMER) & (second != _FARMER)
    again = changes & (u[:, 4] < _CHANGES_JOB[1]) & (third != _FARMER)
    second = np.where(changes, second, first)
    third = np.where(again, third, second)
    change = np.where(second != first, years_after(graduation, 1.0 + 14.0 * u[:, 5] ** 2), NEVER)
    start = np.where(change < NEVER, change, years_after(graduation, 3.0))
    change_again = np.where(third != second, years_after(start, 1.5 + 12.0 * u[:, 6] ** 1.5), NEVER)
    retire_age = np.where(known["gender"] == 0, 60.0, 54.0) + 2.0 * u[:, 7] + np.where(first == _FARMER, 8.0, 0.0)
    return {
        "enrol_day": enrol,
        "graduation_day": graduation,
        "job": first,
        "occupation": _JOB_TO_OCCUPATION[first],
        "next_occupation": _JOB_TO_OCCUPATION[second],
        "job_change_day": change,
        "last_occupation": _JOB_TO_OCCUPATION[third],
        "second_job_change_day": change_again,
        "retire_day": years_after(birth, retire_age),
    }


def _snap(day: np.ndarray, day_of_year: int) -> np.ndarray:
    """Moves a date to a fixed day of its year (month lengths to within a day)."""
    return np.floor(np.floor(day / DAYS_PER_YEAR) * DAYS_PER_YEAR).astype(np.int64) + day_of_year


def _next_snap(day: np.ndarray, day_of_year: int) -> np.ndarray:
    """The first such day of the year from `day` on."""
    found = _snap(day, day_of_year)
    found = np.where(found < day, found + round(DAYS_PER_YEAR), found)
    return np.where(day >= NEVER, NEVER, found)


def family(u: Uniforms, known: Known, priors: Priors) -> Known:
    """Partner, marriage, births, separation, remarriage, and when the last child leaves."""
    birth, female, chance = known["birth_day"], known["gender"] == 1, priors.family
    marriage = _marriage(u[:, 0], known, priors)
    married = marriage < NEVER
    partner = np.where(married, years_after(marriage, -0.55 - 3.5 * u[:, 1]), NEVER)
    unwed = np.where(u[:, 2] < 0.4, years_after(birth, 20.0 + 12.0 * u[:, 1]), NEVER)
    partner = np.minimum(np.maximum(np.where(married, partner, unwed), years_after(birth, 18.5)), marriage)
    divorce = np.where(u[:, 3] < chance["divorce"], years_after(marriage, 2.0 + 16.0 * u[:, 4]), NEVER)
    widowed_at = years_after(birth, 58.0 + 26.0 * u[:, 6])
    widowed = np.where(u[:, 5] < chance["widowed"] * np.where(female, 1.4, 0.6), widowed_at, NEVER)
    separation = np.where(married, np.maximum(np.minimum(divorce, widowed), marriage + 1), NEVER)
    separation = np.minimum(separation, NEVER)
    remarries = (u[:, 7] < chance["remarriage"]) & (divorce < widowed)
    remarriage = np.where(remarries, years_after(separation, 1.0 + 6.0 * u[:, 8]), NEVER)
    births = _births(u[:, 9:15], known, marriage, separation, remarriage, priors)
    last = np.where(births < NEVER, births, -NEVER).max(axis=0)
    stays = u[:, 15] < np.where(female, chance["stays_home_women"], chance["stays_home_men"])
    return {
        "partner_day": partner,
        "marriage_day": marriage,
        "separation_day": separation,
        "remarriage_day": remarriage,
        "first_birth_day": births[0],
        "second_birth_day": births[1],
        "third_birth_day": births[2],
        "nest_empty_day": np.where(
            births[0] < NEVER, _next_snap(years_after(np.maximum(last, -(10**6)), 18.0), _SEPTEMBER_1), NEVER
        ),
        "homemaker_day": np.where(stays & (births[0] < NEVER), births[0] - 60, NEVER),
    }


def _marriage(u: np.ndarray, known: Known, priors: Priors) -> np.ndarray:
    """Day of the first marriage: the age at which the never-married curve of the group falls to `u`."""
    grid, curves = population.never_married(priors.locale)
    age = np.zeros(len(u))
    mean = population.mean_education(priors.locale)
    for gender in range(curves.shape[0]):
        for settlement in range(curves.shape[1]):
            group = (known["gender"] == gender) & (known["settlement"] == settlement)
            age[group] = np.interp(u[group], curves[gender, settlement, ::-1], grid[::-1])
            never = u[group] < curves[gender, settlement, -1]
            age[group] = np.where(never, np.inf, age[group])
    age += _MARRY_LATER_YEARS * (known["education"] - mean[known["settlement"]])
    age = np.maximum(age, priors.first_marriage[1][known["gender"]] + u)
    marries = np.isfinite(age)
    day = years_after(known["birth_day"], np.where(marries, age, 0.0))
    return np.where(marries, np.maximum(day, known["graduation_day"] + 60), NEVER)


def _births(
    u: Uniforms, known: Known, marriage: np.ndarray, separation: np.ndarray, remarriage: np.ndarray, priors: Priors
) -> np.ndarray:
    """Days of up to three births [3, U], each within a marriage and while the parents are young enough."""
    chance = priors.family
    latest = years_after(known["birth_day"], np.where(known["gender"] == 1, 44.0, 48.0))

    def kept(day: np.ndarray) -> np.ndarray:
        together = (day <= separation + 150) | (day >= remarriage + 280)
        return np.where((day <= latest) & together, day, NEVER)

    more = np.where(known["settlement"] == 2, 1.3, np.where(known["settlement"] == 1, 1.1, 0.85))
    first = kept(years_after(marriage, 0.9 - 1.6 * np.log1p(-0.98 * u[:, 0])))
    first = np.where(u[:, 1] < chance["childless"], NEVER, first)
    second = kept(years_after(first, 1.8 + 4.0 * u[:, 2]))
    second = np.where(u[:, 3] < chance["second_child"] * more, second, NEVER)
    third = kept(years_after(second, 1.8 + 4.5 * u[:, 4]))
    third = np.where(u[:, 5] < chance["third_child"] * more, third, NEVER)
    return np.stack([first, second, third])


def housing(u: Uniforms, known: Known, priors: Priors) -> Known:
    """When the parents' home is left and an own one is bought."""
    birth, migrant = known["birth_day"], known["hometown_city"] != known["city"]
    by_marriage = np.where(u[:, 1] < 0.6, known["marriage_day"], NEVER)
    grown = np.minimum(years_after(birth, 23.0 + 11.0 * u[:, 0]), by_marriage)
    unwed = known["marriage_day"] >= NEVER
    effect = _OWN_LEVEL * (known["consumption_level"] - 2) + _OWN_MIGRANT * migrant + _OWN_SINGLE * unwed
    odds = population.home_intercept(priors.locale)[known["province"]] + effect
    settles = np.minimum(known["marriage_day"], years_after(birth, 30.0 + 8.0 * u[:, 2]))
    bought = years_after(settles, -0.5 + 3.5 * u[:, 4] ** 2)
    buy = np.where(u[:, 3] < 1 / (1 + np.exp(-odds)), bought, NEVER)
    return {
        "leave_home_day": np.where(migrant, known["graduation_day"], grown),
        "buy_home_day": np.where(buy < NEVER, np.maximum(buy, known["graduation_day"] + 400), NEVER),
        "boards": (u[:, 5] < 0.4).astype(np.int64),
    }


def moves(u: Uniforms, as_of_day: int, known: Known, city_cdf: np.ndarray) -> Known:
    """Cities before, between and after up to three moves; the last is where the user lives at `as_of_day`."""
    city, hometown, age = known["city"], known["hometown_city"], known["age_years"]
    young = (age > 23) & (age < 42) & (known["settlement"] < 2)
    frequent = young & (u[:, 0] < 0.13) & (known["buy_home_day"] > as_of_day)
    recent = ~frequent & (age > 19) & (u[:, 0] > np.where(young, 0.83, 0.95))
    one, two = pick(city_cdf, u[:, 1]), pick(city_cdf, u[:, 2])
    spread = np.array([610, 370, 130]) + np.floor(u[:, 3:6] * 100).astype(np.int64)
    origin = np.where(hometown == city, one, hometown)
    enrols = (hometown != city) & (known["enrol_day"] < NEVER) & (age < 24)
    recent_day = as_of_day - 60 - np.floor(u[:, 6] * 280).astype(np.int64)
    single = np.where(recent, recent_day, np.where(enrols, known["enrol_day"], NEVER))
    never = np.full_like(single, NEVER)
    before = np.where(recent | enrols, origin, city)
    days = np.where(frequent[:, None], as_of_day - spread, np.stack([single, never, never], axis=1))
    often, seldom = (np.stack(row, axis=1) for row in ([origin, one, two, city], [before, city, city, city]))
    return {"move_days": days, "cities": np.where(frequent[:, None], often, seldom)}
