import numpy as np

from usergpt_jax.corpus.lexical_init import lexical_embedding


class Pieces:
    """A tokenizer of five pieces."""

    pieces = ("Cat Litter", ", Cat Litter", " Cat Food", "Lipstick", "<think>")
    vocab_size = len(pieces)

    def decode(self, ids):
        return self.pieces[ids[0]]


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_pieces_start_close_by_the_words_they_share():
    table = lexical_embedding(Pieces(), 512, seed=0)
    same, half, none = (cosine(table[0], table[i]) for i in (1, 2, 3))
    assert same > 0.6
    assert 0.2 < half < same
    assert abs(none) < 0.15
    assert not np.array_equal(table[0], table[1])


def test_the_variance_is_that_of_a_random_embedding_and_the_seed_decides():
    table = lexical_embedding(Pieces(), 512, seed=0)
    assert np.allclose(np.linalg.norm(table, axis=1), 1, atol=0.15)
    assert np.array_equal(table, lexical_embedding(Pieces(), 512, seed=0))
    assert not np.array_equal(table, lexical_embedding(Pieces(), 512, seed=1))
