"""How much of a log was mapped: counts, to print or to keep as JSON."""

import collections
import json
from typing import NamedTuple

import polars as pl

from usergpt_jax.semantize.categories.mapping import STEPS
from usergpt_jax.semantize.categories.words import words_of

TOP_WORDS = 20
_SHORT = 3


class Coverage(NamedTuple):
    """Counts over a log.

    Attributes:
      pairs: distinct pairs by step, all of `STEPS`.
      events: events by step.
      unmapped: words of the titles without a leaf, by events, most first.
      unmapped_categories: categories of the pairs without a leaf, likewise: candidates for the user's own map.
    """

    pairs: dict[str, int]
    events: dict[str, int]
    unmapped: dict[str, int]
    unmapped_categories: dict[str, int]

    def to_json(self) -> str:
        """As JSON, one line."""
        return json.dumps(self._asdict())

    def lines(self) -> list[str]:
        """As text: a line a step with shares, then the words and categories."""
        totals = (max(sum(self.pairs.values()), 1), max(sum(self.events.values()), 1))
        shares = [
            f"{step:10s} {self.pairs[step] / totals[0]:7.1%} of titles {self.events[step] / totals[1]:7.1%} of events"
            for step in STEPS
        ]
        lists = (("unmapped words", self.unmapped), ("unmapped categories", self.unmapped_categories))
        named = [
            f"{name}: {', '.join(f'{text} {n:,}' for text, n in found.items()) or 'none'}" for name, found in lists
        ]
        return [*shares, *named]


def coverage(mapped: pl.DataFrame, events: pl.DataFrame | None = None, top: int = TOP_WORDS) -> Coverage:
    """Counts what was mapped.

    Args:
      mapped: as `mapping.map_pairs` gives it.
      events: `title`, `category`, `n`: events of each pair; without it each pair counts once.
      top: words and categories listed.
    """
    keys = ["title", "category"]
    one = pl.lit(1).alias("n")
    counted = mapped.with_columns(one) if events is None else mapped.join(events, on=keys, nulls_equal=True)
    other = counted.filter(pl.col("leaf").is_null())
    categories = other.drop_nulls("category").group_by("category").agg(pl.col("n").sum())
    most = categories.sort(["n", "category"], descending=[True, False]).head(top)
    return Coverage(_by_step(mapped.with_columns(one)), _by_step(counted), _words(other, top), dict(most.iter_rows()))


def _by_step(counted: pl.DataFrame) -> dict[str, int]:
    found = dict(counted.group_by("step").agg(pl.col("n").sum()).iter_rows())
    return {step: int(found.get(step, 0)) for step in STEPS}


def _words(other: pl.DataFrame, top: int) -> dict[str, int]:
    counts: collections.Counter[str] = collections.Counter()
    for title, n in other.select("title", "n").iter_rows():
        for word in set(words_of(title or "")):
            if len(word) >= _SHORT or not word.isascii():
                counts[word] += n
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top])
