"""Statistics of event logs as pure functions over arrays; every one has a hand-computed test.

Letters: E events or intervals, G groups (users, or pairs of user and category), N categories, S states.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Real


def gaps(
    group: Int[np.ndarray, " E"], time: Int[np.ndarray, " E"]
) -> tuple[Int[np.ndarray, " I"], Int[np.ndarray, " I"]]:
    """Times between neighbouring events of one group.

    Args:
      group: number of the group each event belongs to; equal numbers are neighbours.
      time: any unit, not decreasing within a group.

    Returns:
      The group of each interval and its length; a group of k events has k - 1.
    """
    inside = group[1:] == group[:-1]
    return group[1:][inside], np.diff(time)[inside]


def burstiness(group: Int[np.ndarray, " I"], interval: Int[np.ndarray, " I"], n_groups: int) -> Float[np.ndarray, " G"]:
    """Burstiness of each group's intervals in its finite-size form; NaN below two intervals.

    B_n = (sqrt(n+1) r - sqrt(n-1)) / ((sqrt(n+1) - 2) r + sqrt(n-1)), r = sd / mean: -1 where all intervals are equal,
    0 for a Poisson process, 1 at the most uneven that n intervals allow (Kim and Jo, 2016).
    """
    n, mean, variance = _moments(group, interval.astype(np.float64), n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.sqrt(variance) / mean
        value = (np.sqrt(n + 1) * r - np.sqrt(n - 1)) / ((np.sqrt(n + 1) - 2) * r + np.sqrt(n - 1))
    return np.where((n >= 2) & (mean > 0), value, np.nan)


def memory(group: Int[np.ndarray, " I"], interval: Int[np.ndarray, " I"], n_groups: int) -> Float[np.ndarray, " G"]:
    """Correlation of each interval with the next one of its group; NaN below three pairs or without spread."""
    inside = group[1:] == group[:-1]
    pair, first, second = group[1:][inside], interval[:-1][inside] * 1.0, interval[1:][inside] * 1.0
    n, mean_first, variance_first = _moments(pair, first, n_groups)
    _, mean_second, variance_second = _moments(pair, second, n_groups)
    product = (first - mean_first[pair]) * (second - mean_second[pair])
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.bincount(pair, product, n_groups) / n / np.sqrt(variance_first * variance_second)
    return np.where((n >= 3) & (variance_first > 0) & (variance_second > 0), value, np.nan)


def _moments(group: np.ndarray, value: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and population variance by group."""
    n = np.bincount(group, minlength=n_groups).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, value, n_groups) / n
        variance = np.bincount(group, (value - mean[group]) ** 2, n_groups) / n
    return n, mean, variance


def zipf_exponent(counts: Int[np.ndarray, " N"], first_rank: int, last_rank: int) -> float:
    """Minus the slope of log count on log rank, by least squares over ranks spaced evenly in log rank.

    Even spacing keeps the many ranks of the tail from deciding the fit. NaN below five ranks.

    Args:
      counts: how often each thing occurs, in any order.
      first_rank: first rank of the fit, from 1.
      last_rank: last rank of the fit; cut to the number of things that occur.
    """
    ordered = np.sort(counts[counts > 0])[::-1]
    last_rank = min(last_rank, len(ordered))
    if last_rank - first_rank < 4:
        return float("nan")
    ranks = np.unique(np.round(np.geomspace(first_rank, last_rank, 40)).astype(int))
    slope = np.polyfit(np.log(ranks), np.log(ordered[ranks - 1]), 1)[0]
    return float(-slope)


def variation(values: Float[np.ndarray, " E"]) -> float:
    """Coefficient of variation, sd / mean: 1 for exponential times, above it for a heavier tail; NaN when empty."""
    return float(values.std() / values.mean()) if len(values) and values.mean() > 0 else float("nan")


def jensen_shannon(first: Float[np.ndarray, " N"], second: Float[np.ndarray, " N"]) -> float:
    """Jensen-Shannon divergence of two histograms in bits: 0 for equal shares, 1 where they have nothing in common."""
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2

    def divergence(a: np.ndarray) -> float:
        held = a > 0
        return float(np.sum(a[held] * np.log2(a[held] / middle[held])))

    return max((divergence(p) + divergence(q)) / 2, 0.0)


def kolmogorov_smirnov(first: Real[np.ndarray, " M"], second: Real[np.ndarray, " N"]) -> float:
    """Largest distance between two empirical distribution functions, 0 to 1; NaN where one is empty."""
    if not len(first) or not len(second):
        return float("nan")
    at = np.concatenate([first, second])
    below = [np.searchsorted(np.sort(values), at, side="right") / len(values) for values in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def transitions(group: Int[np.ndarray, " E"], state: Int[np.ndarray, " E"], n_states: int) -> Float[np.ndarray, "S S"]:
    """How often state i is followed by state j inside a group: counts [S, S]."""
    inside = group[1:] == group[:-1]
    pairs = state[:-1][inside].astype(np.int64) * n_states + state[1:][inside]
    return np.bincount(pairs, minlength=n_states**2).reshape(n_states, n_states).astype(np.float64)


def row_shares(counts: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """Each row divided by its sum; a row of zeros stays."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def share(holds: Bool[np.ndarray, " E"], weight: Any = None) -> tuple[float, float]:
    """Weighted share of true entries and its standard error; NaN when empty.

    Args:
      holds: what is counted.
      weight: non-negative weights [E]; equal ones where None.
    """
    weight = np.ones(len(holds)) if weight is None else np.asarray(weight, np.float64)
    if not len(holds) or weight.sum() <= 0:
        return float("nan"), float("nan")
    value = float(np.average(holds, weights=weight))
    n_effective = weight.sum() ** 2 / np.sum(weight**2)
    # Agresti and Coull: half a case on either side keeps the error of a share of 0 or 1 above zero.
    near = (value * n_effective + 2) / (n_effective + 4)
    return value, float(np.sqrt(near * (1 - near) / (n_effective + 4)))


def mean_with_error(values: Float[np.ndarray, " E"], weight: Any = None) -> tuple[float, float]:
    """Weighted mean and its standard error; NaN below two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    weight = np.ones(len(values)) if weight is None else np.asarray(weight, np.float64)
    mean = float(np.average(values, weights=weight))
    variance = float(np.average((values - mean) ** 2, weights=weight))
    return mean, float(np.sqrt(variance * np.sum(weight**2)) / weight.sum())


def weighted_quantile(values: Float[np.ndarray, " E"], weight: Float[np.ndarray, " E"], fraction: float) -> float:
    """The smallest value with at least `fraction` of the weight at or below it; NaN when empty."""
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(np.searchsorted(reached, fraction), len(values) - 1)])


def fifth_means(values: Float[np.ndarray, " E"], weight: Float[np.ndarray, " E"]) -> Float[np.ndarray, " 5"]:
    """Weighted mean of each fifth of the weight, poorest first."""
    order = np.argsort(values, kind="stable")
    middle = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    fifth = np.minimum((middle * 5).astype(int), 4)
    total = np.bincount(fifth, weight[order], 5)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(fifth, weight[order] * values[order], 5) / total
