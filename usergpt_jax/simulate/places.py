"""Places: a city with an optional part of it, numbered so that arrays can hold them."""

import numpy as np

from usergpt_jax import gazetteer
from usergpt_jax.simulate import priors

# Foreign destinations and the cities people go to for pleasure, with weights.
ABROAD = ("Tokyo", "Osaka", "Bangkok", "Seoul", "Singapore", "Paris", "London", "Bali", "Dubai", "Sydney")
LEISURE = {
    "Sanya": 6, "Kunming": 5, "Chengdu": 6, "Xi'an": 6, "Beijing": 5, "Shanghai": 4, "Hangzhou": 5, "Xiamen": 5,
    "Chongqing": 5, "Qingdao": 4, "Lhasa": 2, "Guiyang": 3, "Harbin": 3, "Changsha": 4, "Dalian": 2, "Haikou": 2,
    "Urumqi": 2, "Nanjing": 3, "Luoyang": 2, "Suzhou": 2,
}  # fmt: skip
BUSINESS_TIER_WEIGHT = {"T1": 8.0, "new_T1": 3.0, "T2": 1.0, "T3": 0.2, "T4": 0.0, "T5": 0.0}

ZONE_PARTS = {
    "cbd_office": ("CBD", "Financial Street", "Software Park", "Central Plaza"),
    "campus": ("University Town", "College Road", "Campus East", "School Road"),
    "industrial_park": ("Industrial Park", "Economic Zone", "Logistics Park", "Export Zone"),
    "residential": ("Garden Community", "Riverside Community", "Sunshine Community", "New Village"),
    "county_town": ("County Town", "County East Street", "County Plaza", "County Old Street"),
    "rural": ("Village", "Township", "Farm Road", "Hamlet"),
}
HOME_PARTS = {
    "own": ("Bay Garden", "Garden Community"),
    "rent": ("Rental Apartments", "Riverside Community"),
    "with_family": ("Old Town Court", "Sunshine Community"),
    "dormitory": ("Dormitory", "Campus East"),
}
PARTS = ("", *dict.fromkeys(part for parts in (*ZONE_PARTS.values(), *HOME_PARTS.values()) for part in parts))
N_PARTS = len(PARTS)

CITIES = gazetteer.cities()
DESTINATIONS = (*(city.name for city in CITIES), *ABROAD)

# Part numbers: [zone, 4] for weekdays and [tenure, 2] for homes.
ZONE_PART = np.array([[PARTS.index(p) for p in ZONE_PARTS[zone]] for zone in priors.ZONES], np.int32)
HOME_PART = np.array([[PARTS.index(p) for p in parts] for parts in HOME_PARTS.values()], np.int32)


def names() -> list[str]:
    """The name of each place number `city * N_PARTS + part`; destinations abroad follow with the empty part only."""
    return [f"{name} {part}".strip() for name in DESTINATIONS for part in PARTS]


def city_column(name: str) -> np.ndarray:
    """`population`, `tier`, `province` (numbers) of each city as an array."""
    tiers, provinces = [*map(str, gazetteer.CITY_TIERS)], list(gazetteer.provinces())
    columns = {
        "population": [city.population_millions for city in CITIES],
        "tier": [tiers.index(city.tier) for city in CITIES],
        "province": [provinces.index(city.province) for city in CITIES],
    }
    return np.array(columns[name])


def resident_weights() -> np.ndarray:
    """Chance of each city as a platform user's home: population times tier weight, normalised."""
    weights = np.array([c.population_millions * priors.TIER_WEIGHT[c.tier] for c in CITIES])
    return weights / weights.sum()


def destination_weights() -> np.ndarray:
    """Chances [3, destinations] for business, leisure and outbound trips."""
    business = [BUSINESS_TIER_WEIGHT[c.tier] for c in CITIES] + [0.0] * len(ABROAD)
    leisure = [float(LEISURE.get(c.name, 0.0)) for c in CITIES] + [0.0] * len(ABROAD)
    outbound = [0.0] * len(CITIES) + [1.0 / rank for rank in range(1, len(ABROAD) + 1)]
    table = np.array([business, leisure, outbound])
    return table / table.sum(axis=1, keepdims=True)
