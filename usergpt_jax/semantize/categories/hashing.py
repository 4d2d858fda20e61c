"""Text vectors without a model: character 3- to 5-grams and words, hashed with signs into a fixed width.

A window of characters lies within a word and its two blanks. Every window is hashed from prefix sums of one polynomial
over the code points of all texts at once, so there is no loop over texts; the numbers are the same in every process.
"""

from collections.abc import Callable, Sequence

import numpy as np

Embedder = Callable[[Sequence[str]], np.ndarray]  # texts -> float32 unit vectors [N, D]; zeros where nothing is known

N_GRAMS = (3, 4, 5)
_WORD_WEIGHT = 2.0
_BASE, _INVERSE = np.uint64(0x9E3779B97F4A7C15), np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_BLANK = ord(" ")
_ROWS = 4096  # texts hashed at once


def hashing_embedder(corpus: Sequence[str], width: int = 1024) -> Embedder:
    """An embedder whose features weigh their inverse document frequency in a corpus.

    weight of feature f = (2 for a word, else 1) * (1 + ln((1 + texts) / (1 + texts with f))); a feature that no text of
    the corpus has weighs most, so a title of unknown words is near to nothing.

    Args:
      corpus: texts, such as the names of all leaves.
      width: dimensions D, a power of 2.
    """
    seen = np.zeros(width, np.float64)
    rows, features, _ = _features(corpus)
    columns = (features % np.uint64(width)).astype(np.int64)
    np.add.at(seen, np.unique(rows * width + columns) % width, 1)
    idf = (1 + np.log((1 + len(corpus)) / (1 + seen))).astype(np.float32)

    def embed(texts: Sequence[str]) -> np.ndarray:
        blocks = [_embed(texts[start : start + _ROWS], idf) for start in range(0, len(texts), _ROWS)]
        return np.concatenate(blocks) if blocks else np.zeros((0, width), np.float32)

    return embed


def _embed(texts: Sequence[str], idf: np.ndarray) -> np.ndarray:
    """Unit vectors [N, D]."""
    width = len(idf)
    rows, features, weights = _features(texts)
    columns = (features % np.uint64(width)).astype(np.int64)
    signs = 1 - 2 * (features >> np.uint64(63)).astype(np.float32)
    summed = np.bincount(rows * width + columns, weights * signs * idf[columns], minlength=len(texts) * width)
    vectors = summed.reshape(len(texts), width).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _features(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Text, hash and weight of each n-gram and word."""
    padded = [f" {' '.join(text.split())} " if text.strip() else " " for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32).astype(np.uint64)
    row = np.repeat(np.arange(len(padded)), [len(text) for text in padded])
    powers = np.cumprod(np.full(len(codes), _BASE, np.uint64), dtype=np.uint64)
    undo = np.cumprod(np.full(len(codes), _INVERSE, np.uint64), dtype=np.uint64)
    prefix = np.concatenate([np.zeros(1, np.uint64), np.cumsum((codes + np.uint64(1)) * powers, dtype=np.uint64)])
    blank = codes == _BLANK
    blanks = np.concatenate([[0], np.cumsum(blank)])

    def hashed(start: np.ndarray, end: np.ndarray, salt: int) -> np.ndarray:
        return _mix((prefix[end] - prefix[start]) * undo[start] + np.uint64(salt))

    found = []
    for n in N_GRAMS:
        start = np.arange(len(codes) - n + 1)
        inner = blanks[start + n - 1] - blanks[start + 1]
        start = start[(inner == 0) & (row[start] == row[start + n - 1])]
        found.append((row[start], hashed(start, start + n, n), np.ones(len(start), np.float32)))
    edge = np.diff(np.concatenate([[1], blank.astype(np.int8), [1]]))
    start, end = np.flatnonzero(edge == -1), np.flatnonzero(edge == 1)
    found.append((row[start], hashed(start, end, 0), np.full(len(start), _WORD_WEIGHT, np.float32)))
    rows, hashes, weights = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(hashes), np.concatenate(weights)


def _mix(values: np.ndarray) -> np.ndarray:
    """Spreads every bit over all others (splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
