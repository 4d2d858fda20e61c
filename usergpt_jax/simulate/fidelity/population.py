"""Statistics of the simulated people, read from the hidden personas of `users.parquet`.

Platform users are not the population: people of some ages and places are simulated more often, by the weights that
`priors.toml` publishes under [platform]. Each person therefore counts with the inverse of their weight, which brings
the census back, and is compared with the census; what the log's own people are like without it stands beside it.
"""

import datetime
import pathlib
import re
import tomllib
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate.fidelity import statistics
from usergpt_jax.simulate.fidelity.targets import Measure
from usergpt_jax.tags import HPR18

DAYS_A_YEAR = 365.2425
SETTLEMENTS = ("city", "town", "village")
AGE_BANDS = tuple((low, low + 5) for low in range(15, 80, 5))
_STUDIES_UNTIL = 23  # years
_SINGLE_AGES = (*range(25, 37), 40)
_MARRIAGE_BANDS = ((25, 30), (30, 35), (35, 40), (40, 45), (45, 50))
_TEXT = (
    "gender", "marital_status", "education", "occupation", "resident_city", "resident_province", "housing_tenure",
    "pet", "settlement",
)  # fmt: skip
_NUMBERS = ("age_days", "income_cny", "household_size")


class People(NamedTuple):
    """Users with their hidden personas.

    Attributes:
      table: one row a user: the text and number keys of the persona, has_car, years (age), tier; null where absent.
      weight: inverse of the platform weight, mean 1 [U].
      life_events: one row an event: user (row number), date, event.
      as_of: the day that personas speak of.
    """

    table: pl.DataFrame
    weight: Float[np.ndarray, " U"]
    life_events: pl.DataFrame
    as_of: datetime.date


def read(path: pathlib.Path, locale: str) -> People:
    """The people of a `users.parquet`.

    Raises:
      InputError: the file is missing, empty or lacks a column, or a persona is not a JSON object.
    """
    try:
        users = pl.read_parquet(path, columns=["as_of", "persona", "life_events"])
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the statistics of people need a simulated run") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{path}: expected columns as_of, persona, life_events: {str(error).splitlines()[0]}"
        ) from None
    if not len(users):
        raise InputError(f"{path}: no users at all")
    fields = dict.fromkeys(_TEXT, pl.String) | dict.fromkeys(_NUMBERS, pl.Float64) | {"has_car": pl.Boolean}
    events = pl.List(pl.Struct({"date": pl.String, "event": pl.String}))
    try:
        personas = users["persona"].str.json_decode(pl.Struct(fields)).struct.unnest()
        lists = users["life_events"].str.json_decode(events)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: a persona or life_events is not JSON: {str(error).splitlines()[0]}") from None
    tier_of = {city.name: city.tier for city in gazetteer.cities(locale)}
    table = personas.with_columns(
        years=pl.col("age_days") / DAYS_A_YEAR,
        tier=pl.col("resident_city").replace_strict(tier_of, default=None, return_dtype=pl.String),
    )
    told = pl.DataFrame({"user": np.arange(len(users)), "told": lists}).explode("told").drop_nulls().unnest("told")
    dated = told.with_columns(pl.col("date").str.to_date(strict=False))
    return People(table, inverse_platform_weight(table, locale), dated, users["as_of"][0].date())


def inverse_platform_weight(table: pl.DataFrame, locale: str) -> np.ndarray:
    """How many people of the population each user stands for, mean 1 [U]."""
    try:
        priors: dict[str, Any] = tomllib.loads(locales.read_text("priors.toml", locale))
    except FileNotFoundError:
        return np.ones(len(table))
    platform = priors.get("platform", {})
    weight = np.ones(len(table))
    if "age" in platform:
        band = np.searchsorted(priors["age"]["from"], _floats(table, "years"), side="right") - 1
        weight *= np.array(platform["age"], np.float64)[np.maximum(band, 0)]
    if "settlement" in platform:
        shares = dict(zip(SETTLEMENTS, platform["settlement"], strict=True))
        weight *= np.array([shares.get(name, 1.0) for name in table["settlement"]])
    if "tier" in platform:
        weight *= np.array([platform["tier"].get(name, 1.0) for name in table["tier"]])
    if "education" in platform:
        # The weight is of the final level; whoever may still study counts with the middle one.
        level = dict(zip(HPR18["education"].values, platform["education"], strict=True))
        own = np.array([level.get(name, 1.0) for name in table["education"]])
        weight *= np.where(_floats(table, "years") < _STUDIES_UNTIL, np.median(platform["education"]), own)
    # An age whose weight is 0 should not occur; where it does, it counts as if it were at the smallest weight.
    inverse = 1 / np.maximum(weight, 0.05)
    return inverse / inverse.mean()


def measures(people: People) -> dict[str, Measure]:
    """Every statistic of people, by name."""
    return {
        **_ages(people),
        **_marriage(people),
        **_schooling_and_work(people),
        **_households(people),
        **_income(people),
        **_places(people),
    }


def names() -> tuple[str, ...]:
    """Every name that `measures` gives: those of a population of nobody."""
    columns = dict.fromkeys((*_TEXT, "tier"), pl.String) | dict.fromkeys((*_NUMBERS, "years"), pl.Float64)
    table = pl.DataFrame(schema=columns | {"has_car": pl.Boolean})
    told = pl.DataFrame(schema={"user": pl.Int64, "date": pl.Date, "event": pl.String})
    return tuple(measures(People(table, np.ones(0), told, datetime.date(1970, 1, 1))))


def _ages(people: People) -> dict[str, Measure]:
    years = _floats(people.table, "years")
    counted = (years >= 15) & (years < 80)
    shares = {
        f"age {low}-{high - 1}": _share(people, (years >= low) & (years < high), counted) for low, high in AGE_BANDS
    }
    return shares | {"men": _share(people, _is(people, "gender", "male"), counted)}


def _marriage(people: People) -> dict[str, Measure]:
    years = _floats(people.table, "years")
    never = _is(people, "marital_status", "single", "partnered")
    found = {f"never married at {age}": _share(people, never, np.floor(years) == age) for age in _SINGLE_AGES}
    found["never married at 50+"] = _share(people, never, years >= 50)
    for settlement in SETTLEMENTS:
        lives = _is(people, "settlement", settlement)
        for low, high in _MARRIAGE_BANDS:
            band = lives & (years >= low) & (years < high)
            found[f"never married at {low}-{high - 1}, {settlement}"] = _share(people, never, band)
    return found | _marriage_ages(people)


def _marriage_ages(people: People) -> dict[str, Measure]:
    """Mean age at weddings that fall into the log; a second wedding is worded otherwise or not told."""
    weddings = people.life_events.filter(pl.col("event") == "married").unique("user", keep="first", maintain_order=True)
    user = weddings["user"].to_numpy()
    ago = (pl.Series([people.as_of]) - weddings["date"]).dt.total_days().to_numpy() if len(user) else np.zeros(0)
    age = (_floats(people.table, "age_days")[user] - ago) / DAYS_A_YEAR
    return {
        f"mean age at marriage, {word}": Measure(*statistics.mean_with_error(age[chosen], people.weight[user][chosen]))
        for word, gender in (("men", "male"), ("women", "female"))
        for chosen in [_is(people, "gender", gender)[user]]
    }


def _schooling_and_work(people: People) -> dict[str, Measure]:
    years = _floats(people.table, "years")
    adult = (years >= 15) & (years < 80)
    idle = _is(people, "occupation", "student", "retired", "homemaker")
    employed = adult & ~idle
    return {
        "college and up": _share(people, _is(people, "education", "college", "bachelor", "postgraduate"), adult),
        "senior high": _share(people, _is(people, "education", "senior_vocational"), adult),
        "junior high or below": _share(people, _is(people, "education", "junior_or_below"), adult),
        "at work": _share(people, ~idle, adult),
        "farming": _share(people, _is(people, "occupation", "farmer"), employed),
        "factory and construction": _share(people, _is(people, "occupation", "factory_construction"), employed),
    }


def _households(people: People) -> dict[str, Measure]:
    """Shares of households: a person of a household of k counts 1 / k, as a census of households would."""
    size = _floats(people.table, "household_size")
    per_household = np.where(size >= 1, 1 / np.maximum(size, 1), np.nan)
    known = np.isfinite(per_household)
    weight = people.weight * np.where(known, per_household, 1.0)
    # Without household sizes, as in the personas of older logs, people stand for households.
    city, urban = _is(people, "settlement", "city"), ~_is(people, "settlement", "village")
    housed = city & ~_is(people, "housing_tenure", "dormitory")
    car = people.table["has_car"].fill_null(False).to_numpy()
    sizes = {
        f"household of {k}{'+' if k == 7 else ''}": _weighted((size >= 7) if k == 7 else (size == k), weight, known)
        for k in range(1, 8)
    }
    return sizes | {
        "rented, city": _weighted(_is(people, "housing_tenure", "rent"), weight, housed),
        "with a car": _weighted(car, weight, np.ones(len(car), bool)),
        "with a cat, urban": _weighted(_is(people, "pet", "cat", "both"), weight, urban),
        "with a dog, urban": _weighted(_is(people, "pet", "dog", "both"), weight, urban),
    }


def _income(people: People) -> dict[str, Measure]:
    income = _floats(people.table, "income_cny")
    known = np.isfinite(income)
    income, weight = income[known], people.weight[known]
    names = ("lowest", "second", "third", "fourth", "highest")
    fifths = statistics.fifth_means(income, weight) if known.any() else np.full(5, np.nan)
    of = {place: np.asarray(_is(people, "settlement", *where))[known] for place, where in
          (("urban", SETTLEMENTS[:2]), ("rural", SETTLEMENTS[2:]))}  # fmt: skip
    return {
        "mean income": Measure(*statistics.mean_with_error(income, weight)),
        "median income": Measure(statistics.weighted_quantile(income, weight, 0.5)),
        **{f"mean income, {name}": Measure(*statistics.mean_with_error(income[in_], weight[in_]))
           for name, in_ in of.items()},
        **{f"mean income, {name} fifth": Measure(float(fifths[i])) for i, name in enumerate(names)},
    }  # fmt: skip


def _places(people: People) -> dict[str, Measure]:
    tier = people.table["tier"].to_numpy()
    everyone = np.ones(len(tier), bool)
    known = people.table["settlement"].is_not_null().to_numpy()
    return {
        "urban": _share(people, ~_is(people, "settlement", "village"), known),
        "T1 cities": _share(people, tier == "T1", everyone),
        "new T1 cities": _share(people, tier == "new_T1", everyone),
        **{f"living in {name}": _share(people, _is(people, "resident_province", name), everyone)
           for name in ("Guangdong", "Shandong", "Henan", "Jiangsu", "Sichuan")},
    }  # fmt: skip


def trips(people: People) -> tuple[np.ndarray, tuple[str, ...]]:
    """Epoch day on which each trip starts [T], and its kind as the life event words it."""
    pattern = re.compile(r"^trip to .* \((.*)\), \d+ days?$")
    table = people.life_events.filter(pl.col("event").str.contains(pattern.pattern))
    days = table["date"].cast(pl.Int32).to_numpy() if len(table) else np.zeros(0, np.int32)
    return days, tuple(table["event"].str.extract(pattern.pattern, 1))


def _floats(table: pl.DataFrame, name: str) -> np.ndarray:
    return table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _is(people: People, column: str, *values: str) -> np.ndarray:
    return people.table[column].is_in(list(values)).fill_null(False).to_numpy()


def _share(people: People, holds: np.ndarray, among: np.ndarray) -> Measure:
    return _weighted(holds, people.weight, among)


def _weighted(holds: np.ndarray, weight: np.ndarray, among: np.ndarray) -> Measure:
    return Measure(*statistics.share(holds[among], weight[among]))
