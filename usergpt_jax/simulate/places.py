"""Places of a locale: a city or a destination abroad with an optional part, numbered so that arrays can hold them."""

import dataclasses
import functools

import numpy as np

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.tags import HPR18

ZONES = HPR18["activity_zone"].values
TENURES = HPR18["housing_tenure"].values
SCHOOLS = ("kindergarten", "primary", "secondary")
# How many parts each row of a kind names; all rows of a kind have as many, so that a draw picks one.
PART_KINDS = {
    "zone": (ZONES, 4),
    "home": (TENURES, 2),
    "school": (SCHOOLS, 2),
    "hometown": (("hometown",), 2),
    "hotel": (("hotel",), 2),
    "station": (("station",), 2),
}

# Weight of a tier's cities among business trips, and of a city of the same region among short trips, against one of the
# same province. Our choice: no figures by tier or distance were found.
BUSINESS_TIER_WEIGHT = {"T1": 8.0, "new_T1": 3.0, "T2": 1.0, "T3": 0.2, "T4": 0.0, "T5": 0.0}
REGION_WEIGHT = 0.15


@dataclasses.dataclass(frozen=True)
class Places:
    """Places of a locale with P provinces, N home cities and M destinations; place number = city * n_parts + part.

    Attributes:
      cities: the home cities [N].
      provinces: names, alphabetically [P].
      destinations: names of the home cities, then of those abroad [M].
      city_tier: number in `gazetteer.CITY_TIERS`, int32 [N].
      city_province: number in `provinces`, int32 [N].
      population: millions, float64 [N].
      parts: names of the parts of a city; part 0 is "", the city as a whole.
      zone_part: parts for weekdays by activity zone, int32 [6, 4].
      home_part: parts for homes by housing tenure, int32 [4, 2].
      school_part: parts for schools by `SCHOOLS`, int32 [3, 2].
      hometown_part: parts of the hometown where the family lives, int32 [2].
      hotel_part: parts where travellers sleep, int32 [2].
      station_part: parts where travellers arrive, railway then airport, int32 [2].
      destination_weights: chance of each destination for business, leisure and outbound trips, float64 [3, M].
      nearby_weights: chance of each destination for short trips by home province, float64 [P, M].
    """

    cities: tuple[gazetteer.City, ...]
    provinces: tuple[str, ...]
    destinations: tuple[str, ...]
    city_tier: np.ndarray
    city_province: np.ndarray
    population: np.ndarray
    parts: tuple[str, ...]
    zone_part: np.ndarray
    home_part: np.ndarray
    school_part: np.ndarray
    hometown_part: np.ndarray
    hotel_part: np.ndarray
    station_part: np.ndarray
    destination_weights: np.ndarray
    nearby_weights: np.ndarray

    @property
    def n_parts(self) -> int:
        """Number of parts of every city, the whole city counted."""
        return len(self.parts)

    def names(self) -> list[str]:
        """The name of each place number, such as "Hangzhou" and "Hangzhou CBD" [M * n_parts]."""
        return [f"{name} {part}".strip() for name in self.destinations for part in self.parts]


@functools.cache
def load(locale: str) -> Places:
    """The places of a locale.

    Raises:
      InputError: a row of cities.csv, provinces.csv, destinations.csv or parts.csv that cannot be read.
    """
    cities, provinces = gazetteer.cities(locale), gazetteer.provinces(locale)
    leisure, outbound = _destinations(locale)
    parts = _parts(locale)
    numbers = {name: i for i, name in enumerate(("", *dict.fromkeys(p for row in parts.values() for p in row)))}
    part_of = {
        kind: np.array([[numbers[part] for part in parts[kind, of]] for of in rows], np.int32)
        for kind, (rows, _) in PART_KINDS.items()
    }
    city_province = np.array([provinces.index(city.province) for city in cities], np.int32)
    population = np.array([city.population_millions for city in cities])
    at_home = np.array([BUSINESS_TIER_WEIGHT[city.tier] for city in cities])
    nearby = _nearby_weights(city_province, population, _regions(locale))
    weights = np.zeros((3, len(cities) + len(outbound)))
    weights[0, : len(cities)] = at_home
    weights[1, : len(cities)] = [leisure.get(city.name, 0.0) for city in cities]
    weights[2, len(cities) :] = list(outbound.values())
    return Places(
        cities=cities,
        provinces=provinces,
        destinations=(*(city.name for city in cities), *outbound),
        city_tier=np.array([gazetteer.CITY_TIERS.index(city.tier) for city in cities], np.int32),
        city_province=city_province,
        population=population,
        parts=tuple(numbers),
        zone_part=part_of["zone"],
        home_part=part_of["home"],
        school_part=part_of["school"],
        hometown_part=part_of["hometown"][0],
        hotel_part=part_of["hotel"][0],
        station_part=part_of["station"][0],
        destination_weights=weights / weights.sum(axis=1, keepdims=True),
        nearby_weights=np.pad(nearby, ((0, 0), (0, len(outbound)))),
    )


def _nearby_weights(city_province: np.ndarray, population: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Chance of each city for a short trip from each province [P, N]: by population, nearer ones first."""
    home = np.arange(len(region))[:, None] == city_province
    home &= home.sum(axis=1, keepdims=True) > 1  # people of a province with one city go elsewhere
    near = (region[:, None] == region[city_province]) & ~(np.arange(len(region))[:, None] == city_province)
    weight = (home + REGION_WEIGHT * near) * population
    lonely = weight.sum(axis=1) == 0
    weight[lonely] = population
    return weight / weight.sum(axis=1, keepdims=True)


def _destinations(locale: str) -> tuple[dict[str, float], dict[str, float]]:
    """Weight by name of the destinations at home and abroad."""
    file = f"destinations.csv of locale {locale!r}"
    found: dict[str, dict[str, float]] = {"home": {}, "abroad": {}}
    known = {city.name for city in gazetteer.cities(locale)}
    for number, row in enumerate(
        locales.read_rows("destinations.csv", locale, ("destination", "where", "weight")), start=1
    ):
        where = f"{file} row {number}"
        name, side = row["destination"], row["where"]
        if side not in found:
            raise InputError(f"{where} ({name}): where {side!r} is not one of home, abroad")
        if (name in known) != (side == "home"):
            raise InputError(f"{where} ({name}): expected a city of cities.csv at home and none abroad, got {side!r}")
        if any(name in names for names in found.values()):
            raise InputError(f"{where}: {name!r} stands twice; expected each name once")
        found[side][name] = locales.positive(row["weight"], f"{where} ({name})", "weight", 1e6)
    for side, names in found.items():
        if not names:
            raise InputError(f"{file}: expected at least one destination {side}, got none")
    return found["home"], found["abroad"]


def _regions(locale: str) -> np.ndarray:
    """Number of the region of each province, int32 [P]."""
    region = {
        row["province"]: row["region"] for row in locales.read_rows("provinces.csv", locale, ("province", "region"))
    }
    for name in gazetteer.provinces(locale):
        if not region.get(name):
            raise InputError(f"provinces.csv of locale {locale!r}: no region of {name!r}; expected one row a province")
    order = list(dict.fromkeys(region.values()))
    return np.array([order.index(region[name]) for name in gazetteer.provinces(locale)], np.int32)


def _parts(locale: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Names of the parts by kind and what they are for."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for number, row in enumerate(locales.read_rows("parts.csv", locale, ("kind", "of", "parts")), start=1):
        where = f"parts.csv row {number}"
        rows, count = PART_KINDS.get(row["kind"], ((), 0))
        if row["of"] not in rows:
            allowed = ", ".join(rows) or f"nothing: kind is not one of {', '.join(PART_KINDS)}"
            raise InputError(f"{where}: {row['kind']} of {row['of']!r}: expected {allowed}")
        names = tuple(row["parts"].split("|"))
        if len(names) != count or not all(names) or len(set(names)) != count:
            raise InputError(f"{where} ({row['of']}): parts {row['parts']!r}: expected {count} names joined by |")
        found[row["kind"], row["of"]] = names
    for kind, (rows, _) in PART_KINDS.items():
        if missing := [of for of in rows if (kind, of) not in found]:
            raise InputError(f"parts.csv: no row {kind},{missing[0]}; expected one each")
    return found
