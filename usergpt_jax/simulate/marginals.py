"""Published shares beside drawn ones: the check that personas follow the priors before any platform weight.

python -m usergpt_jax.simulate.marginals --locale cn --people 50000
"""

import argparse
import datetime
import functools

import jax
import numpy as np
import polars as pl

from usergpt_jax import gazetteer, locales
from usergpt_jax.simulate import calendar, evolution, persona, population
from usergpt_jax.simulate import priors as priors_lib
from usergpt_jax.simulate.priors import DAYS_PER_YEAR
from usergpt_jax.tags import HPR18

_AS_OF = datetime.date(2025, 7, 1)
_Row = tuple[str, float, float, float]


@functools.cache
def crowd(locale: str, people: int, seed: int = 0, platform: bool = False) -> tuple[persona.Course, evolution.State]:
    """Courses of so many people and their states at mid-2025, as arrays."""
    as_of = calendar.epoch_day(_AS_OF)
    uniforms = persona.user_uniforms(seed, np.arange(people))
    course = persona.sample_courses(uniforms, as_of, locale, platform)
    state = jax.jit(jax.vmap(evolution.state_at, in_axes=(0, None)))(course, as_of)
    return course, jax.tree.map(np.asarray, state)


def compare(locale: str = locales.DEFAULT, people: int = 20_000, seed: int = 0) -> pl.DataFrame:
    """Target and drawn value of each measured share, in percent, and of incomes in CNY; one row each.

    Columns: name, target, drawn, tolerance (how far apart they may be, in the same unit).
    """
    course, state = crowd(locale, people, seed)
    known = priors_lib.load(locale)
    age = (calendar.epoch_day(_AS_OF) - course.birth_day) / DAYS_PER_YEAR
    rows = _people(course, age, known) + _families(course, age, known) + _homes(course, state, age, known)
    rows += _money(course, state, age, known)
    return pl.DataFrame(rows, schema=["name", "target", "drawn", "tolerance"], orient="row")


def _percent(condition: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(100 * np.average(condition, weights=weights))


def _people(course: persona.Course, age: np.ndarray, known: priors_lib.Priors) -> list[_Row]:
    band = np.searchsorted(known.age_from, age, side="right") - 1
    rows = [
        (f"aged {first:.0f} and more" if first == known.age_from[-1] else f"aged {first:.0f}-{first + 4:.0f}",
         100 * share, _percent(band == number), 1.0)
        for number, (first, share) in enumerate(zip(known.age_from, known.age_share, strict=True))
    ]  # fmt: skip
    men = course.gender == 0
    rows.append(("men to 100 women", known.sex_ratio, float(100 * men.sum() / (~men).sum()), 4.0))
    levels = population.attained(age, course.education)
    measured = [levels == 0, levels == 1, levels >= 2]
    names = ("junior high or below", "senior high", "college and up")
    rows += [(n, 100 * s, _percent(m), 1.0) for n, s, m in zip(names, known.education_share, measured, strict=True)]
    cities = gazetteer.cities(known.locale)
    tier = course.city_tiers[:, -1]
    upper = zip(gazetteer.CITY_TIERS, known.tier_share, strict=False)
    rows += [(f"lives in a {n} city", 100 * s, _percent(tier == number), 1.5) for number, (n, s) in enumerate(upper)]
    rows.append(("urban", 100 * known.urban, _percent(course.settlement < 2), 1.0))
    provinces = gazetteer.provinces(known.locale)
    home = np.array([provinces.index(city.province) for city in cities])[course.cities[:, -1]]
    largest = np.argsort(-known.province_millions, kind="stable")[:5]
    share = 100 * known.province_millions / known.province_millions.sum()
    return rows + [(f"lives in {provinces[p]}", float(share[p]), _percent(home == p), 1.5) for p in largest]


def _families(course: persona.Course, age: np.ndarray, known: priors_lib.Priors) -> list[_Row]:
    never = course.marriage_day > calendar.epoch_day(_AS_OF)
    rows = []
    for years, share in known.never_married.T:
        if 25 <= years <= 40:
            near = np.floor(age) == years
            rows.append((f"never married at {years:.0f}", 100 * share, _percent(never[near]), 4.0))
    for settlement, name in enumerate(priors_lib.SETTLEMENTS):
        for first, share in zip(known.never_married_from[:3], known.never_married_bands[settlement], strict=False):
            group = (course.settlement == settlement) & (age >= first) & (age < first + 5)
            years = f"{first:.0f}-{first + 4:.0f}"
            rows.append((f"never married at {years}, {name}", 100 * share, _percent(never[group]), 5.0))
    wed = course.marriage_day < persona.NEVER
    at = (course.marriage_day - course.birth_day) / DAYS_PER_YEAR
    for gender, name in enumerate(("men", "women")):
        mean = float(at[wed & (course.gender == gender)].mean())
        rows.append((f"mean age at first marriage, {name}", float(known.first_marriage[0, gender]), mean, 1.2))
    return rows


def _homes(course: persona.Course, state: evolution.State, age: np.ndarray, known: priors_lib.Priors) -> list[_Row]:
    # People are weighted by one over the size of their household, so that households count once.
    weight = 1 / course.household_size
    size = np.minimum(course.household_size, 7)
    rows = [
        (f"households of {n}" + " and more" * (n == 7), 100 * s, _percent(size == n, weight), 7.0)
        for n, s in enumerate(known.household_size, 1)
    ]
    kinds = persona.HOUSEHOLD_KINDS
    three = course.household_kind == kinds.index("three_generations")
    one = np.isin(course.household_kind, [kinds.index(kind) for kind in ("alone", "couple", "shared")])
    for name, share, found in zip(("one", "two", "three"), known.generations, (one, ~one & ~three, three), strict=True):
        rows.append((f"households of {name} generations", 100 * share, _percent(found, weight), 7.0))
    tenure = np.asarray(state.tags)[:, evolution.STATE_TAGS.index("housing_tenure")]
    rents, owns = (tenure == HPR18["housing_tenure"].values.index(name) for name in ("rent", "own"))
    provinces = gazetteer.provinces(known.locale)
    city_province = np.array([provinces.index(c.province) for c in gazetteer.cities(known.locale)])
    home = city_province[course.cities[:, -1]]
    counted = (course.settlement == 0) & (rents | owns) & (age >= 20)
    usual = np.median(known.rent_share)
    elsewhere = counted & (known.rent_share[home] == usual)
    rows.append(("city households that rent", 100 * usual, _percent(rents[elsewhere]), 5.0))
    for number in np.flatnonzero(known.rent_share != usual):
        share, group = 100 * float(known.rent_share[number]), counted & (home == number)
        rows.append((f"city households that rent, {provinces[number]}", share, _percent(rents[group]), 8.0))
    rows.append(("households with a car", 100 * known.car_share, _percent(course.car[age > 21] == 1), 4.0))
    cats = np.isin(course.pet[course.settlement < 2], (1, 3))
    share = float(known.pet_share[1] + known.pet_share[3])
    rows.append(("urban households with a cat", 100 * share, _percent(cats), 2.5))
    return rows


def _money(course: persona.Course, state: evolution.State, age: np.ndarray, known: priors_lib.Priors) -> list[_Row]:
    income, urban = np.sort(course.income_cny), course.settlement < 2
    means = [float(part.mean()) for part in np.array_split(income, 5)]
    rows = [
        (f"income, mean of fifth {number}", float(target), drawn, 0.12 * float(target))
        for number, (target, drawn) in enumerate(zip(known.income["quintiles"], means, strict=True), 1)
    ]
    for name, group in (("urban", urban), ("rural", ~urban)):
        target = float(known.income[name][0])
        rows.append((f"mean income, {name}", target, float(course.income_cny[group].mean()), 0.15 * target))
    target = float(known.income["median"][0])
    rows.append(("median income", target, float(np.median(income)), 0.08 * target))
    occupation = np.asarray(state.tags)[:, evolution.STATE_TAGS.index("occupation")]
    idle = np.isin(occupation, [priors_lib.OCCUPATIONS.index(n) for n in ("student", "homemaker", "retired")])
    works = ~idle & (age >= 15)
    rows.append(("employed at 15 and over", 100 * known.participation, _percent(works[age >= 15]), 6.0))
    industry = {"farmer": known.industry[0], "factory_construction": known.industry[1] + known.industry[3]}
    for name, share in industry.items():
        found = occupation[works] == priors_lib.OCCUPATIONS.index(name)
        rows.append((f"employed as {name}", 100 * float(share), _percent(found), 5.0))
    return rows


def main() -> None:
    """Prints the comparison as a Markdown table."""
    parser = argparse.ArgumentParser(description=compare.__doc__)
    parser.add_argument("--locale", default=locales.DEFAULT, choices=locales.names())
    parser.add_argument("--people", type=int, default=50_000)
    arguments = parser.parse_args()
    print("| Share in percent, income in CNY | Target | Drawn |\n|---|---:|---:|")
    for name, target, drawn, tolerance in compare(arguments.locale, arguments.people).iter_rows():
        mark = "" if abs(target - drawn) <= tolerance else " (!)"
        digits = 0 if target > 1000 else 1
        print(f"| {name} | {target:.{digits}f} | {drawn:.{digits}f}{mark} |")


if __name__ == "__main__":
    main()
