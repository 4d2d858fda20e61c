import numpy as np
import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.tasks.similarity import EncoderSimilarity, known_interests, list_similarity, similarity

# Cosine 0.6 between the two words of the list, 0.8 between jogging and running, 0 between running and tea.
VECTORS = {"cats": (1.0, 0.0), "music": (0.6, 0.8), "running": (1.0, 0.0), "jogging": (0.8, 0.6), "tea": (0.0, 1.0)}


class Looked:
    """An encoder that knows five words and counts its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts):
        self.calls.append(list(texts))
        return np.array([VECTORS[text] for text in texts], np.float32)


def test_chance_is_taken_off():
    similar = EncoderSimilarity(Looked(), ["cats", "music"])
    assert similar.chance == pytest.approx(0.6)
    assert similar("jogging", "running") == pytest.approx(0.5)  # (0.8 - 0.6) / (1 - 0.6)
    assert similar("tea", "running") == 0.0
    assert similar("Tea ", "tea") == pytest.approx(1.0)


def test_each_text_is_read_once():
    embed = Looked()
    similar = EncoderSimilarity(embed, ["cats", "music"])
    similar.learn(["Tea", "tea", "cats", "running"])
    similar("running", "tea")
    similar("jogging", "tea")
    assert embed.calls == [["cats", "music"], ["tea", "running"], ["jogging"]]


def test_lists_are_compared_by_what_is_given():
    similar = EncoderSimilarity(Looked(), ["cats", "music"])
    # jogging finds running at 0.5, tea finds nothing: precision 0.25, recall 0.5
    assert list_similarity(["jogging", "tea"], ["running"], similar) == pytest.approx(2 * 0.25 * 0.5 / 0.75)
    assert list_similarity(["jogging"], ["running"]) == 0.0 == list_similarity(["jogging"], ["running"], similarity)


def test_an_encoder_that_tells_nothing_apart_is_refused():
    with pytest.raises(InputError, match="expected different vectors for 'anime', 'beauty'"):
        EncoderSimilarity(lambda texts: np.ones((len(texts), 1), np.float32))


def test_the_default_words_are_the_known_interests():
    assert {"cycling", "gourmet food"} <= set(known_interests())
    assert len(known_interests()) == len(set(known_interests())) > 10
