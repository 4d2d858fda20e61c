"""What the day and the hour do: traffic by hour, meal times, the major sale, trips at festivals."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from usergpt_jax import schema
from usergpt_jax.simulate import calendar
from usergpt_jax.simulate.fidelity.log import SECONDS_A_DAY, Log
from usergpt_jax.simulate.fidelity.targets import Measure

HALF_HOURS = 48

# Site traffic of a day as the sources describe it, through (hour, relative traffic): minimum at 4 to 5, fast rise after
# 7, plateau from 9, bump at 12 to 13, trough at 14 to 16, maximum at 20 to 21.
TRAFFIC_HOURS = (0.5, 2.5, 4.5, 7.0, 9.5, 11.5, 13.0, 15.0, 17.5, 20.9, 22.5, 24.5)
TRAFFIC = (0.55, 0.2, 0.1, 0.28, 0.78, 0.82, 0.92, 0.78, 0.78, 1.2, 1.05, 0.55)

# Festivals that people travel at, by the locale-neutral name of the calendar.
TRIP_FESTIVALS = {
    "main_festival": "main festival",
    "spring_break": "spring break",
    "may_holiday": "May holiday",
    "autumn_holiday": "autumn holiday",
}
# Every name that `measures` and `trip_uplift` can give; a log that lacks something gives fewer.
NAMES = (
    "hour of least traffic",
    "hour of most traffic",
    "hour of least traffic in the afternoon",
    "noon to the hour before",
    "afternoon to noon",
    "correlation with the traffic curve",
    "lunch peak of delivery",
    "dinner peak of delivery",
    "supper of delivery",
    "orders on the major sale",
    "0-3 h on the major sale",
    "evening peak of the major sale",
    *(f"trips at the {word}" for word in TRIP_FESTIVALS.values()),
)
_SPECIAL = ("major_sale", "mid_sale", "minor_sale", "sale_lead", "sale_after", "main_festival")


class Days(NamedTuple):
    """The D days of a log, with what its locale's calendar says of them.

    Attributes:
      first: epoch day of row 0.
      features: which of `calendar.FEATURES` each day is, bool [D, C].
      sale_hours: days whose hours are those of the major sale, bool [D].
    """

    first: int
    features: Bool[np.ndarray, "D C"]
    sale_hours: Bool[np.ndarray, " D"]

    def are(self, name: str) -> np.ndarray:
        """Which days have a feature: bool [D]."""
        return self.features[:, calendar.FEATURES.index(name)]


def days_of(log: Log, locale: str) -> Days:
    """The calendar over all days from the log's first event to its last."""
    first, last = int(log.day.min()), int(log.day.max())
    table = calendar.load(locale, first, last - first + 1)
    return Days(first, table.features, table.profile == calendar.PROFILES.index("major_sale"))


def measures(log: Log, days: Days) -> dict[str, Measure]:
    """Every statistic of hours and sales, by name."""
    return {**hours_of_day(log), **delivery_hours(log), **sale_days(log, days)}


def half_hours(log: Log, chosen: Bool[np.ndarray, " E"]) -> Float[np.ndarray, " 48"]:
    """Share of the chosen events in each half hour of the day; zeros where there are none."""
    counts = np.bincount((log.second[chosen] % SECONDS_A_DAY) // 1800, minlength=HALF_HOURS).astype(np.float64)
    return counts / max(counts.sum(), 1)


def traffic_curve() -> Float[np.ndarray, " 24"]:
    """The described traffic of each hour, as shares of the day."""
    hours = np.arange(24) + 0.5
    curve = np.interp(np.where(hours < TRAFFIC_HOURS[0], hours + 24, hours), TRAFFIC_HOURS, TRAFFIC)
    return curve / curve.sum()


def hours_of_day(log: Log) -> dict[str, Measure]:
    """Where the e-commerce traffic of a day is lowest and highest, and how its noon and afternoon compare."""
    chosen = log.source == schema.SOURCES.index("ecommerce")
    if not chosen.any():
        return {}
    by_hour = half_hours(log, chosen).reshape(24, 2).sum(axis=1)
    noon, afternoon = by_hour[12], by_hour[14:17].mean()
    return {
        "hour of least traffic": Measure(float(by_hour.argmin())),
        "hour of most traffic": Measure(float(by_hour.argmax())),
        "hour of least traffic in the afternoon": Measure(float(by_hour[12:20].argmin() + 12)),
        "noon to the hour before": Measure(float(noon / max(by_hour[11], 1e-9))),
        "afternoon to noon": Measure(float(afternoon / max(noon, 1e-9))),
        "correlation with the traffic curve": Measure(float(np.corrcoef(by_hour, traffic_curve())[0, 1])),
    }


def delivery_hours(log: Log) -> dict[str, Measure]:
    """Half hours of the lunch and dinner peaks of delivery orders, and the supper of 21 to 22 h against 20 h."""
    curve = half_hours(log, log.where("delivery", "purchase"))
    if not curve.any():
        return {}
    return {
        "lunch peak of delivery": Measure(float(np.argmax(curve[18:30]) + 18) / 2),
        "dinner peak of delivery": Measure(float(np.argmax(curve[31:41]) + 31) / 2),
        "supper of delivery": Measure(float(curve[42:44].mean() / max(curve[39:41].mean(), 1e-9))),
    }


def sale_days(log: Log, days: Days) -> dict[str, Measure]:
    """Orders of the major sale's days against normal days, and their hours."""
    if not days.sale_hours.any():
        return {}
    row = log.day - days.first
    normal = ~np.logical_or.reduce([days.are(name) for name in _SPECIAL]) & ~days.sale_hours
    bought, shops = log.where("ecommerce", "purchase"), log.source == schema.SOURCES.index("ecommerce")
    per_day = np.bincount(row[bought], minlength=len(normal))
    on_sale, off_sale = half_hours(log, shops & days.sale_hours[row]), half_hours(log, shops & normal[row])
    if not normal.any() or not per_day[normal].any() or not on_sale.any():
        return {}
    by_hour = on_sale.reshape(24, 2).sum(axis=1)
    return {
        "orders on the major sale": Measure(float(per_day[days.sale_hours].mean() / per_day[normal].mean())),
        "0-3 h on the major sale": Measure(float(on_sale[:6].sum() / max(off_sale[:6].sum(), 1e-9))),
        "evening peak of the major sale": Measure(float(by_hour[9:].argmax() + 9)),
    }


def trip_uplift(start_day: Int[np.ndarray, " T"], days: Days) -> dict[str, Measure]:
    """Trips that start on the days of each festival, a day, against the mean day of the calendar half year.

    Args:
      start_day: epoch day that each trip starts on; those outside the log's days are left out.
      days: the log's days.
    """
    row = start_day - days.first
    per_day = np.bincount(row[(row >= 0) & (row < len(days.features))], minlength=len(days.features))
    half = half_year(days)
    mean = (np.bincount(half, per_day) / np.bincount(half))[half]
    found = {}
    for feature, word in TRIP_FESTIVALS.items():
        held = days.are(feature) & (mean > 0)
        if held.any():
            trips = per_day[held].sum()
            expected = mean[held].sum()
            found[f"trips at the {word}"] = Measure(float(trips / expected), float(np.sqrt(trips) / expected))
    return found


def half_year(days: Days) -> np.ndarray:
    """Which half year each day is in, numbered from 0 [D]."""
    dates = np.datetime64(0, "D") + np.arange(days.first, days.first + len(days.features))
    months = dates.astype("datetime64[M]").astype(int)
    return months // 6 - months[0] // 6
