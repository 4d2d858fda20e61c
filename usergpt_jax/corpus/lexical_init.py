"""A head start for models trained from scratch: tokens that share words start close to each other.

A tokenizer whose pieces span words holds "Cat Litter", ", Cat Litter" and " Cat Litter (budget)" as unrelated ids; with
random embeddings a model must learn from examples that they mean the same.
"""

import re
import zlib

import numpy as np

from usergpt_jax.corpus.tokenizer import Tokenizer

_WORD = re.compile(r"\w+")
_OWN_SHARE = 0.3  # of the variance: what tells pieces of equal words apart


def lexical_embedding(tokenizer: Tokenizer, width: int, seed: int) -> np.ndarray:
    """Embeddings Float[V D] of variance 1/D: the sum of one vector a word, and one of the piece's own.

    Args:
      tokenizer: its pieces are read as words, lower case; a piece without words gets a vector of its own alone.
      width: D.
      seed: of the words' vectors.
    """
    table = np.zeros((tokenizer.vocab_size, width), np.float32)
    for id_ in range(tokenizer.vocab_size):
        own = np.random.default_rng((seed, id_)).normal(size=width)
        words = _WORD.findall(tokenizer.decode([id_]).lower())
        if words:
            shared = sum(
                np.random.default_rng((seed, zlib.crc32(word.encode()), 1)).normal(size=width) for word in words
            )
            own = np.sqrt(1 - _OWN_SHARE) * shared / np.sqrt(len(words)) + np.sqrt(_OWN_SHARE) * own
        table[id_] = own / np.sqrt(width)
    return table
