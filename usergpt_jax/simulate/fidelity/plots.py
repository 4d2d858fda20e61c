"""Which plots the page shows, and from what they are drawn."""

import numpy as np

from usergpt_jax.simulate.fidelity import behaviour, compare, population, statistics
from usergpt_jax.simulate.fidelity import days as days_lib
from usergpt_jax.simulate.fidelity.compare import Sample
from usergpt_jax.simulate.fidelity.figures import Series, dots, plot, survival
from usergpt_jax.simulate.fidelity.log import Log
from usergpt_jax.simulate.fidelity.population import People
from usergpt_jax.simulate.fidelity.probe import Probe
from usergpt_jax.simulate.fidelity.targets import Finding

Plots = list[tuple[str, str]]
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def people(findings: list[Finding]) -> Plots:
    """Ages, shares never married, household sizes and incomes beside their targets."""
    by_name = {finding.target.name: finding for finding in findings}
    families = {
        "Ages": ("age ", [f"age {low}-{high - 1}" for low, high in population.AGE_BANDS], "share of 15 to 79"),
        "Never married": ("never married at ", [f"never married at {age}" for age in range(25, 37)], "share"),
        "Household sizes": ("household of ", [f"household of {k}{'+' * (k == 7)}" for k in range(1, 8)], "share"),
        "Income of fifths": (
            "mean income, ",
            [f"mean income, {word} fifth" for word in ("lowest", "second", "third", "fourth", "highest")],
            "CNY a year",
        ),
    }
    found: Plots = []
    for title, (prefix, names, y_label) in families.items():
        held = [by_name[name] for name in names if name in by_name]
        if not held or all(np.isnan(finding.measure.value) for finding in held):
            continue
        ticks = [finding.target.name.removeprefix(prefix).removesuffix(" fifth") for finding in held]
        x = np.arange(len(held))
        series = [
            Series("target", "target", x, [finding.target.target for finding in held], "o-"),
            Series("measured", "measured", x, [finding.measure.value for finding in held], "o-"),
        ]
        found.append((title, plot(series, x_label="", y_label=y_label, alt=f"{title}, against targets", ticks=ticks)))
    return found


def rhythms(log: Log, days: days_lib.Days, trip_days: np.ndarray | None) -> Plots:
    """Hours, weekdays, months, the major sale, orders and trips over time."""
    shops, bought = log.where("ecommerce"), log.where("ecommerce", "purchase")
    hours, half = np.arange(24), np.arange(days_lib.HALF_HOURS) / 2
    by_hour = days_lib.half_hours(log, shops).reshape(24, 2).sum(axis=1)
    row = log.day - days.first
    traffic = [
        Series("described", "target", hours, days_lib.traffic_curve()),
        Series("measured", "measured", hours, by_hour),
    ]
    meals = [Series("orders", "measured", half, days_lib.half_hours(log, log.where("delivery", "purchase")))]
    weekdays = [
        Series(name, colour, np.arange(7), _shares((log.day[chosen] + 3) % 7, 7), "o-")
        for name, colour, chosen in (
            ("e-commerce", "measured", shops),
            ("visits", "second", log.where("poi", "visit")),
        )
    ]
    months = [Series("orders", "measured", np.arange(12), _shares(_months(log.day[bought]), 12), "o-")]
    found: Plots = [
        (title, plot(series, x_label=x_label, y_label="share", alt=title, ticks=ticks))
        for title, series, x_label, ticks in (
            ("E-commerce traffic by hour", traffic, "hour", ()),
            ("Delivery orders by half hour", meals, "hour", ()),
            ("Events by weekday", weekdays, "", _WEEKDAYS),
            ("E-commerce orders by month", months, "", _MONTHS),
        )
    ]
    if days.sale_hours.any():
        curves = [("normal days", "target", ~days.sale_hours), ("major sale", "measured", days.sale_hours)]
        series = [
            Series(label, colour, half, days_lib.half_hours(log, shops & held[row])) for label, colour, held in curves
        ]
        found.append(("Major sale by half hour",
                      plot(series, x_label="hour", y_label="share", alt="Hours of the major sale")))  # fmt: skip
    n_days = len(days.features)
    over = np.bincount(row[bought], minlength=n_days)
    years = 1970 + (days.first + np.arange(n_days)) / 365.2425
    found.append(("Orders a day", _daily("orders", years, over)))
    if trip_days is not None and len(trip_days):
        inside = trip_days[(trip_days >= days.first) & (trip_days < days.first + n_days)] - days.first
        found.append(("Trips that start a day", _daily("trips", years, np.bincount(inside, minlength=n_days))))
    return found


def tails(log: Log) -> Plots:
    """Popularity, return times, interest durations, visits to places, burstiness and memory of users."""
    views = log.where("ecommerce", "click")
    chosen = views if views.any() else log.where("ecommerce", "purchase")
    ranks = []
    for label, colour, codes in (("items", "measured", log.item), ("categories", "second", log.category)):
        counts = np.bincount(codes.number[chosen & (codes.number >= 0)])
        counts = np.sort(counts[counts > 0])[::-1]
        ranks.append(Series(label, colour, np.arange(1, len(counts) + 1), counts))
        if len(counts):
            top = np.arange(1, int(min(len(counts), counts[0])) + 1)
            ranks.append(Series("exponent 1" if label == "items" else "", "target", top, counts[0] / top, ":"))
    found: Plots = [("Popularity by rank", plot(ranks, x_label="rank", y_label="views", alt="Zipf plot", log="xy"))]
    held = behaviour.spells(log)
    for title, values in (("Return times", held.returns_days), ("Interest durations", held.durations_days)):
        if len(values):
            found.append((title, _tail(values, "days")))
    visits = behaviour.visits_per_venue(log)
    if len(visits):
        series = [Series("visits", "measured", *survival(visits))]
        labels = {"x_label": "visits", "y_label": "share with as many"}
        found.append(("Visits to a venue", plot(series, **labels, alt="Visits to places", log="xy")))
    group, interval = statistics.gaps(log.user.number, log.second)
    bins = np.linspace(-1, 1, 41)
    series = []
    for label, colour, of in (
        ("burstiness", "measured", statistics.burstiness),
        ("memory", "second", statistics.memory),
    ):
        values = of(group, interval, log.n_users)
        counts = np.histogram(values[np.isfinite(values)], bins)[0]
        series.append(Series(label, colour, (bins[1:] + bins[:-1]) / 2, counts))
    found.append(("Burstiness and memory of users",
                  plot(series, x_label="value", y_label="users", alt="Burstiness and memory by user")))  # fmt: skip
    return found


def probes(found: list[Probe]) -> Plots:
    """Accuracy of the linear probe beside the majority."""
    values = {
        "majority": ("target", [one.majority for one in found]),
        "linear model": ("measured", [one.accuracy for one in found]),
    }
    names = [one.tag for one in found]
    return [("Linear probe by tag", dots(names, values, x_label="accuracy", alt="Probe accuracies"))]


def against_real(simulated: Sample, real: Sample) -> Plots:
    """Marginals and tails of both logs."""
    pair = (("real", "target", real), ("simulated", "measured", simulated))
    found: Plots = []
    for title, of, n, ticks in (
        ("Hours", compare.hour_of, 24, ()),
        ("Weekdays", compare.weekday_of, 7, _WEEKDAYS),
        ("Months", compare.month_of, 12, _MONTHS),
    ):
        series = [Series(label, colour, np.arange(n), _shares(of(sample), n)) for label, colour, sample in pair]
        found.append((title, plot(series, x_label="", y_label="share", alt=f"{title} of both logs", ticks=ticks)))
    for title, of, unit in (
        ("Days between baskets", compare.gaps_days, "days"),
        ("Basket sizes", compare.basket_sizes, "events"),
        ("Events a user", compare.events_a_month, "events a month"),
    ):
        series = [Series(label, colour, *survival(of(sample))) for label, colour, sample in pair]
        found.append((title, plot(series, x_label=unit, y_label="share with as many", alt=title, log="xy")))
    ranks = []
    for label, colour, sample in pair:
        counts = np.bincount(sample.rank[sample.rank >= 0])
        ranks.append(Series(label, colour, np.arange(1, len(counts) + 1), counts / max(counts.sum(), 1)))
    found.append(("Popularity", plot(ranks, x_label="rank", y_label="share", alt="Popularity of both", log="xy")))
    bins = np.linspace(-4, 4, 49)
    series = [
        Series(label, colour, (bins[1:] + bins[:-1]) / 2, np.histogram(compare.prices(sample), bins, density=True)[0])
        for label, colour, sample in pair
        if len(compare.prices(sample))
    ]
    if series:
        found.append(("Prices", plot(series, x_label="standardised log price", y_label="density", alt="Prices")))
    return found


def trip_days_of(held: People | None) -> np.ndarray | None:
    """Days that trips start on, where people are known."""
    return None if held is None else population.trips(held)[0]


def _daily(label: str, years: np.ndarray, counts: np.ndarray) -> str:
    """Counts a day, as means of three days so that a long log stays readable."""
    n = len(counts) // 3 * 3
    if not n:
        return plot([Series(label, "measured", years, counts)], x_label="year", y_label=label, alt=f"{label} a day")
    thin = counts[:n].reshape(-1, 3).mean(axis=1)
    return plot([Series(label, "measured", years[:n:3], thin)], x_label="year", y_label=label, alt=f"{label} a day")


def _tail(values: np.ndarray, unit: str) -> str:
    x, y = survival(values)
    exponential = np.exp(-x / values.mean())
    shown = exponential > y[-1] / 3
    series = [
        Series("measured", "measured", x, y),
        Series("exponential", "target", x[shown], exponential[shown], ":"),
    ]
    return plot(series, x_label=unit, y_label="share as long", alt="Tail against an exponential", log="xy")


def _months(day: np.ndarray) -> np.ndarray:
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12


def _shares(number: np.ndarray, n: int) -> np.ndarray:
    counts = np.bincount(number, minlength=n)
    return counts / max(counts.sum(), 1)
