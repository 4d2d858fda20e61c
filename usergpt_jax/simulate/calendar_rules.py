"""The rules of a locale's calendar: each row of `calendar.csv` and the days that it holds on."""

import calendar as civil
import dataclasses
import datetime
import functools

import numpy as np

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import SOURCES
from usergpt_jax.tags import HPR18

FEATURES = (
    "major_sale", "mid_sale", "minor_sale", "sale_lead", "sale_after", "main_festival", "festival_lead",
    "festival_after", "holiday_travel", "spring_break", "may_holiday", "dragon_boat", "autumn_festival",
    "autumn_holiday", "back_to_school", "exam_season", "graduation_season", "lovers_day", "childrens_day",
    "parents_day", "weekend", "payday", "spring", "summer", "autumn", "winter",
)  # fmt: skip
PROFILES = ("workday", "day_off", "major_sale")  # which curve of `hours` holds on a day
TRAVEL_PATTERNS = HPR18["travel_pattern"].values
FIRST_YEAR, LAST_YEAR = 2015, 2027  # the years of movable.csv

_KINDS = ("fixed", "movable", "nth_weekday", "monthly", "weekday", "months")
DATED = ("fixed", "movable", "nth_weekday")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
COLUMNS = (
    *("feature", "kind", "anchor", "first", "last", "name", "profile", "discount", "orders", *SOURCES),
    *(f"trip_{pattern}" for pattern in TRAVEL_PATTERNS),
)
_MAX_SPAN_DAYS = 180
_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclasses.dataclass(frozen=True)
class Rule:
    """One row of calendar.csv; `first` and `last` count days (kind months: months) from the anchor, both included."""

    feature: int
    kind: str
    anchor: str
    first: int
    last: int
    name: str
    profile: int
    discount: float
    order: float
    source: np.ndarray  # [5]
    trip: np.ndarray  # [5]


def epoch_day(date: datetime.date) -> int:
    """Days from 1970-01-01."""
    return date.toordinal() - _EPOCH


def date_of(day: int | np.integer) -> datetime.date:
    """The date of an epoch day."""
    return datetime.date.fromordinal(int(day) + _EPOCH)


@functools.cache
def rules(locale: str) -> tuple[Rule, ...]:
    """The rules of a locale, in file order.

    Raises:
      InputError: a row of calendar.csv or movable.csv that cannot be read.
    """
    file = f"calendar.csv of locale {locale!r}"
    rows = locales.read_rows("calendar.csv", locale, COLUMNS)
    return tuple(_rule(row, _movable(locale), f"{file} row {number}") for number, row in enumerate(rows, start=1))


def spans(rule: Rule, locale: str, first_year: int, last_year: int) -> list[tuple[int, int]]:
    """First and last epoch day of each time that the rule holds, for anchors in these years."""
    found = []
    for year in range(first_year, last_year + 1):
        for anchor in _anchors(rule, year, _movable(locale)):
            if rule.kind == "months":
                begin, end = _month_start(anchor, rule.first), _month_start(anchor, rule.last + 1) - 1
            else:
                begin, end = anchor + rule.first, anchor + rule.last
            found.append((begin, end))
    return found


def _rule(row: dict[str, str], movable: dict[str, dict[int, int]], where: str) -> Rule:
    kind = _KINDS[one_of(row, "kind", _KINDS, where)]
    first, last = (whole_number(row[name] or "0", f"{where}: {name}", -400, 400) for name in ("first", "last"))
    if not 0 <= last - first <= _MAX_SPAN_DAYS:
        raise InputError(f"{where}: span {first} to {last}: expected at most {_MAX_SPAN_DAYS} days, first before last")
    rule = Rule(
        feature=one_of(row, "feature", FEATURES, where) if row["feature"] else -1,
        kind=kind,
        anchor=row["anchor"].strip(),
        first=first,
        last=last,
        name=row["name"].strip(),
        profile=whole_number(row["profile"] or "0", f"{where}: profile", 0, len(PROFILES) - 1),
        discount=_factor(row, "discount", where),
        order=_factor(row, "orders", where),
        source=np.array([_factor(row, source, where) for source in SOURCES]),
        trip=np.array([_factor(row, f"trip_{pattern}", where) for pattern in TRAVEL_PATTERNS]),
    )
    _check_anchor(rule, movable, where)
    return rule


def _check_anchor(rule: Rule, movable: dict[str, dict[int, int]], where: str) -> None:
    expected = {
        "movable": f"a column of movable.csv: {', '.join(movable)}",
        "fixed": "a month and day like 11-11",
        "nth_weekday": "month, weekday and number like 11 thu 4, or -1 for the last",
        "monthly": "a day of the month, 1 to 28",
        "weekday": "a weekday, mon to sun",
        "months": "a month, 1 to 12",
    }[rule.kind]
    try:
        for year in range(FIRST_YEAR, LAST_YEAR + 1):
            _anchors(rule, year, movable)
    except (ValueError, IndexError, KeyError):
        raise InputError(f"{where}: anchor {rule.anchor!r} of kind {rule.kind}: expected {expected}") from None


def _anchors(rule: Rule, year: int, movable: dict[str, dict[int, int]]) -> list[int]:
    """Epoch days that the rule counts from in a year; a movable festival has none in a year without its date."""
    if rule.kind == "movable":
        dates = movable[rule.anchor]
        return [dates[year]] if year in dates else []
    if rule.kind == "fixed":
        month, day = map(int, rule.anchor.split("-"))
        return [epoch_day(datetime.date(year, month, day))]
    if rule.kind == "months":
        return [epoch_day(datetime.date(year, int(rule.anchor), 1))]
    if rule.kind == "monthly":
        if int(rule.anchor) > 28:
            raise ValueError(rule.anchor)
        return [epoch_day(datetime.date(year, month, int(rule.anchor))) for month in range(1, 13)]
    if rule.kind == "weekday":
        monday = epoch_day(datetime.date(year, 1, 1)) - datetime.date(year, 1, 1).weekday()
        return [monday + _WEEKDAYS.index(rule.anchor) + 7 * week for week in range(53)]
    month, weekday, nth = rule.anchor.split()
    weeks = civil.monthcalendar(year, int(month))
    days = [week[_WEEKDAYS.index(weekday)] for week in weeks if week[_WEEKDAYS.index(weekday)]]
    if int(nth) == 0:
        raise ValueError(nth)
    return [epoch_day(datetime.date(year, int(month), days[int(nth) - (int(nth) > 0)]))]


def _month_start(anchor: int, months: int) -> int:
    date = date_of(anchor)
    count = date.year * 12 + date.month - 1 + months
    return epoch_day(datetime.date(count // 12, count % 12 + 1, 1))


@functools.cache
def _movable(locale: str) -> dict[str, dict[int, int]]:
    """Epoch day of each movable festival by name and year."""
    file = f"movable.csv of locale {locale!r}"
    found: dict[str, dict[int, int]] = {}
    for number, row in enumerate(locales.read_rows("movable.csv", locale, ("year",)), start=1):
        year = whole_number(row.pop("year"), f"{file} row {number}: year", 1900, 2200)
        for name, text in row.items():
            try:
                found.setdefault(name, {})[year] = epoch_day(datetime.date.fromisoformat(f"{year}-{text}"))
            except ValueError:
                raise InputError(f"{file} row {number}: {name} {text!r}: expected a month and day like 01-29") from None
    for name, years in found.items():
        if missing := [year for year in range(FIRST_YEAR, LAST_YEAR + 1) if year not in years]:
            raise InputError(f"{file}: {name} has no date in {missing[0]}; expected {FIRST_YEAR} to {LAST_YEAR}")
    return found


def one_of(row: dict[str, str], column: str, allowed: tuple[str, ...], where: str) -> int:
    """The number in `allowed` of what a row holds in a column; `InputError` if it is none of them."""
    value = (row.get(column) or "").strip()
    if value not in allowed:
        raise InputError(f"{where}: {column} {value!r} is not one of {', '.join(allowed)}")
    return allowed.index(value)


def whole_number(text: str, where: str, low: int, high: int) -> int:
    """The whole number that a text says; `InputError` unless it lies in `low` to `high`."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise InputError(f"{where} {text!r}: expected a whole number from {low} to {high}")
    return value


def _factor(row: dict[str, str], column: str, where: str) -> float:
    text = row[column]
    try:
        value = float(text or 1.0)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 100:
        raise InputError(f"{where}: {column} {text!r}: expected a factor above 0 and at most 100")
    return value
