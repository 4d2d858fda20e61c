"""Statistics of what users do: action mix, volume, places, burstiness, popularity, interests, causes, returns."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from usergpt_jax import schema
from usergpt_jax.simulate.fidelity import statistics
from usergpt_jax.simulate.fidelity.log import Log
from usergpt_jax.simulate.fidelity.targets import Measure

DAYS_A_MONTH = 365.2425 / 12
SESSION_GAP_SECONDS = 1800  # a pause that ends a session in a log that numbers none
SPELL_GAP_DAYS = 30  # a pause that ends an interest in a category
NEXT_SHARES = (1, 5)
_MIX = {"view": "click", "cart": "cart", "favourite": "favorite", "buy": "purchase"}
# Every name that `measures` can give; a log that lacks something gives fewer.
NAMES = (
    *(f"share of {word}s" for word in _MIX),
    "orders to views",
    "events a user and month",
    "orders a user and month",
    "places visited once",
    "median visits to a place",
    "mean visits to a place",
    *(f"{name} of {word}" for name in ("burstiness", "memory") for word in ("events", "sessions", "orders")),
    "Zipf exponent of items",
    "Zipf exponent of categories",
    "spread of return times",
    "spread of interest durations",
    "returns to orders",
    *(f"sessions of cause {cause}" for cause in schema.CAUSES),
)


def measures(log: Log) -> dict[str, Measure]:
    """Every statistic of behaviour that the events alone give, by name."""
    return {
        **action_mix(log),
        **volume(log),
        **places_visited(log),
        **rhythm(log),
        **popularity(log),
        **interests(log),
        **returns(log),
        **causes(log),
    }


def _ratio_over_users(log: Log, holds: np.ndarray, among: np.ndarray) -> Measure:
    """Share of `holds` in `among` (both [E]) with the error of sampling users, not events."""
    user, n = log.user.number, log.n_users
    top, bottom = np.bincount(user[holds & among], minlength=n), np.bincount(user[among], minlength=n)
    if not bottom.sum():
        return Measure(float("nan"))
    value = top.sum() / bottom.sum()
    return Measure(float(value), float(np.sqrt(np.sum((top - value * bottom) ** 2.0)) / bottom.sum()))


def action_mix(log: Log) -> dict[str, Measure]:
    """Shares of the four e-commerce actions without search, and orders to views; returns are not counted.

    Nothing for a log without views, where shares would say nothing.
    """
    kinds = {word: log.where("ecommerce", action) for word, action in _MIX.items()}
    if not kinds["view"].any():
        return {}
    among = np.logical_or.reduce(list(kinds.values()))
    bought = _ratio_over_users(log, kinds["buy"], kinds["buy"] | kinds["view"])
    odds = bought.value / (1 - bought.value) if bought.value < 1 else float("nan")
    return {f"share of {word}s": _ratio_over_users(log, held, among) for word, held in kinds.items()} | {
        "orders to views": Measure(odds, bought.error / (1 - bought.value) ** 2 if bought.value < 1 else 0.0)
    }


def volume(log: Log) -> dict[str, Measure]:
    """Events and orders a user and month: e-commerce without search, as the two reference logs count them."""
    months = (int(log.day.max()) - int(log.day.min()) + 1) / DAYS_A_MONTH
    kept = (log.source == schema.SOURCES.index("ecommerce")) & ~log.where(action="search")
    counts = {"events": kept, "orders": log.where("ecommerce", "purchase")}
    return {
        f"{name} a user and month": Measure(
            *statistics.mean_with_error(np.bincount(log.user.number[chosen], minlength=log.n_users) / months)
        )
        for name, chosen in counts.items()
    }


def places_visited(log: Log) -> dict[str, Measure]:
    """Visits of one user to one place: how many places a city has is for the gazetteer, so users are kept apart."""
    counts = visits_per_venue(log)
    if not len(counts):
        return {}
    return {
        "places visited once": Measure(float(np.mean(counts == 1))),
        "median visits to a place": Measure(float(np.median(counts))),
        "mean visits to a place": Measure(float(counts.mean())),
    }


def visits_per_venue(log: Log) -> Int[np.ndarray, " N"]:
    """How often each venue, an item at a place, was visited by anybody; venues without a visit are left out."""
    chosen = log.where(action="visit") & (log.place.number >= 0)
    key = log.item.number[chosen].astype(np.int64) * len(log.place.values) + log.place.number[chosen]
    return np.unique(key, return_counts=True)[1]


def sessions(log: Log) -> Int[np.ndarray, " E"]:
    """The session of each event, numbered over the whole log; a pause of half an hour ends one where none is given."""
    new = np.ones(len(log.second), bool)
    other_user = log.user.number[1:] != log.user.number[:-1]
    if log.hidden is not None and log.hidden.session is not None:
        new[1:] = other_user | (log.hidden.session[1:] != log.hidden.session[:-1])
    else:
        new[1:] = other_user | (np.diff(log.second) > SESSION_GAP_SECONDS)
    return np.cumsum(new) - 1


def rhythm(log: Log) -> dict[str, Measure]:
    """Burstiness and memory of the times between events: medians over users with at least 20 intervals."""
    first_of_session = np.diff(sessions(log), prepend=-1) > 0
    kinds = {"events": np.ones(len(log.second), bool), "sessions": first_of_session,
             "orders": log.where(action="purchase")}  # fmt: skip
    found = {}
    for word, chosen in kinds.items():
        group, interval = statistics.gaps(log.user.number[chosen], log.second[chosen])
        enough = np.bincount(group, minlength=log.n_users) >= 20
        for name, per_user in (
            ("burstiness", statistics.burstiness(group, interval, log.n_users)),
            ("memory", statistics.memory(group, interval, log.n_users)),
        ):
            values = per_user[enough & np.isfinite(per_user)]
            if len(values):
                error = 1.25 * values.std() / np.sqrt(len(values))
                found[f"{name} of {word}"] = Measure(float(np.median(values)), float(error))
    return found


def popularity(log: Log) -> dict[str, Measure]:
    """Zipf exponents: views of items and categories in e-commerce, orders where the log has no views."""
    views = log.where("ecommerce", "click")
    chosen = views if views.any() else log.where("ecommerce", "purchase")
    found = {}
    for word, codes, last_rank in (("items", log.item, 1000), ("categories", log.category, 100)):
        number = codes.number[chosen]
        counts = np.bincount(number[number >= 0], minlength=1)
        found[f"Zipf exponent of {word}"] = Measure(statistics.zipf_exponent(counts, 1, last_rank))
    return found


class Spells(NamedTuple):
    """How interest in categories comes and goes, over users and categories.

    Attributes:
      returns_days: days until the user is back at a category, 1 or more [I].
      durations_days: length of each spell, a run of days without a pause of more than `SPELL_GAP_DAYS` [S].
    """

    returns_days: Float[np.ndarray, " I"]
    durations_days: Float[np.ndarray, " S"]


def spells(log: Log) -> Spells:
    """Return times and spells of interest in categories, by days with at least one e-commerce event."""
    chosen = (log.source == schema.SOURCES.index("ecommerce")) & (log.category.number >= 0)
    pair = log.user.number[chosen].astype(np.int64) * len(log.category.values) + log.category.number[chosen]
    key = np.unique(pair * 100_000 + log.day[chosen])  # one a user, category and day, in order
    pair, day = key // 100_000, key % 100_000
    if not len(key):
        return Spells(np.zeros(0), np.zeros(0))
    new = np.ones(len(key), bool)
    new[1:] = (pair[1:] != pair[:-1]) | (np.diff(day) > SPELL_GAP_DAYS)
    start = np.flatnonzero(new)
    last = np.append(start[1:], len(key)) - 1
    return Spells(statistics.gaps(pair, day)[1].astype(np.float64), (day[last] - day[start] + 1).astype(np.float64))


def interests(log: Log) -> dict[str, Measure]:
    """How heavy the tails of return times and interest durations are: sd to mean, 1 for exponential times."""
    held = spells(log)
    return {
        "spread of return times": Measure(statistics.variation(held.returns_days)),
        "spread of interest durations": Measure(statistics.variation(held.durations_days)),
    }


def returns(log: Log) -> dict[str, Measure]:
    """Returns (rows of negative quantity) to e-commerce orders."""
    bought = log.where("ecommerce", "purchase")
    shops = (log.source == schema.SOURCES.index("ecommerce")) & (log.action == schema.ACTIONS.index("purchase"))
    sent_back = shops & (log.quantity < 0)
    share = _ratio_over_users(log, sent_back, shops)
    value = float(sent_back.sum() / bought.sum()) if bought.any() else float("nan")
    return {"returns to orders": Measure(value, share.error)}


def causes(log: Log) -> dict[str, Measure]:
    """Share of sessions of each cause; events stand for sessions in logs whose provenance has none."""
    if log.hidden is None:
        return {}
    first = np.ones(len(log.second), bool)
    if log.hidden.session is not None:
        first = np.diff(sessions(log), prepend=-1) > 0
    return {
        f"sessions of cause {cause}": _ratio_over_users(
            log, log.hidden.cause.number == log.hidden.cause.of(cause), first
        )
        for cause in schema.CAUSES
    }
