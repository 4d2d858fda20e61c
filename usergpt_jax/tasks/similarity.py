"""Similarity of short free texts by hashed letter n-grams: the default embedding, free of downloads."""

import functools
import zlib

import numpy as np

_DIMENSIONS = 512
_NGRAM_CHARS = (2, 3)
# Below this cosine two words are taken as unrelated: chance overlap of n-grams reaches about 0.3.
RELATED = 0.5


@functools.lru_cache(maxsize=65_536)
def embed(text: str) -> np.ndarray:
    """Unit vector of hashed letter n-grams of the lower-cased text (zero for an empty text)."""
    padded = f" {' '.join(text.lower().split())} "
    vector = np.zeros(_DIMENSIONS, np.float32)
    for size in _NGRAM_CHARS:
        for start in range(len(padded) - size + 1):
            vector[zlib.crc32(padded[start : start + size].encode()) % _DIMENSIONS] += 1.0
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 and padded.strip() else np.zeros_like(vector)


def similarity(a: str, b: str) -> float:
    """Cosine of two texts' embeddings in [0, 1]."""
    return float(embed(a) @ embed(b))


def list_similarity(predicted: list[str], gold: list[str]) -> float:
    """Soft F1 of two lists: each entry counts with its best match on the other side, 0 if under `RELATED`.

    For example, ["cycling", "cats"] against ["cycling"] has precision 1/2, recall 1, so F1 2/3.
    """
    if not predicted or not gold:
        return float(not predicted and not gold)
    scores = np.array([[similarity(p, g) for g in gold] for p in predicted])
    scores[scores < RELATED] = 0.0
    precision, recall = float(scores.max(1).mean()), float(scores.max(0).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
