"""Similarity of short free texts: by hashed letter n-grams, free of downloads, or by a text encoder of the user's."""

import functools
import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError

Similarity = Callable[[str, str], float]

_DIMENSIONS = 512
_NGRAM_CHARS = (2, 3)
# Below this cosine two words are taken as unrelated: chance overlap of n-grams reaches about 0.3.
RELATED = 0.5
_MAX_CHANCE = 0.999  # an encoder that takes all words for one has nothing to say


@functools.lru_cache(maxsize=65_536)
def embed(text: str) -> np.ndarray:
    """Unit vector of hashed letter n-grams of the lower-cased text (zero for an empty text)."""
    padded = f" {_plain(text)} "
    vector = np.zeros(_DIMENSIONS, np.float32)
    for size in _NGRAM_CHARS:
        for start in range(len(padded) - size + 1):
            vector[zlib.crc32(padded[start : start + size].encode()) % _DIMENSIONS] += 1.0
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 and padded.strip() else np.zeros_like(vector)


def similarity(a: str, b: str) -> float:
    """Cosine of two texts' embeddings in [0, 1]."""
    return float(embed(a) @ embed(b))


class EncoderSimilarity:
    """Similarity by an encoder's vectors, counted from what different words have in common by chance.

    (cosine - chance) / (1 - chance), at least 0, where chance is the mean cosine between different words of a list.
    Many encoders give unrelated words a cosine of 0.7 and more; so `RELATED` means the same for each of them.

    Attributes:
      chance: that mean.
    """

    def __init__(self, embed: Callable[[Sequence[str]], np.ndarray], words: Sequence[str] | None = None):
        """Measures the chance.

        Args:
          embed: texts -> unit vectors Float[N D].
          words: different from each other; by default the interests that the evidence of tags knows.

        Raises:
          InputError: the encoder does not tell the words apart.
        """
        self._embed, self._vectors = embed, dict[str, np.ndarray]()
        words = known_interests() if words is None else words
        self.learn(words)
        vectors = np.stack([self._vectors[_plain(word)] for word in words])
        cosine = vectors @ vectors.T
        self.chance = float(cosine[~np.eye(len(words), dtype=bool)].mean())
        if not self.chance < _MAX_CHANCE:
            raise InputError(f"text encoder: expected different vectors for {words[0]!r}, {words[1]!r} ..., got equal")

    def learn(self, texts: Iterable[str]) -> None:
        """Reads texts at once that will be compared; others are read one by one."""
        new = [text for text in dict.fromkeys(map(_plain, texts)) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._embed(new), strict=True))

    def __call__(self, a: str, b: str) -> float:
        """Similarity of two texts in [0, 1]."""
        self.learn((a, b))
        cosine = float(self._vectors[_plain(a)] @ self._vectors[_plain(b)])
        return min(max((cosine - self.chance) / (1.0 - self.chance), 0.0), 1.0)


@functools.cache
def known_interests() -> tuple[str, ...]:
    """The interests that items speak for in `evidence.csv`."""
    rows = locales.read_rows("evidence.csv", locales.DEFAULT, ("tag", "value"))
    return tuple(sorted({row["value"] for row in rows if row["tag"] == "interests"}))


def list_similarity(predicted: list[str], gold: list[str], similar: Similarity = similarity) -> float:
    """Soft F1 of two lists: each entry counts with its best match on the other side, 0 if under `RELATED`.

    For example, ["cycling", "cats"] against ["cycling"] has precision 1/2, recall 1, so F1 2/3.
    """
    if not predicted or not gold:
        return float(not predicted and not gold)
    scores = np.array([[similar(p, g) for g in gold] for p in predicted])
    scores[scores < RELATED] = 0.0
    precision, recall = float(scores.max(1).mean()), float(scores.max(0).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
