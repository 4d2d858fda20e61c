"""Hot topics: what everybody talks about for some days, drawn at random from a locale's templates."""

import datetime
import functools
from typing import NamedTuple

import numpy as np

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate.calendar_rules import date_of, epoch_day, whole_number

TOPIC_THEMES = (
    "sports_event", "film", "celebrity", "health_scare", "heat_wave", "cold_wave", "new_phone", "food_craze",
    "travel_craze", "stock_market", "game_release", "exam_news",
)  # fmt: skip
_MAX_LENGTH_DAYS = 60
_COLUMNS = ("theme", "title", "fills", "per_year", "months", "min_days", "max_days")
_DRAWS = 5  # per topic: whether, month, day, length, title


class Topics(NamedTuple):
    """T topics, by first day.

    Attributes:
      names: titles.
      days: first and last epoch day, int32 [T, 2].
      theme: number in `TOPIC_THEMES`, int32 [T].
    """

    names: tuple[str, ...]
    days: np.ndarray
    theme: np.ndarray


class _Template(NamedTuple):
    theme: int
    titles: tuple[str, ...]
    per_year_permille: int
    months: tuple[int, ...]
    min_days: int
    max_days: int


def topics(locale: str, seed: int, start_day: int, n_days: int) -> Topics:
    """The topics that touch any of `n_days` days from `start_day` (epoch days).

    A year's topics follow from seed and year alone, so that a longer log keeps those of a shorter one.

    Raises:
      InputError: a row of topics.csv that cannot be read.
    """
    first, last = date_of(start_day), date_of(start_day + n_days - 1)
    found = [topic for year in range(first.year - 1, last.year + 1) for topic in _of_year(locale, seed, year)]
    found = sorted(topic for topic in found if topic[1] >= start_day and topic[0] < start_day + n_days)
    return Topics(
        names=tuple(topic[3] for topic in found),
        days=np.array([topic[:2] for topic in found], np.int32).reshape(-1, 2),
        theme=np.array([topic[2] for topic in found], np.int32),
    )


def topic_features(topics: Topics, start_day: int, n_days: int) -> np.ndarray:
    """Which themes are hot on each of `n_days` days from `start_day`: bool [D, 12], columns as `TOPIC_THEMES`."""
    table = np.zeros((n_days, len(TOPIC_THEMES)), bool)
    for (first, last), theme in zip(topics.days - start_day, topics.theme, strict=True):
        table[max(first, 0) : max(last + 1, 0), theme] = True
    return table


@functools.lru_cache(maxsize=64)
def _of_year(locale: str, seed: int, year: int) -> tuple[tuple[int, int, int, str], ...]:
    """First day, last day, theme and title of the topics that start in a year."""
    found = []
    for number, template in enumerate(_templates(locale)):
        # Raw words and whole-number arithmetic: numpy fixes these streams for good, its distributions it does not.
        stream = np.random.PCG64(np.random.SeedSequence((seed, year, number)))
        whole, part = divmod(template.per_year_permille, 1000)
        draws = (stream.random_raw((whole + 1) * _DRAWS) >> np.uint64(32)).astype(np.int64).reshape(-1, _DRAWS)
        for order, (chance, month, day, length, title) in enumerate(draws.tolist()):
            if order == whole and chance % 1000 >= part:
                continue
            begin = epoch_day(datetime.date(year, template.months[month % len(template.months)], 1)) + day % 28
            end = begin + template.min_days + length % (template.max_days - template.min_days + 1) - 1
            found.append((begin, end, template.theme, template.titles[(title + order) % len(template.titles)]))
    return tuple(found)


@functools.cache
def _templates(locale: str) -> tuple[_Template, ...]:
    file = f"topics.csv of locale {locale!r}"
    rows = locales.read_rows("topics.csv", locale, _COLUMNS)
    return tuple(_template(row, f"{file} row {number}") for number, row in enumerate(rows, start=1))


def _template(row: dict[str, str], where: str) -> _Template:
    if row["theme"] not in TOPIC_THEMES:
        raise InputError(f"{where}: theme {row['theme']!r} is not one of {', '.join(TOPIC_THEMES)}")
    title, fills = row["title"].strip(), [fill for fill in row["fills"].split("|") if fill]
    if not title or ("{}" in title) != bool(fills):
        raise InputError(f"{where}: title {title!r}, fills {row['fills']!r}: expected fills exactly where it has {{}}")
    per_year = _per_year(row["per_year"], where)
    months = tuple(_month(text, where) for text in row["months"].split("|")) if row["months"] else tuple(range(1, 13))
    low, high = (whole_number(row[name], f"{where}: {name}", 1, _MAX_LENGTH_DAYS) for name in ("min_days", "max_days"))
    if low > high:
        raise InputError(f"{where}: {low} to {high} days: expected min_days at most max_days")
    titles = tuple(title.replace("{}", fill) for fill in fills) or (title,)
    return _Template(TOPIC_THEMES.index(row["theme"]), titles, round(per_year * 1000), months, low, high)


def _month(text: str, where: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 12:
        raise InputError(f"{where}: month {text!r}: expected numbers 1 to 12 joined by |")
    return int(text)


def _per_year(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 20:
        raise InputError(f"{where}: per_year {text!r}: expected a number from 0 to 20")
    return value
