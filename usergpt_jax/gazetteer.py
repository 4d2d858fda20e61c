"""Cities with their province and tier, by locale: the one place that knows which city lies where."""

import dataclasses
import functools
import re

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError

# The tiers, largest first; "rural" is not a city's tier but a way of living in one.
ANY = ""  # any locale
CITY_TIERS = ("T1", "new_T1", "T2", "T3", "T4", "T5")


@dataclasses.dataclass(frozen=True)
class City:
    """A city with its surroundings: a prefecture in China, a metropolitan area in the United States.

    Attributes:
      name: romanised name, unique in its locale.
      province: romanised name of the province or state.
      tier: one of `CITY_TIERS`.
      population_millions: residents, from the 2020 census of either country.
    """

    name: str
    province: str
    tier: str
    population_millions: float


@functools.cache
def cities(locale: str = locales.DEFAULT) -> tuple[City, ...]:
    """All cities of a locale, in file order.

    Raises:
      InputError: no such locale, or a row of its cities.csv that cannot be read.
    """
    columns = ("city", "province", "tier", "population_millions")
    return _checked(locales.read_rows("cities.csv", locale, columns), f"cities.csv of locale {locale!r}")


@functools.cache
def provinces(locale: str = locales.DEFAULT) -> tuple[str, ...]:
    """All provinces that hold a city, alphabetically."""
    return tuple(sorted({city.province for city in cities(locale)}))


@functools.cache
def province_word(locale: str = locales.DEFAULT) -> str:
    """What a province is called there, such as "state".

    Raises:
      InputError: words.csv does not say.
    """
    words = {row["term"]: row["word"] for row in locales.read_rows("words.csv", locale, ("term", "word"))}
    if not words.get("province"):
        raise InputError(f"words.csv of locale {locale!r}: expected a row province, found none")
    return words["province"]


def city_named(name: str, locale: str = ANY) -> City | None:
    """The city of that name, ignoring case, outer spaces and a trailing "city" or "prefecture".

    Args:
      name: of a city.
      locale: whose cities are looked at; by default those of all.
    """
    folded = name.strip().casefold()
    found = _by_folded_name(locale).get(folded)
    if found is None:
        found = _by_folded_name(locale).get(re.sub(r"\s+(city|prefecture)$", "", folded))
    return found


def city_in(text: str, locale: str = ANY) -> City | None:
    """The first city whose name stands as a whole word in `text`, or None; `locale` as for `city_named`."""
    match = _pattern(locale).search(text)
    return _by_folded_name(locale)[match.group(1).casefold()] if match else None


@functools.cache
def city_pattern(locale: str = ANY) -> str:
    """A regular expression whose group is the first city named in a text, for engines that have no lookbehind."""
    return rf"(?i)\b({_alternatives(locale)})\b"


def _checked(rows: list[dict[str, str]], file: str) -> tuple[City, ...]:
    found: dict[str, City] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{file} row {number}"
        name, province, tier = (row[column].strip() for column in ("city", "province", "tier"))
        if not name or not province:
            raise InputError(f"{where}: expected a city and its province, got {name!r} and {province!r}")
        if name.casefold() in found:
            raise InputError(f"{where}: city {name!r} stands twice; expected each name once")
        if tier not in CITY_TIERS:
            raise InputError(f"{where} ({name}): tier {tier!r} is not one of {', '.join(CITY_TIERS)}")
        population = locales.positive(row["population_millions"], f"{where} ({name})", "population_millions", 1000)
        found[name.casefold()] = City(name, province, tier, population)
    if not found:
        raise InputError(f"{file}: expected at least one city, got none")
    return tuple(found.values())


@functools.cache
def _by_folded_name(locale: str) -> dict[str, City]:
    """Cities of a locale; of two locales with one name the default's city stands, then the first by locale."""
    order = sorted(locales.names(), key=lambda name: name != locales.DEFAULT) if locale == ANY else [locale]
    return {city.name.casefold(): city for name in reversed(order) for city in cities(name)}


@functools.cache
def _pattern(locale: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)({_alternatives(locale)})(?!\w)", re.IGNORECASE)


def _alternatives(locale: str) -> str:
    names = (re.escape(city.name) for city in _by_folded_name(locale).values())
    return "|".join(sorted(names, key=len, reverse=True))
