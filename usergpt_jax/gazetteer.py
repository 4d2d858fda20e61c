"""Cities with their province and tier: the one place that knows which city lies where."""

import csv
import dataclasses
import functools
import importlib.resources
import re

# The tiers, largest first; "rural" is not a city's tier but a way of living in one.
CITY_TIERS = ("T1", "new_T1", "T2", "T3", "T4", "T5")


@dataclasses.dataclass(frozen=True)
class City:
    """A prefecture-level city.

    Attributes:
      name: romanised name, unique.
      province: romanised name of the province.
      tier: one of `CITY_TIERS`.
      population_millions: resident population of the prefecture, 2020 census.
    """

    name: str
    province: str
    tier: str
    population_millions: float


@functools.cache
def cities() -> tuple[City, ...]:
    """All cities of the gazetteer, in file order."""
    path = importlib.resources.files("usergpt_jax") / "data" / "cities.csv"
    with path.open(encoding="utf-8") as file:
        return tuple(
            City(row["city"], row["province"], row["tier"], float(row["population_millions"]))
            for row in csv.DictReader(file)
        )


@functools.cache
def provinces() -> tuple[str, ...]:
    """All provinces that hold a city, alphabetically."""
    return tuple(sorted({city.province for city in cities()}))


@functools.cache
def _by_folded_name() -> dict[str, City]:
    return {city.name.casefold(): city for city in cities()}


@functools.cache
def _pattern() -> re.Pattern[str]:
    names = sorted((re.escape(city.name) for city in cities()), key=len, reverse=True)
    return re.compile(r"(?<!\w)(" + "|".join(names) + r")(?!\w)", re.IGNORECASE)


def city_named(name: str) -> City | None:
    """The city of that name, ignoring case, outer spaces and a trailing "city" or "prefecture"."""
    folded = name.strip().casefold()
    found = _by_folded_name().get(folded)
    if found is None:
        found = _by_folded_name().get(re.sub(r"\s+(city|prefecture)$", "", folded))
    return found


def city_in(text: str) -> City | None:
    """The first city whose name stands as a whole word in `text`, or None."""
    match = _pattern().search(text)
    return _by_folded_name()[match.group(1).casefold()] if match else None
