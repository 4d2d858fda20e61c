"""A simulated log against a real one, each measure beside its noise floor: the real log against itself.

Only what both logs hold is compared: the sources and actions of the real log, and as many days as it is long, the last
ones of the simulated log. What differs by market is taken out: prices are logs, standardised within each log;
categories are ranks of popularity. Where the real log has no categories, items stand for them in both logs.
The noise floor splits the users of the real log at random into two halves and compares those; the mean of several
splits is reported. A half has half the users, so the floor lies rather too high than too low.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate.fidelity import behaviour, statistics
from usergpt_jax.simulate.fidelity.log import SECONDS_A_DAY, Codes, Log, subset
from usergpt_jax.simulate.fidelity.two_sample import auc

N_SPLITS = 3
_BASKET_GAP_SECONDS = 1800  # orders of a user within so short a time make one basket
_RANKS = 200  # ranks of the category marginal; the rest is one bin
_MIN_USERS = 20  # below which nothing can be compared


class Sample(NamedTuple):
    """What is compared of a log.

    Attributes:
      user: number of the user of each event [E].
      second: local time [E].
      price: standardised log price, NaN where there is none [E].
      rank: popularity rank of the category or item, from 0; -1 where null [E].
      new_basket: whether the event starts a basket [E].
      n_users: users.
      days: length of the log.
    """

    user: Int[np.ndarray, " E"]
    second: Int[np.ndarray, " E"]
    price: Float[np.ndarray, " E"]
    rank: Int[np.ndarray, " E"]
    new_basket: np.ndarray
    n_users: int
    days: float


class Comparison(NamedTuple):
    """One measure: simulated against real, and real against real."""

    name: str
    value: float
    floor: float


def aligned(simulated: Log, real: Log) -> tuple[Log, Log]:
    """Both logs cut to the sources, actions and number of days that the real log has; returns are left out of both.

    Raises:
      InputError: fewer than 20 users are left of one of them.
    """
    sources, actions = np.unique(real.source), np.unique(real.action)
    last_day = int(simulated.day.max())
    n_days = int(real.day.max()) - int(real.day.min()) + 1
    cut = []
    for name, log in (("simulated", simulated), ("real", real)):
        chosen = np.isin(log.source, sources) & np.isin(log.action, actions) & ~(log.quantity < 0)
        if name == "simulated":
            chosen &= log.day > last_day - n_days
        kept = subset(log, chosen) if chosen.any() else None
        if kept is None or kept.n_users < _MIN_USERS:
            words = ", ".join(schema.SOURCES[i] for i in sources), ", ".join(schema.ACTIONS[i] for i in actions)
            raise InputError(
                f"the {name} log: {0 if kept is None else kept.n_users} users have events of source {words[0]} and "
                f"action {words[1]} in {n_days} days; expected at least {_MIN_USERS}"
            )
        cut.append(kept)
    return cut[0], cut[1]


def things(log: Log, other: Log) -> Codes:
    """The column that is counted as category: item_id where one of the two logs has no categories."""
    has_categories = all(np.mean(each.category.number >= 0) > 0.5 for each in (log, other))
    return log.category if has_categories else log.item


def sample_of(log: Log, kinds: Codes) -> Sample:
    """The sample of a log; `kinds` is the column counted as category."""
    counts = np.bincount(kinds.number[kinds.number >= 0], minlength=max(len(kinds.values), 1))
    rank_of = np.empty(len(counts), np.int64)
    rank_of[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    new = np.ones(len(log.second), bool)
    new[1:] = (log.user.number[1:] != log.user.number[:-1]) | (np.diff(log.second) > _BASKET_GAP_SECONDS)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = np.log(np.where(log.price > 0, log.price, np.nan).astype(np.float64))
        if np.isfinite(price).any():
            price = (price - np.nanmean(price)) / max(np.nanstd(price), 1e-9)  # a log may know one price only
    return Sample(
        user=log.user.number,
        second=log.second,
        price=price,
        rank=np.where(kinds.number >= 0, rank_of[np.maximum(kinds.number, 0)], -1),
        new_basket=new,
        n_users=log.n_users,
        days=float(log.day.max() - log.day.min() + 1),
    )


def users_of(sample: Sample, chosen: np.ndarray) -> Sample:
    """The part of a sample that belongs to the chosen users (bool [U])."""
    kept = chosen[sample.user]
    number = np.cumsum(chosen) - 1
    columns = {name: getattr(sample, name)[kept] for name in ("second", "price", "rank", "new_basket")}
    return sample._replace(user=number[sample.user[kept]].astype(np.int32), n_users=int(chosen.sum()), **columns)


def compare(simulated: Log, real: Log, seed: int = 0) -> list[Comparison]:
    """Every measure, simulated against real and real against real.

    Raises:
      InputError: the two logs have too little in common.
    """
    simulated, real = aligned(simulated, real)
    one, other = sample_of(simulated, things(simulated, real)), sample_of(real, things(real, simulated))
    rng = np.random.default_rng(seed)
    halves = []
    for _ in range(N_SPLITS):
        first = rng.permutation(other.n_users) < other.n_users // 2
        halves.append((users_of(other, first), users_of(other, ~first)))
    found = []
    for name, measure in MEASURES.items():
        floor = float(np.mean([measure(first, second) for first, second in halves]))
        found.append(Comparison(name, measure(one, other), floor))
    return found


def hour_of(sample: Sample) -> np.ndarray:
    """Hour of the day [E]."""
    return sample.second % SECONDS_A_DAY // 3600


def weekday_of(sample: Sample) -> np.ndarray:
    """Weekday, Monday is 0 [E]."""
    return (sample.second // SECONDS_A_DAY + 3) % 7  # 1970-01-01 was a Thursday


def month_of(sample: Sample) -> np.ndarray:
    """Month, January is 0 [E]."""
    return (sample.second.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)) % 12


def rank_bin(sample: Sample) -> np.ndarray:
    """Popularity rank of those events that have one, the last bin for all beyond."""
    return np.minimum(sample.rank[sample.rank >= 0], _RANKS)


def gaps_days(sample: Sample) -> np.ndarray:
    """Days between the baskets of a user."""
    chosen = sample.new_basket
    return statistics.gaps(sample.user[chosen], sample.second[chosen])[1] / SECONDS_A_DAY


def events_a_month(sample: Sample) -> np.ndarray:
    """Events of each user, a month of the log."""
    return np.bincount(sample.user, minlength=sample.n_users) / (sample.days / behaviour.DAYS_A_MONTH)


def basket_sizes(sample: Sample) -> np.ndarray:
    """Events of each basket."""
    return np.bincount(np.cumsum(sample.new_basket) - 1)


def prices(sample: Sample) -> np.ndarray:
    """Standardised log prices."""
    return sample.price[np.isfinite(sample.price)]


def row_features(sample: Sample) -> Float[np.ndarray, "E K"]:
    """What one event shows: hour, weekday, month, price, popularity, basket size, time since the last basket."""
    basket = np.cumsum(sample.new_basket) - 1
    start = np.flatnonzero(sample.new_basket)
    before = np.diff(sample.second[start], prepend=sample.second[start][:1]).astype(np.float64)
    before[np.diff(sample.user[start], prepend=-1) != 0] = np.nan
    hour, month = hour_of(sample) * np.pi / 12, month_of(sample) * np.pi / 6
    columns = (
        np.sin(hour), np.cos(hour), np.sin(month), np.cos(month), weekday_of(sample), weekday_of(sample) >= 5,
        sample.price, np.log1p(np.maximum(sample.rank, 0)), np.log(np.bincount(basket))[basket],
        np.log1p(before / 3600)[basket],
    )  # fmt: skip
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def user_features(sample: Sample) -> Float[np.ndarray, "U K"]:
    """What one user shows: how much, how regularly, how dear, how varied, when."""
    n = np.maximum(np.bincount(sample.user, minlength=sample.n_users), 1)
    baskets = np.maximum(np.bincount(sample.user[sample.new_basket], minlength=sample.n_users), 1)
    group, interval = statistics.gaps(sample.user[sample.new_basket], sample.second[sample.new_basket])
    n_gaps = np.bincount(group, minlength=sample.n_users)
    priced = np.isfinite(sample.price)
    price = np.where(priced, sample.price, 0.0)
    n_priced = np.maximum(np.bincount(sample.user, priced, sample.n_users), 1)
    mean_price = np.bincount(sample.user, price, sample.n_users) / n_priced
    spread = np.bincount(sample.user, np.where(priced, (price - mean_price[sample.user]) ** 2, 0.0), sample.n_users)
    pairs = np.unique(sample.user.astype(np.int64) * 10_000_000 + sample.rank)
    columns = (
        np.log(n), np.log(baskets), np.log(n / baskets),
        np.log1p(np.bincount(group, interval, sample.n_users) / np.maximum(n_gaps, 1) / 3600),
        statistics.burstiness(group, interval, sample.n_users), mean_price, np.sqrt(spread / n_priced),
        np.bincount(pairs // 10_000_000, minlength=sample.n_users) / n,
        np.bincount(sample.user, weekday_of(sample) >= 5, sample.n_users) / n,
        np.bincount(sample.user, hour_of(sample) >= 18, sample.n_users) / n,
        np.bincount(sample.user, np.log1p(np.maximum(sample.rank, 0)), sample.n_users) / n,
    )  # fmt: skip
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


Pair = Callable[[Sample, Sample], float]


def _divergence(of: Callable[[Sample], np.ndarray], n: int) -> Pair:
    def measure(one: Sample, other: Sample) -> float:
        first, second = (np.bincount(of(sample), minlength=n).astype(np.float64) for sample in (one, other))
        return statistics.jensen_shannon(first, second) if first.any() and second.any() else float("nan")

    return measure


def _distance(of: Callable[[Sample], np.ndarray]) -> Pair:
    return lambda one, other: statistics.kolmogorov_smirnov(of(one), of(other))


def _told_apart(of: Callable[[Sample], np.ndarray], by_user: bool, kind: str) -> Pair:
    def measure(one: Sample, other: Sample) -> float:
        groups = [np.arange(s.n_users) if by_user else s.user for s in (one, other)]
        return auc(of(one), of(other), groups[0], groups[1], kind)

    return measure


MEASURES: dict[str, Pair] = {
    "JSD of hours (bits)": _divergence(hour_of, 24),
    "JSD of weekdays (bits)": _divergence(weekday_of, 7),
    "JSD of months (bits)": _divergence(month_of, 12),
    "JSD of popularity ranks (bits)": _divergence(rank_bin, _RANKS + 1),
    "KS of days between baskets": _distance(gaps_days),
    "KS of events a user": _distance(events_a_month),
    "KS of basket sizes": _distance(basket_sizes),
    "KS of prices": _distance(prices),
    "AUC on events, logistic": _told_apart(row_features, False, "logistic"),
    "AUC on events, boosting": _told_apart(row_features, False, "boosting"),
    "AUC on users, logistic": _told_apart(user_features, True, "logistic"),
    "AUC on users, boosting": _told_apart(user_features, True, "boosting"),
}
