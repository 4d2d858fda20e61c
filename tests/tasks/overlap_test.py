import pytest

from usergpt_jax.tasks.overlap import rouge_l, rouge_n


def test_rouge_counts_shared_words():
    # 2 shared of 3 and 2 words: precision 2/3, recall 1
    assert rouge_n("red wool coat", "Wool Coat", 1) == pytest.approx(4 / 5)
    # bigrams: "red wool", "wool coat" against "wool coat"
    assert rouge_n("red wool coat", "wool coat", 2) == pytest.approx(2 / 3)
    # a repeated word counts as often as gold has it
    assert rouge_n("a a a", "a b", 1) == pytest.approx(2 / 5)


def test_rouge_l_needs_the_order():
    assert rouge_l("a b c d", "b d a") == pytest.approx(4 / 7)
    assert rouge_l("coat wool", "wool coat") == pytest.approx(2 / 4)


@pytest.mark.parametrize("score", [rouge_l, lambda a, b: rouge_n(a, b, 1)])
def test_edges(score):
    assert score("", "") == 1.0
    assert score("", "a") == score("a", "") == score("a", "b") == 0.0
    assert score("a b", "a b") == 1.0
