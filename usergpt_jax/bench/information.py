"""How much of the truth a representation of users still holds: what a linear model and the rules recover from it.

All representations are compared on the same training and test users.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.bench import baselines, features, metrics
from usergpt_jax.bench.features import Bag
from usergpt_jax.bench.metrics import Estimate
from usergpt_jax.schema import NA, TagSchema
from usergpt_jax.tasks import tag_prediction

Values = Mapping[str, str]  # tag name to value
MOST_VALUES = 16  # of a tag that takes part in the choice of the strength


class Recovered(NamedTuple):
    """What a linear model got right.

    Attributes:
      credit: of each test user and tag, in [0, 1] [V A].
      c: the strength that was chosen.
      n_words: words that the model saw.
    """

    credit: np.ndarray
    c: float
    n_words: int


def recover(
    schema: TagSchema,
    train: tuple[Sequence[Bag], Sequence[Values]],
    test: tuple[Sequence[Bag], Sequence[Values]],
    *,
    grid: Sequence[float],
    n_folds: int,
    min_users: int,
    label: str = "",
) -> Recovered:
    """Predicts every tag of the test users by linear models of their bags.

    Args:
      schema: the tags.
      train: bags and truth of the training users.
      test: bags and truth of the test users.
      grid: strengths to choose from, all above 0.
      n_folds: of the cross-validation on the training users that chooses.
      min_users: training users that must have a word for it to count.
      label: of the progress bar.
    """
    x, x_test = features.design(train[0], test[0], min_users)
    n_words = x.shape[1]
    x, x_test = rotated(x, x_test)
    c = choose_c(schema, x, train[1], grid, n_folds)
    guesses = baselines.linear(schema, x, train[1], x_test, c=c, label=label)
    return Recovered(credit(schema, guesses, test[1]), c, n_words)


def rotated(x: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same users on at most U axes, Float[U min(U,W)] and Float[V min(U,W)].

    A linear model with an L2 penalty knows its features by the inner products of users alone, so what it predicts
    stays, and the many words of a raw log cost no more than U words.

    Args:
      x: Float[U W] features of the training users.
      x_test: Float[V W] features of the others.
    """
    if x.shape[1] <= x.shape[0]:
        return x, x_test
    values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
    kept = values > values[-1] * 1e-9
    axes = (x.T @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)
    return x @ axes, x_test @ axes


def choose_c(schema: TagSchema, x: np.ndarray, gold: Sequence[Values], grid: Sequence[float], n_folds: int) -> float:
    """The strength of the most credit on held-out training users, for all tags together; of equals the smallest.

    Tags of many values, and the open ones, take what the others choose: they would take most of the time.

    Args:
      schema: the tags.
      x: Float[U W] features of the training users.
      gold: their truth.
      grid: strengths to choose from.
      n_folds: user i is held out in fold i mod n_folds.
    """
    if len(grid) == 1:
        return grid[0]
    small = dataclasses.replace(schema, tags=tuple(tag for tag in schema.tags if 0 < len(tag.values) <= MOST_VALUES))
    fold = np.arange(len(x)) % n_folds
    total = dict.fromkeys(sorted(grid), 0.0)
    for held_out in range(n_folds):
        inside = fold != held_out
        labels, answers = (list(itertools.compress(gold, side)) for side in (inside, ~inside))
        for c in total:
            guesses = baselines.linear(small, x[inside], labels, x[~inside], c=c, label=f"fold {held_out} C={c}")
            total[c] += credit(small, guesses, answers).sum()
    return max(total, key=lambda c: total[c])


def credit(schema: TagSchema, guesses: Sequence[Values], gold: Sequence[Values]) -> np.ndarray:
    """Float[V A], the credit of each user and tag."""
    return np.array(
        [
            [tag_prediction.score(tag, guess[tag.name], right[tag.name]) for tag in schema.tags]
            for guess, right in zip(guesses, gold, strict=True)
        ]
    )


def known(schema: TagSchema, gold: Sequence[Values]) -> np.ndarray:
    """Bool[V A], where the truth is not NA."""
    return np.array([[right[name] != NA for name in schema.names] for right in gold])


def mean_over_tags(credit: np.ndarray, counts: np.ndarray, draws: np.ndarray) -> Estimate:
    """The mean over tags of each tag's mean over users, with its interval by a bootstrap over users.

    Args:
      credit: Float[V A].
      counts: Bool[V A], what counts; every tag counts for someone.
      draws: from `metrics.draw_weights`.
    """
    by_tag = [metrics.ratio_draws(column * mask, mask, draws) for column, mask in zip(credit.T, counts.T, strict=True)]
    value = np.mean([column[mask].mean() for column, mask in zip(credit.T, counts.T, strict=True)])
    return metrics.interval(float(value), np.mean(by_tag, axis=0), len(credit))
