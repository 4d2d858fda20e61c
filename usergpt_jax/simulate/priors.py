"""Population priors: shares and curves that personas are drawn from, read from a locale's `priors.toml`.

Every table of the file names its source and year and says whether it is measured or modelled; `docs/population.md`
tells how they are joined. What does not differ between locales stands here as constants.

Paper: §2.1 (demographic dimensions). Differs from the paper: it used SocioVerse's pool; we use census tables.
"""

import dataclasses
import functools
import tomllib
from typing import Any

import numpy as np

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.tags import HPR18

DAYS_PER_YEAR = 365.2425

OCCUPATIONS = HPR18["occupation"].values
EDUCATION = HPR18["education"].values
ZONES = HPR18["activity_zone"].values
PETS = HPR18["pet"].values
SETTLEMENTS = ("city", "town", "village")

INTERESTS = (
    "photography", "fishing", "gaming", "fitness", "gourmet food", "travel", "reading", "music",
    "camping", "crafts", "cars", "fashion", "beauty", "gardening", "anime", "cycling",
)  # fmt: skip
# Weight of each interest by gender, and how its log moves with each ten years from 30.
INTEREST_MALE = np.array([1.0, 1.5, 1.8, 1.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.2, 1.5, 0.5, 0.1, 0.6, 0.9, 1.0])
INTEREST_FEMALE = np.array([0.9, 0.1, 0.6, 1.0, 1.2, 1.1, 1.2, 0.8, 0.8, 1.3, 0.3, 1.6, 1.6, 1.1, 0.8, 0.5])
INTEREST_AGE_SLOPE = np.array([0.0, 0.3, -0.7, -0.2, 0.1, 0.1, 0.05, -0.15, -0.2, 0.2, 0.0, -0.3, -0.3, 0.5, -1.0, 0.0])
INTEREST_COUNT_SHARE = np.array([0.34, 0.34, 0.22, 0.10])  # one, two, three, four interests

# Affinity of each job to education (rows as EDUCATION), gender and settlement; `job.share` fixes the totals.
JOBS = (
    "public_sector", "teacher", "medical", "it_engineering", "finance", "office", "sales_service", "driver_courier",
    "factory_construction", "self_employed", "farmer",
)  # fmt: skip
JOB_AFFINITY = np.array(
    [
        [0.2, 0.02, 0.1, 0.02, 0.02, 0.3, 5.0, 4.5, 7.0, 2.5, 2.0],
        [0.8, 0.2, 0.8, 0.6, 0.3, 2.0, 5.0, 3.5, 4.5, 3.0, 0.7],
        [2.0, 1.4, 2.2, 2.4, 1.6, 4.0, 3.0, 0.9, 1.0, 2.0, 0.1],
        [3.0, 2.8, 2.2, 4.5, 2.8, 4.0, 1.2, 0.2, 0.3, 1.3, 0.02],
        [2.5, 3.2, 3.2, 5.0, 3.2, 2.0, 0.2, 0.02, 0.05, 0.7, 0.01],
    ]
)
JOB_GENDER = np.array(
    [
        [1.1, 0.55, 0.6, 1.7, 0.9, 0.65, 0.75, 2.2, 1.6, 1.1, 1.1],
        [0.9, 1.5, 1.5, 0.4, 1.1, 1.4, 1.3, 0.15, 0.5, 0.9, 0.9],
    ]
)
JOB_SETTLEMENT = np.array(
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.01],
        [1.3, 1.3, 1.0, 0.2, 0.4, 0.6, 1.2, 1.1, 1.0, 1.5, 0.3],
        [0.5, 0.8, 0.6, 0.05, 0.1, 0.2, 0.7, 0.8, 1.2, 1.0, 14.0],
    ]
)
# How each job lifts income, in standard deviations.
JOB_INCOME = np.array([0.15, 0.1, 0.2, 0.55, 0.6, 0.1, -0.1, 0.0, -0.1, 0.35, -0.45])

# Where a city dweller of each tag occupation spends weekdays, in percent (columns as ZONES).
ZONE_PERCENT = {
    "student": (0, 100, 0, 0, 0, 0),
    "public_sector": (70, 0, 0, 30, 0, 0),
    "teacher": (0, 95, 0, 5, 0, 0),
    "medical": (55, 5, 0, 40, 0, 0),
    "it_engineering": (72, 3, 25, 0, 0, 0),
    "finance": (95, 0, 0, 5, 0, 0),
    "office": (78, 0, 12, 10, 0, 0),
    "sales_service": (45, 0, 5, 50, 0, 0),
    "driver_courier": (20, 0, 40, 40, 0, 0),
    "factory_construction": (0, 0, 93, 7, 0, 0),
    "self_employed": (30, 0, 10, 60, 0, 0),
    "farmer": (0, 0, 0, 20, 0, 80),
    "homemaker": (0, 0, 0, 100, 0, 0),
    "retired": (0, 0, 0, 100, 0, 0),
}

_TOLERANCE = 0.5  # percentage points that shares may miss 100 by: published tables are rounded
_FAMILY = (
    "childless", "second_child", "third_child", "divorce", "remarriage", "widowed", "stays_home_women",
    "stays_home_men", "three_generations",
)  # fmt: skip
_INDUSTRIES = ("farming", "manufacturing", "trade", "construction")
_INCOME = {
    "income": {"mean": 1, "median": 1, "urban": 1, "rural": 1, "quintiles": 5},
    "income_model": {
        "deviation_below": 1, "deviation_above": 1, "top_frac": 1, "pareto_exponent": 1, "education_step": 1,
        "settlement": 3, "tier_step": 1, "level_cuts": 4,
    },
}  # fmt: skip
_ABOUT = ("source", "year", "modelled")


@dataclasses.dataclass(frozen=True)
class Priors:
    """One market's people. Shares are fractions; S is city, town, village; T city tiers; P provinces; A age bands.

    Attributes:
      locale: name of the market.
      modelled: per table of the file, whether its numbers are ours rather than measured.
      age_from: first year of each age band [A].
      age_share: share of each band [A], 60+ brought up to date.
      men_per_100_women: sex ratio of each band [A].
      sex_ratio: men per 100 women of all ages.
      total_millions: people.
      urban: share in cities and towns.
      province_millions: residents by gazetteer province [P].
      tier_share: measured share of the two upper tiers [2].
      settlement_share: [S].
      tier_settlement: share of each settlement within a tier [T, S].
      village_age_slope: log weight of village life for each ten years past 40.
      education_share: junior or below, senior high, college and up [3], all ages, attained or current.
      cohort: the `education_cohort` table: birth_year [C], mean [C], cuts [4], settlement [3], tertiary_share [3],
        graduation_age [5], and the numbers deviation and tier_step [1].
      never_married: the curve by age: age [K] and share [K].
      never_married_from: first ages of the bands below [B].
      never_married_bands: share by settlement and band of five years [S, B].
      first_marriage: mean age and legal age, men and women [2, 2].
      family: the `family` table: chances as fractions, three_generations [3].
      household_size: share of households of 1..7+ people [7].
      generations: share of households with one, two, three generations [3].
      home_share: of city households: rented, new commodity, second-hand, formerly public, self-built [5].
      rent_share: share of city households that rent, by province [P].
      car_share: share of households with a car.
      pet_share: share of urban households with none, cat, dog, both, other [5].
      income: the `income` and `income_model` tables, numbers [1] or arrays.
      industry: share of the employed in farming, manufacturing, trade, construction [4].
      participation: employed share at 15 and over.
      job_share: share of each of `JOBS` [J].
      migrant_share: residents from another city, by tier [T].
      same_province: share of those from the same province.
      platform_age: weight of a person of each band [A].
      platform_settlement: [S].
      platform_education: by final education [5].
      platform_tier: [T].
      platform_ages: youngest and oldest user in years.
    """

    locale: str
    modelled: dict[str, bool]
    age_from: np.ndarray
    age_share: np.ndarray
    men_per_100_women: np.ndarray
    sex_ratio: float
    total_millions: float
    urban: float
    province_millions: np.ndarray
    tier_share: np.ndarray
    settlement_share: np.ndarray
    tier_settlement: np.ndarray
    village_age_slope: float
    education_share: np.ndarray
    cohort: dict[str, np.ndarray]
    never_married: np.ndarray
    never_married_from: np.ndarray
    never_married_bands: np.ndarray
    first_marriage: np.ndarray
    family: dict[str, np.ndarray]
    household_size: np.ndarray
    generations: np.ndarray
    home_share: np.ndarray
    rent_share: np.ndarray
    car_share: float
    pet_share: np.ndarray
    income: dict[str, np.ndarray]
    industry: np.ndarray
    participation: float
    job_share: np.ndarray
    migrant_share: np.ndarray
    same_province: float
    platform_age: np.ndarray
    platform_settlement: np.ndarray
    platform_education: np.ndarray
    platform_tier: np.ndarray
    platform_ages: tuple[float, float]


@functools.cache
def load(locale: str = locales.DEFAULT) -> Priors:
    """The priors of a locale.

    Raises:
      InputError: no such locale, or a table of its file is missing, incomplete or impossible; one line.
    """
    try:
        tables = tomllib.loads(locales.read_text("priors.toml", locale))
    except (tomllib.TOMLDecodeError, FileNotFoundError) as error:
        raise InputError(f"data/locales/{locale}/priors.toml: {error}") from None
    return parse(tables, locale)


def parse(tables: dict[str, Any], locale: str) -> Priors:
    """The priors in the tables of a `priors.toml`.

    Raises:
      InputError: as in `load`; the line names the table, the key, the value and what was expected.
    """
    read = _Tables(tables, locale)
    provinces, tiers = gazetteer.provinces(locale), gazetteer.CITY_TIERS
    age_from = read.numbers("age", "from")
    n_bands = len(age_from)
    sex_from = read.numbers("sex", "from")
    sex = read.numbers("sex", "ratio", len(sex_from))[np.searchsorted(sex_from, age_from, side="right") - 1]
    rent = read.percent("housing", "rent")
    rents = read.named("housing", "province_rent", provinces, rent * 100) / 100
    kinds = [read.percent("housing", key) for key in ("new_commodity", "second_hand", "ex_public", "self_built")]
    if sum(kinds) + rent > 1 + _TOLERANCE / 100:
        read.fail("housing", f"rent and the kinds of homes sum to {100 * (sum(kinds) + rent):g}, expected at most 100")
    married_at = read.numbers("never_married", "age")
    bands = read.numbers("never_married", "band_from")
    cohort_years = read.numbers("education_cohort", "birth_year")
    priors = Priors(
        locale=locale,
        modelled=read.modelled(),
        age_from=age_from,
        age_share=_updated(read.shares("age", "share", n_bands), age_from, read),
        men_per_100_women=sex,
        sex_ratio=read.number("sex", "overall"),
        total_millions=read.number("population", "total_millions"),
        urban=read.percent("population", "urban"),
        province_millions=read.named("province", "population_millions", provinces),
        tier_share=np.array([read.percent("tier", tier) for tier in tiers[:2]]),
        settlement_share=read.shares("settlement", "share", 3),
        tier_settlement=np.array([read.shares("settlement.by_tier", tier, 3) for tier in tiers]),
        village_age_slope=read.number("settlement", "village_age_slope"),
        education_share=read.shares("education", "share", 3),
        cohort={
            "birth_year": cohort_years,
            "mean": read.numbers("education_cohort", "mean", len(cohort_years), signed=True),
            "deviation": read.numbers("education_cohort", "deviation", 1),
            "cuts": read.numbers("education_cohort", "cuts", 4, signed=True),
            "settlement": read.numbers("education_cohort", "settlement", 3, signed=True),
            "tier_step": read.numbers("education_cohort", "tier_step", 1, signed=True),
            "tertiary_share": read.shares("education_cohort", "tertiary_share", 3),
            "graduation_age": read.numbers("education_cohort", "graduation_age", 5),
        },
        never_married=np.stack([married_at, read.percents("never_married", "percent", len(married_at))]),
        never_married_from=bands,
        never_married_bands=np.array([read.percents("never_married", s, len(bands)) for s in SETTLEMENTS]),
        first_marriage=np.array(
            [
                [read.number("first_marriage", key) for key in keys]
                for keys in (("men", "women"), ("legal_men", "legal_women"))
            ]
        ),
        family={key: read.percents("family", key, 3 if key == "three_generations" else 1) for key in _FAMILY},
        household_size=read.shares("household", "size", 7),
        generations=read.shares("household", "generations", 3),
        home_share=np.array([rent, *kinds]),
        rent_share=rents,
        car_share=read.percent("car", "households"),
        pet_share=_pets(read),
        income={
            key: read.numbers(table, key, size, signed=table == "income_model")
            for table, sizes in _INCOME.items()
            for key, size in sizes.items()
        },
        industry=np.array([read.percent("employment", key) for key in _INDUSTRIES]),
        participation=read.percent("employment", "participation"),
        job_share=read.shares_named("job", "share", JOBS),
        migrant_share=read.named("migration", "share", tiers) / 100,
        same_province=read.percent("migration", "same_province"),
        platform_age=read.numbers("platform", "age", n_bands),
        platform_settlement=read.numbers("platform", "settlement", 3),
        platform_education=read.numbers("platform", "education", len(EDUCATION)),
        platform_tier=read.named("platform", "tier", tiers),
        platform_ages=(read.number("platform", "min_age"), read.number("platform", "max_age")),
    )
    read.finish()
    return priors


def _updated(share: np.ndarray, age_from: np.ndarray, read: "_Tables") -> np.ndarray:
    """The census ages with 60-64 and 65+ scaled to the newer shares of the population."""
    old, very_old = read.percent("population", "aged_60_up"), read.percent("population", "aged_65_up")
    group = np.searchsorted([60, 65], age_from, side="right")
    target = np.array([1 - old, old - very_old, very_old])
    if (target <= 0).any():
        read.fail("population", f"aged_65_up {100 * very_old:g} is not below aged_60_up {100 * old:g}")
    return share * (target / np.bincount(group, share, 3))[group]


def _pets(read: "_Tables") -> np.ndarray:
    """Shares of none, cat, dog, both, other: dogs scale with their number, a sixth of cat homes keep a dog too."""
    cat, other = read.percent("pet", "cat_households"), read.percent("pet", "other_households")
    dog = cat * read.number("pet", "dogs_millions") / read.number("pet", "cats_millions")
    both = cat / 6
    return np.array([1 - cat - dog + both - other, cat - both, dog - both, both, other])


class _Tables:
    """Checked access to the tables of one file; every complaint is one line that names table and key."""

    def __init__(self, tables: dict[str, Any], locale: str) -> None:
        self._tables, self._locale = tables, locale
        self._read: set[tuple[str, str]] = set()

    def fail(self, table: str, message: str) -> None:
        raise InputError(f"data/locales/{self._locale}/priors.toml: table {table}: {message}")

    def modelled(self) -> dict[str, bool]:
        """Which tables are ours; checks that each states source, year and modelled."""
        for name, table in self._tables.items():
            for key, kind in zip(_ABOUT, (str, int, bool), strict=True):
                if not isinstance(table, dict) or not isinstance(table.get(key), kind):
                    self.fail(
                        name, f"{key} is missing or not {kind.__name__}; each table states source, year, modelled"
                    )
        return {name: table["modelled"] for name, table in self._tables.items()}

    def finish(self) -> None:
        """Refuses tables and keys that nothing has read."""
        known = {table.split(".")[0] for table, _ in self._read}
        for name, table in self._tables.items():
            keys = {key for owner, key in self._read if owner == name} | {*_ABOUT}
            keys |= {owner.partition(".")[2] for owner, _ in self._read if owner.startswith(f"{name}.")}
            unknown = sorted(set(table) - keys)
            if name not in known or unknown:
                self.fail(name, f"unknown key {unknown[0] if unknown else name!r}")

    def numbers(self, table: str, key: str, size: int | None = None, signed: bool = False) -> np.ndarray:
        found = self._value(table, key)
        values = found if isinstance(found, list) else [found]
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                self.fail(table, f"{key} holds {value!r}, expected a number")
            if value < 0 and not signed:
                self.fail(table, f"{key} holds the negative number {value!r}")
        if size is not None and len(values) != size:
            self.fail(table, f"{key} has {len(values)} numbers, expected {size}")
        return np.array(values, np.float64)

    def number(self, table: str, key: str, signed: bool = False) -> float:
        return float(self.numbers(table, key, 1, signed)[0])

    def percents(self, table: str, key: str, size: int) -> np.ndarray:
        """Fractions from percentages of 0 to 100 that need no sum."""
        values = self.numbers(table, key, size)
        if (values > 100).any():
            self.fail(table, f"{key} holds {values.max():g}, expected at most 100 percent")
        return values / 100

    def percent(self, table: str, key: str) -> float:
        return float(self.percents(table, key, 1)[0])

    def shares(self, table: str, key: str, size: int) -> np.ndarray:
        """Fractions that sum to 1 from percentages that sum to 100 as published."""
        return self._normalised(table, key, self.numbers(table, key, size))

    def named(self, table: str, key: str, names: tuple[str, ...], default: float | None = None) -> np.ndarray:
        """The numbers of a sub-table in the order of `names`; other names are those of places without a city."""
        found = self._value(table, key)
        if not isinstance(found, dict):
            self.fail(table, f"{key} is no table of names")
        missing = [name for name in names if name not in found]
        if missing and default is None:
            self.fail(table, f"{key} lacks {missing[0]!r}")
        self._read |= {(f"{table}.{key}", name) for name in found}
        return np.array([self.number(f"{table}.{key}", name) if name in found else default for name in names], float)

    def shares_named(self, table: str, key: str, names: tuple[str, ...]) -> np.ndarray:
        return self._normalised(table, key, self.named(table, key, names))

    def _normalised(self, table: str, key: str, values: np.ndarray) -> np.ndarray:
        if abs(values.sum() - 100) > _TOLERANCE:
            self.fail(table, f"{key} sums to {values.sum():g}, expected 100 within {_TOLERANCE}")
        return values / values.sum()

    def _value(self, table: str, key: str) -> Any:
        self._read.add((table, key))
        found: Any = self._tables
        for name in (*table.split("."), key):
            if not isinstance(found, dict) or name not in found:
                self.fail(table, f"{name} is missing")
            found = found[name]
        return found
