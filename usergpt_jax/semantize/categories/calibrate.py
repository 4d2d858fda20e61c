"""The confidence of a text embedder, fitted on the catalogue alone: would a name that is hidden be found again.

Every name of a leaf, and of goods that no leaf holds, becomes a title with a modifier and a colour around it. It is
looked up with its own vector hidden; of a third of the leaves all vectors are hidden, so that no leaf is right. Names
that hold another name of their leaf are left out, for the step `title` decides those. A logistic curve over similarity
and margin then tells how often the nearest leaf was right.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from usergpt_jax.semantize import lexicon
from usergpt_jax.semantize.categories.leaves import Leaves
from usergpt_jax.semantize.categories.nearest import Calibration, Prototypes, best_of, plain, prototype_texts
from usergpt_jax.semantize.title_entity import title_entity

_ROWS = 512
_UNKNOWN_OF = 3  # one leaf in so many has all its names hidden
_HIDDEN = -1.0


def fit(leaves: Leaves, prototypes: Prototypes) -> Calibration:
    """The calibration of the prototypes' embedder; the same every time.

    Args:
      leaves: what the prototypes are of.
      prototypes: made by the embedder; their own calibration is not read.
    """
    groups = prototype_texts(leaves)
    texts = [text for one in groups for text in one]
    owner = np.repeat(np.arange(len(groups)), [len(one) for one in groups])
    unknown = np.array([zlib.crc32(name.encode()) % _UNKNOWN_OF == 0 for name in leaves.names] + [False])
    asked = np.array(_asked(groups, unknown), np.int64)
    titles = [_title(texts[row]) for row in asked]
    ends = np.append(prototypes.starts[1:], len(texts))
    similarity, margin, right = [], [], []
    for start in range(0, len(asked), _ROWS):
        rows = asked[start : start + _ROWS]
        some = titles[start : start + _ROWS]
        vectors = prototypes.embed([plain(title_entity(one)) for one in some]) + prototypes.embed(
            list(map(plain, some))
        )
        scores = vectors / 2 @ prototypes.vectors.T
        for score, row in zip(scores, rows, strict=True):
            own = owner[row]
            score[slice(prototypes.starts[own], ends[own]) if unknown[own] else row] = _HIDDEN
        found = best_of(np.maximum.reduceat(scores, prototypes.starts, axis=1))
        similarity.append(found.similarity)
        margin.append(found.margin)
        right.append((found.leaf == owner[rows]) & ~unknown[owner[rows]])
    return _logistic(np.stack([np.concatenate(similarity), np.concatenate(margin)], axis=1), np.concatenate(right))


def _asked(groups: Sequence[Sequence[str]], unknown: np.ndarray) -> list[int]:
    """Numbers of the texts to look up; the last text of a leaf, all its levels together, is no name."""
    rows, start = [], 0
    for number, texts in enumerate(groups):
        leaf = number < len(groups) - 1
        for i, text in enumerate(texts[:-1] if leaf else texts):
            others = [other for j, other in enumerate(texts[:-1]) if j != i] if leaf and not unknown[number] else []
            if text and not any(f" {other} " in f" {text} " for other in others):
                rows.append(start + i)
        start += len(texts)
    return rows


def _title(text: str) -> str:
    """A name between words that say nothing, drawn by the name."""
    drawn = zlib.crc32(text.encode())
    modifiers, colours = lexicon.entries("modifiers"), lexicon.entries("colours")
    return f"{modifiers[drawn % len(modifiers)]} {text} {colours[drawn // 1000 % len(colours)]}"


def _logistic(features: np.ndarray, right: np.ndarray) -> Calibration:
    """Bias and weights; the mere share of right ones, with half a count more of both, when there is but one kind."""
    if right.all() or not right.any():
        return Calibration(float(np.log((right.sum() + 0.5) / ((~right).sum() + 0.5))), 0.0, 0.0)
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)  # many cosines lie close together
    with threadpool_limits(1):  # sums in one order on every machine
        model = LogisticRegression(C=1e6, max_iter=1000).fit((features - centre) / spread, right)
    weights = model.coef_[0] / spread
    return Calibration(float(model.intercept_[0] - weights @ centre), *map(float, weights))
