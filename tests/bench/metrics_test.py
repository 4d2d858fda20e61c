import itertools

import numpy as np
import pytest

from usergpt_jax.bench import metrics


def test_pass_at_k_is_the_share_of_subsets_that_hold_a_pass():
    passed = np.array([1, 0, 0, 1, 0])
    for k in range(1, 6):
        subsets = list(itertools.combinations(passed, k))
        expected = sum(any(subset) for subset in subsets) / len(subsets)
        assert metrics.pass_at_k(5, np.array([2]), k)[0] == pytest.approx(expected)


def test_pass_at_k_of_more_than_the_samples_is_an_error():
    with pytest.raises(ValueError, match="1 <= k <= 3"):
        metrics.pass_at_k(3, np.array([1]), 4)


def test_an_estimate_is_a_ratio_of_sums():
    # (1 + 3) / (2 + 4 + 0); the user without weight is not counted
    draws = metrics.draw_weights(3, 50, seed=0)
    estimate = metrics.estimate(np.array([1.0, 3.0, 0.0]), np.array([2.0, 4.0, 0.0]), draws)
    assert estimate.value == pytest.approx(4 / 6)
    assert estimate.n_users == 2
    assert 0.5 <= estimate.low <= estimate.value <= estimate.high <= 0.75


def test_no_weight_gives_no_estimate():
    assert metrics.estimate(np.zeros(2), np.zeros(2), metrics.draw_weights(2, 5, seed=0)) is None


def test_draws_resample_users_and_depend_on_the_seed_alone():
    draws = metrics.draw_weights(7, 100, seed=3)
    assert (draws.sum(1) == 7).all()
    assert (draws == metrics.draw_weights(7, 100, seed=3)).all()
    assert (draws != metrics.draw_weights(7, 100, seed=4)).any()


def test_the_interval_covers_the_mean_of_a_normal_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        x = rng.normal(size=60)
        estimate = metrics.estimate(x, np.ones(60), metrics.draw_weights(60, 300, seed=trial))
        covered += estimate.low <= 0.0 <= estimate.high
    assert 0.9 <= covered / 200 <= 0.99


@pytest.mark.parametrize(
    ("predicted", "gold", "order", "expected"),
    [
        ("a b c", "a b c", 2, 1.0),
        ("a b c", "a b d", 2, 2 / 3),  # p1 = 2/3, p2 = (1 + 1)/(2 + 1)
        ("a", "a b", 1, np.exp(1 - 2)),  # too short by one word
        ("a a a", "a b c", 1, 1 / 3),  # a repeated word matches once
        ("x", "a", 1, 0.0),
        ("", "a", 2, 0.0),
        ("A man.", "a man .", 2, 1.0),  # case and the space before a stop do not matter
    ],
)
def test_bleu(predicted, gold, order, expected):
    assert metrics.bleu(predicted, gold, order) == pytest.approx(expected)
