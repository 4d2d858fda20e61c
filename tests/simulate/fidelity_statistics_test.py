import math

import numpy as np
import pytest

from usergpt_jax.simulate.fidelity import prediction, statistics
from usergpt_jax.simulate.fidelity.two_sample import auc

RNG = np.random.default_rng(0)


def whole(*values):
    return np.array(values, np.int64)


def test_gaps_stay_within_a_group():
    group, gap = statistics.gaps(whole(0, 0, 0, 1, 1), whole(10, 12, 19, 3, 4))
    assert group.tolist() == [0, 0, 1]
    assert gap.tolist() == [2, 7, 1]


def test_burstiness_is_minus_one_for_a_clock_and_near_zero_for_a_poisson_process():
    clock = np.full(50, 7)
    poisson = np.round(RNG.exponential(100_000, 4000)).astype(np.int64)
    group = np.repeat(whole(0, 1), [50, 4000])
    clocked, random, absent = statistics.burstiness(group, np.concatenate([clock, poisson]), 3)
    assert clocked == pytest.approx(-1.0)
    assert random == pytest.approx(0.0, abs=0.03)
    assert math.isnan(absent)


def test_burstiness_follows_the_finite_size_form():
    # Intervals 1 and 3: mean 2, sd 1, r = 0.5, n = 2: (sqrt 3 / 2 - 1) / ((sqrt 3 - 2) / 2 + 1) = -0.1547.
    assert statistics.burstiness(whole(0, 0), whole(1, 3), 1)[0] == pytest.approx(-0.15470, abs=1e-5)


def test_memory_is_the_correlation_of_neighbours():
    # Pairs (1, 2), (2, 3), (3, 4): a straight line. Group 1: pairs (1, 9), (9, 1), (1, 9): its opposite.
    intervals = whole(1, 2, 3, 4, 1, 9, 1, 9)
    rising, alternating = statistics.memory(np.repeat(whole(0, 1), 4), intervals, 2)
    assert rising == pytest.approx(1.0)
    assert alternating == pytest.approx(-1.0)
    independent = RNG.integers(1, 1000, 5000)
    assert statistics.memory(np.zeros(5000, np.int64), independent, 1)[0] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.3])
def test_zipf_exponent_of_an_exact_zipf_law(exponent):
    counts = np.round(1e9 / np.arange(1, 2001) ** exponent).astype(np.int64)
    assert statistics.zipf_exponent(RNG.permutation(counts), 1, 1000) == pytest.approx(exponent, abs=1e-3)


def test_zipf_exponent_needs_five_ranks():
    assert math.isnan(statistics.zipf_exponent(whole(5, 3, 1), 1, 1000))


def test_jensen_shannon_divergence_in_bits():
    assert statistics.jensen_shannon(np.array([1.0, 1.0]), np.array([5.0, 5.0])) == 0.0
    assert statistics.jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == pytest.approx(1.0)
    # (1, 0) against (1/2, 1/2), middle (3/4, 1/4): (log2 4/3 + (log2 2/3 + log2 2) / 2) / 2 = 0.3113.
    assert statistics.jensen_shannon(np.array([2.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(0.31128, abs=1e-5)


def test_kolmogorov_smirnov_distance():
    # At 2 all of the first and a third of the second are reached.
    assert statistics.kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(2 / 3)
    assert math.isnan(statistics.kolmogorov_smirnov(np.array([]), np.array([1.0])))


def test_transitions_are_counted_within_groups():
    counts = statistics.transitions(whole(0, 0, 0, 1, 1), whole(0, 1, 1, 0, 0), 2)
    assert counts.tolist() == [[1, 1], [0, 1]]
    assert statistics.row_shares(counts).tolist() == [[0.5, 0.5], [0, 1]]


def test_weighted_share_mean_median_and_fifths():
    value, error = statistics.share(np.array([True, False, False]), np.array([2.0, 1.0, 1.0]))
    assert value == pytest.approx(0.5)
    assert error > 0
    assert statistics.mean_with_error(np.array([1.0, 3.0]), np.array([3.0, 1.0]))[0] == pytest.approx(1.5)
    assert statistics.weighted_quantile(np.array([5.0, 1.0, 9.0]), np.array([1.0, 1.0, 8.0]), 0.5) == 9.0
    fifths = statistics.fifth_means(np.arange(10.0), np.ones(10))
    assert fifths.tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]


def test_spread_of_exponential_times_is_one():
    assert statistics.variation(RNG.exponential(3.0, 100_000)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_classifier_cannot_tell_equal_samples_apart_but_shifted_ones(kind):
    one, same, shifted = (RNG.normal(shift, 1, (2000, 3)) for shift in (0, 0, 2))
    groups = np.arange(2000)
    assert auc(one, same, groups, groups, kind) == pytest.approx(0.5, abs=0.05)
    assert auc(one, shifted, groups, groups, kind) > 0.97


def test_missing_values_do_not_stop_the_classifier():
    one, other = RNG.normal(0, 1, (200, 2)), RNG.normal(0, 1, (200, 2))
    one[:, 1], other[:, 1] = np.nan, np.nan
    assert 0.3 < auc(one, other, np.arange(200), np.arange(200), "logistic") < 0.7


def test_next_category_of_a_cycle_is_certain_and_of_noise_is_popularity():
    user = np.repeat(np.arange(40), 30)
    cycle = np.tile(np.arange(30) % 3, 40)
    assert prediction.next_hits(user, cycle, (1,)) == (1.0,)
    noise = RNG.integers(0, 10, len(user))
    first, five = prediction.next_hits(user, noise, (1, 5))
    assert first == pytest.approx(0.1, abs=0.06)
    assert five == pytest.approx(0.5, abs=0.12)


def test_nothing_to_predict_is_no_number():
    assert all(map(math.isnan, prediction.next_hits(whole(0, 1), whole(0, 0), (1, 5))))
