"""Bags of words about users, for the linear baselines: from the full event log, or from the MUB alone."""

import collections
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from usergpt_jax import gazetteer
from usergpt_jax.tasks import rules
from usergpt_jax.tasks.evidence import line_items

Bag = Mapping[str, float]


def log_bags(parts: Sequence[pathlib.Path], user_ids: Iterable[str]) -> Mapping[str, Bag]:
    """How often each user has each category, and each city by source, in the full event log.

    Args:
      parts: files in `schema.EVENT_SCHEMA`.
      user_ids: whose bags to make; one without events gets an empty bag.
    """
    bags: dict[str, dict[str, float]] = {user_id: {} for user_id in user_ids}
    wanted = pl.scan_parquet(list(parts)).filter(pl.col("user_id").is_in(list(bags)))
    counts = wanted.group_by("user_id", "category").len().drop_nulls().collect(engine="streaming")
    for user_id, category, count in counts.iter_rows():
        bags[user_id][f"category {category}"] = count
    visits = wanted.group_by("user_id", "source", "place").len().drop_nulls().collect(engine="streaming")
    cities = {place: gazetteer.city_in(place) for place in visits["place"].unique()}
    for user_id, source, place, count in visits.iter_rows():
        city = cities[place]
        word = f"{source} {city.name if city else place}"
        bags[user_id][word] = bags[user_id].get(word, 0.0) + count
    return bags


def mub_bag(mub: str) -> Bag:
    """How many MUB lines hold each item, without attributes and by source; attributes; and how dear the user buys.

    The latter is a word for each tenth of `rules.dearness` that is reached, for one number among thousands of words
    would hardly weigh anything.
    """
    counts: collections.Counter[str] = collections.Counter()
    for line in mub.split("\n"):
        source = line.partition("]")[0]
        for item in line_items(line):
            core, _, attributes = item.removesuffix(")").partition(" (")
            counts[f"{source}] {core}"] += 1
            counts.update(f"({attribute})" for attribute in attributes.split("; ") if attribute)
    counts.update(dearness_words(rules.dearness(rules.sightings(mub))))
    return counts


def dearness_words(mean: float | None) -> list[str]:
    """A word for each tenth from -0.9 to 0.9 that the mean of premium (1) and budget (-1) purchases reaches."""
    return [] if mean is None else [f"dearness {tenth / 10:.1f}" for tenth in range(-9, 10) if 10 * mean >= tenth]


def design(train: Sequence[Bag], test: Sequence[Bag], min_users: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32[U W] of log(1 + count) for train and test, standardised by the training users.

    Args:
      train: bags of the training users.
      test: bags of the users to predict.
      min_users: training users that must have a word for it to count.
    """
    spread = collections.Counter(word for bag in train for word in bag)
    column = {word: i for i, word in enumerate(sorted(word for word, n in spread.items() if n >= min_users))}

    def matrix(bags: Sequence[Bag]) -> np.ndarray:
        x = np.zeros((len(bags), len(column)), np.float32)
        for row, bag in zip(x, bags, strict=True):
            for word, count in bag.items():
                if word in column:
                    row[column[word]] = np.log1p(count)
        return x

    x, y = matrix(train), matrix(test)
    mean, scale = x.mean(0), x.std(0) + 1e-6
    return (x - mean) / scale, (y - mean) / scale
