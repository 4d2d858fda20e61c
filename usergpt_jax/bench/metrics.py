"""Metrics over users as ratios of sums, with bootstrap intervals paired across models.

Every metric is a pair of numbers a user, (credit, weight), and its value is `sum(credit) / sum(weight)`. A bootstrap
draw resamples users, the same ones for all models, so differences between models keep their pairing.

Paper: §4 (Avg@10, Pass@k). Differs from the paper: it gives no intervals.
"""

import collections
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

INTERVAL_FRAC = 0.95
# A closed tag or a city passes with full credit; a list, whose credit is soft F1, passes when half right.
PASS_CREDIT = 1.0 - 1e-6
PASS_CREDIT_OF_LISTS = 0.5


class Estimate(NamedTuple):
    """A value with the ends of its 95 % interval; `n_users` users carry weight."""

    value: float
    low: float
    high: float
    n_users: int


def pass_at_k(n_samples: int, n_passed: np.ndarray, k: int) -> np.ndarray:
    """Chance that at least one of k samples passes: `1 - C(n - c, k) / C(n, k)`, unbiased.

    Args:
      n_samples: n, at least k.
      n_passed: c, how many of the samples passed.
      k: samples drawn.
    """
    if not 1 <= k <= n_samples:
        raise ValueError(f"pass@{k} needs 1 <= k <= {n_samples} samples")
    total = math.comb(n_samples, k)
    table = np.array([1.0 - math.comb(n_samples - c, k) / total for c in range(n_samples + 1)])
    return table[n_passed]


def draw_weights(n_users: int, n_draws: int, seed: int) -> np.ndarray:
    """How often each user stands in each bootstrap draw: Int[draws users], rows sum to `n_users`."""
    drawn = np.random.default_rng(seed).integers(0, n_users, (n_draws, n_users))
    return np.stack([np.bincount(row, minlength=n_users) for row in drawn])


def estimate(credit: np.ndarray, weight: np.ndarray, draws: np.ndarray) -> Estimate | None:
    """`sum(credit) / sum(weight)` over users with its interval, or None when no user carries weight.

    Args:
      credit: Float[U].
      weight: Float[U], >= 0; credit is 0 where it is 0.
      draws: from `draw_weights`.
    """
    if weight.sum() == 0:
        return None
    return interval(credit.sum() / weight.sum(), ratio_draws(credit, weight, draws), int((weight > 0).sum()))


def ratio_draws(credit: np.ndarray, weight: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The ratio in each draw; NaN in a draw without weight."""
    total = draws @ weight
    return np.divide(draws @ credit, total, out=np.full(len(draws), np.nan), where=total > 0)


def interval(value: float, drawn: np.ndarray, n_users: int) -> Estimate:
    """The percentile interval around `value`; draws that are NaN do not count."""
    tail = (1.0 - INTERVAL_FRAC) / 2
    low, high = np.nanquantile(drawn, [tail, 1.0 - tail]) if np.isfinite(drawn).any() else (value, value)
    return Estimate(float(value), float(low), float(high), n_users)


def bleu(predicted: str, gold: str, max_n: int) -> float:
    """Sentence BLEU of lower-cased words up to `max_n`-grams, add-one smoothed above single words.

    For example "a b c" against "a b d" with max_n = 2: p1 = 2/3, p2 = (1 + 1)/(2 + 1) = 2/3, so BLEU-2 = 2/3.
    """
    words, right = _words(predicted), _words(gold)
    if not words or not right:
        return 0.0
    logs = []
    for n in range(1, max_n + 1):
        ours, theirs = _ngrams(words, n), _ngrams(right, n)
        matched, total = sum((ours & theirs).values()), sum(ours.values())
        if n > 1:
            matched, total = matched + 1, total + 1
        if matched == 0:
            return 0.0
        logs.append(math.log(matched / total))
    brevity = min(0.0, 1.0 - len(right) / len(words))
    return math.exp(sum(logs) / max_n + brevity)


def _words(text: str) -> list[str]:
    marks = ",.;:"
    return text.lower().translate({ord(mark): f" {mark} " for mark in marks}).split()


def _ngrams(words: Sequence[str], n: int) -> collections.Counter[tuple[str, ...]]:
    return collections.Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
