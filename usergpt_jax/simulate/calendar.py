"""The calendar of a locale: which marked day each day is, and what that does to demand, trips, prices and hours.

Every rule is a row of `calendar.csv`: when it holds (a span of days about an anchor) and its factors. Dates that no
rule of the civil calendar gives (lunar festivals, Easter) stand in `movable.csv`, one row a year. Working weekends that
make up for long holidays are left out: every Saturday and Sunday is a day off.
"""

import dataclasses
import datetime
import functools

import numpy as np

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import SOURCES
from usergpt_jax.simulate.calendar_rules import (
    DATED,
    FEATURES,
    FIRST_YEAR,
    LAST_YEAR,
    PROFILES,
    TRAVEL_PATTERNS,
    Rule,
    one_of,
    rules,
    spans,
    whole_number,
)
from usergpt_jax.simulate.calendar_rules import (
    date_of as date_of,
)
from usergpt_jax.simulate.calendar_rules import (
    epoch_day as epoch_day,
)
from usergpt_jax.simulate.topics import Topics as Topics
from usergpt_jax.simulate.topics import topic_features as topic_features
from usergpt_jax.simulate.topics import topics as topics

HALF_HOURS = 48


@dataclasses.dataclass(frozen=True)
class Calendar:
    """What each of D days from `start_day` (epoch days) is; source, order and price factors are 1 on an ordinary day.

    Attributes:
      start_day: epoch day of row 0.
      features: which of `FEATURES` each day is, bool [D, C].
      source_factor: on the rate of all desires of a source, float64 [D, 5], columns as `schema.SOURCES`.
      trip_factor: on the chance that a trip starts, float64 [D, 5], columns as `TRAVEL_PATTERNS`; its mean over the
        years is 1, so that a yearly number of trips stays what it is.
      order_factor: on the chance that a session ends in an order, float64 [D]: people wait before a sale.
      discount: on prices, float64 [D].
      profile: number in `PROFILES`, int32 [D].
      festival_name: name of the day, mostly "" [D].
    """

    start_day: int
    features: np.ndarray
    source_factor: np.ndarray
    trip_factor: np.ndarray
    order_factor: np.ndarray
    discount: np.ndarray
    profile: np.ndarray
    festival_name: list[str]


def load(locale: str, start_day: int, n_days: int) -> Calendar:
    """The calendar of `n_days` days from `start_day` (epoch days).

    Of dated rules (fixed, movable, nth_weekday) that meet on a day the factor farthest from 1 holds; those of months
    and days of the month multiply, and so does the rhythm of the week except where a dated rule makes the day free, a
    sale or a travel day. Of discounts the deepest holds, of profiles the highest, of names the first.

    Raises:
      InputError: a day outside the years of movable.csv, or a row of the locale's files that cannot be read.
    """
    for day in (date_of(start_day), date_of(start_day + n_days - 1)):
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise InputError(f"calendar of locale {locale!r}: expected days in {FIRST_YEAR}-{LAST_YEAR}, got {day}")
    table = _unscaled(locale, start_day, n_days)
    table.trip_factor[:] /= _mean_trip_factor(locale)
    return table


@functools.cache
def _mean_trip_factor(locale: str) -> np.ndarray:
    """Mean over all years [5]."""
    first = epoch_day(datetime.date(FIRST_YEAR, 1, 1))
    end = epoch_day(datetime.date(LAST_YEAR + 1, 1, 1))
    return _unscaled(locale, first, end - first).trip_factor.mean(axis=0)


def _unscaled(locale: str, start_day: int, n_days: int) -> Calendar:
    table = Calendar(
        start_day=start_day,
        features=np.zeros((n_days, len(FEATURES)), bool),
        source_factor=np.ones((n_days, len(SOURCES))),
        trip_factor=np.ones((n_days, len(TRAVEL_PATTERNS))),
        order_factor=np.ones(n_days),
        discount=np.ones(n_days),
        profile=np.zeros(n_days, np.int32),
        festival_name=[""] * n_days,
    )
    special = np.zeros(n_days, bool)
    # Dated rules first: the others multiply what they leave.
    for rule in sorted(rules(locale), key=lambda rule: rule.kind not in DATED):
        held = _held(rule, locale, start_day, n_days)
        _mark(table, rule, held)
        if rule.kind in DATED:
            special |= held & (rule.profile > 0 or bool((rule.trip != 1).any()))
        _apply(table, rule, held & ~special if rule.kind == "weekday" else held)
    return table


def _held(rule: Rule, locale: str, start_day: int, n_days: int) -> np.ndarray:
    held = np.zeros(n_days, bool)
    first, last = date_of(start_day).year, date_of(start_day + n_days - 1).year
    for begin, end in spans(rule, locale, first - 1, last + 1):
        held[max(begin - start_day, 0) : max(end + 1 - start_day, 0)] = True
    return held


def _mark(table: Calendar, rule: Rule, held: np.ndarray) -> None:
    if rule.feature >= 0:
        table.features[held, rule.feature] = True
    table.profile[held] = np.maximum(table.profile[held], rule.profile)
    table.discount[held] = np.minimum(table.discount[held], rule.discount)
    for row in np.flatnonzero(held) if rule.name else ():
        table.festival_name[row] = table.festival_name[row] or rule.name


def _apply(table: Calendar, rule: Rule, held: np.ndarray) -> None:
    own = ((table.source_factor, rule.source), (table.trip_factor, rule.trip), (table.order_factor, rule.order))
    for column, factor in own:
        before = column[held]
        if rule.kind in DATED:
            column[held] = np.where(np.abs(np.log(factor)) > np.abs(np.log(before)), factor, before)
        else:
            column[held] = before * factor


def trip_uplift(table: Calendar, pattern: str) -> np.ndarray:
    """How many times the mean of its half year the trip starts of each day come to: float64 [D].

    Half years run from January and July; of one that the calendar holds in part only that part counts.
    """
    factor = table.trip_factor[:, TRAVEL_PATTERNS.index(pattern)]
    dates = [date_of(table.start_day + row) for row in range(len(factor))]
    half = np.array([date.year * 2 + (date.month > 6) for date in dates])
    _, group = np.unique(half, return_inverse=True)
    mean = np.bincount(group, factor) / np.bincount(group)
    return factor / mean[group]


@functools.cache
def hours(locale: str) -> np.ndarray:
    """Relative weight of each half hour of the day, int32 [3 profiles, 5 sources, 48].

    Raises:
      InputError: a row of hours.csv is missing, stands twice or holds something else than whole numbers >= 0.
    """
    file = f"hours.csv of locale {locale!r}"
    table = np.full((len(PROFILES), len(SOURCES), HALF_HOURS), -1, np.int32)
    columns = tuple(f"{half // 2:02}{half % 2 * 30:02}" for half in range(HALF_HOURS))
    rows = locales.read_rows("hours.csv", locale, ("profile", "source", *columns))
    for number, row in enumerate(rows, start=1):
        where = f"{file} row {number}"
        at = one_of(row, "profile", PROFILES, where), one_of(row, "source", SOURCES, where)
        if table[at].min() >= 0:
            raise InputError(f"{where}: {row['profile']} {row['source']} stands twice; expected one row each")
        table[at] = [whole_number(row[column], f"{where}: {column}", 0, 100_000) for column in columns]
        if table[at].sum() == 0:
            raise InputError(f"{where}: all half hours are 0; expected a weight above 0")
    for profile, source in np.argwhere(table.min(axis=2) < 0):
        raise InputError(f"{file}: expected a row {PROFILES[profile]},{SOURCES[source]}, found none")
    return table
