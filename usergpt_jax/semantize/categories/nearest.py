"""The leaf nearest to a title in the space of a text embedder, with a calibrated confidence."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.semantize.categories.hashing import Embedder, hashing_embedder
from usergpt_jax.semantize.categories.leaves import Leaves
from usergpt_jax.semantize.categories.words import words_of


class Calibration(NamedTuple):
    """Confidence = 1 / (1 + exp(-(bias + similarity * s + margin * m))).

    s is the cosine to the nearest leaf, m by how much that exceeds the cosine to the runner-up, be it a leaf or goods
    that no leaf holds (then m may be below 0). An embedder has its own calibration.
    """

    bias: float
    similarity: float
    margin: float

    def confidence(self, similarity: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Confidence of each text [N]."""
        return 1 / (1 + np.exp(-(self.bias + self.similarity * similarity + self.margin * margin)))


# python benchmarks/categories.py --fit --every 1, 2026-11-21
HASHING_CALIBRATION = Calibration(bias=-7.27, similarity=8.56, margin=4.70)
_ROWS = 4096


class Nearest(NamedTuple):
    """Of each text: the leaf, its similarity and the margin to the runner-up [N]."""

    leaf: np.ndarray
    similarity: np.ndarray
    margin: np.ndarray


@dataclasses.dataclass(frozen=True)
class Prototypes:
    """Vectors of what leaves are called.

    Attributes:
      embed: makes the vectors.
      calibration: of that embedder.
      vectors: [P, D], leaf by leaf, then those of goods that no leaf holds.
      starts: first vector of each leaf, and of the goods without one [L + 1].
    """

    embed: Embedder
    calibration: Calibration
    vectors: np.ndarray
    starts: np.ndarray

    def nearest(self, heads: Sequence[str], wholes: Sequence[str], allowed: Collection[int] | None = None) -> Nearest:
        """The nearest leaf of each text, by the mean of two cosines.

        Args:
          heads: product noun of each text.
          wholes: the text itself with its category.
          allowed: the only leaves to choose from, if not all.
        """
        parts = [
            self._block(heads[start : start + _ROWS], wholes[start : start + _ROWS], allowed)
            for start in range(0, len(heads), _ROWS)
        ]
        if not parts:
            return Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
        return Nearest(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _block(self, heads: Sequence[str], wholes: Sequence[str], allowed: Collection[int] | None) -> Nearest:
        vectors = self.embed([plain(text) for text in heads]) + self.embed([plain(text) for text in wholes])
        scores = np.maximum.reduceat(vectors / 2 @ self.vectors.T, self.starts, axis=1)
        if allowed is not None:
            scores[:, sorted(set(range(len(self.starts) - 1)) - set(allowed))] = 0.0
        return best_of(scores)


def best_of(scores: np.ndarray) -> Nearest:
    """The best leaf of each text; overwrites its score.

    Args:
      scores: Float[N L+1], similarity to each leaf, then to the goods that no leaf holds.
    """
    leaf = scores[:, :-1].argmax(axis=1)
    rows = np.arange(len(scores))
    best = scores[rows, leaf]
    scores[rows, leaf] = 0.0
    return Nearest(leaf, best, best - scores.max(axis=1))


def plain(text: str) -> str:
    """A text as its words (`words_of`)."""
    return " ".join(words_of(text))


def prototype_texts(leaves: Leaves) -> list[list[str]]:
    """What each leaf is called, as words, and last the goods that no leaf holds: the texts behind `Prototypes`."""
    return [[plain(text) for text in one] for one in (*leaves.texts, leaves.others or ("",))]


def prototypes(
    leaves: Leaves, embed: Embedder | None = None, calibration: Calibration = HASHING_CALIBRATION
) -> Prototypes:
    """Prototypes of leaves; without an embedder, by hashed n-grams weighed over the leaves' own texts."""
    groups = prototype_texts(leaves)
    texts = [text for one in groups for text in one]
    embed = embed or hashing_embedder(texts)
    starts = np.cumsum([0, *(len(one) for one in groups)])[:-1]
    return Prototypes(embed, calibration, embed(texts), starts)
