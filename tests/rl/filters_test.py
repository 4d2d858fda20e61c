import numpy as np
import pytest

from usergpt_jax.rl.advantage import ADVANTAGE
from usergpt_jax.rl.filters import dual_filter

TOTAL = np.array([[1.0, 1.2, 0.0], [1.9, 1.9, 1.9], [0.2, 0.4, 0.3]])
FORMED = np.array([[True, True, False], [True] * 3, [True] * 3])
NONE = np.zeros((3, 3), bool)
BOUNDS = {"eps_low": 0.5, "eps_high": 1.8}


def test_the_example_of_the_docstring():
    kept = dual_filter(TOTAL, FORMED, NONE, sample_filter=True, group_filter=True, **BOUNDS)
    assert kept.keep.tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert (kept.dropped_format, kept.groups_poor, kept.groups_learnt, kept.groups_thin) == (1, 1, 1, 0)


def test_without_filters_everything_is_kept():
    kept = dual_filter(TOTAL, FORMED, NONE, sample_filter=False, group_filter=False, **BOUNDS)
    assert kept.keep.all()


def test_the_sample_filter_alone_drops_form_and_length_and_counts_them_apart():
    truncated = np.array([[False, False, True], [True, False, False], [False] * 3])
    kept = dual_filter(TOTAL, FORMED, truncated, sample_filter=True, group_filter=False, **BOUNDS)
    assert kept.keep.sum() == 7
    assert (kept.dropped_length, kept.dropped_format) == (2, 0)


def test_the_group_mean_is_over_the_samples_that_are_left():
    # Over all three the mean is 0.73; over the two left it is 1.1, and over 1.0 the group counts as learnt.
    kept = dual_filter(
        TOTAL[:1], FORMED[:1], NONE[:1], sample_filter=True, group_filter=True, eps_low=0.0, eps_high=1.0
    )
    assert kept.groups_learnt == 1


def test_a_group_with_one_sample_left_holds_nothing_to_compare():
    formed = np.array([[True, False, False]])
    kept = dual_filter(TOTAL[:1], formed, NONE[:1], sample_filter=True, group_filter=False, **BOUNDS)
    assert not kept.keep.any()
    assert kept.groups_thin == 1


def test_grpo_divides_by_the_spread_of_what_counts():
    # mean 2, std sqrt(2/3) = 0.8165
    assert ADVANTAGE["grpo"](np.array([[1.0, 2.0, 3.0]]), np.ones((1, 3), bool))[0] == pytest.approx(
        [-1.2247, 0, 1.2247], abs=1e-3
    )
    counted = np.array([[True, True, False]])
    assert ADVANTAGE["grpo"](np.array([[1.0, 2.0, 30.0]]), counted)[0] == pytest.approx([-1, 1, 0], abs=1e-3)


def test_dr_grpo_does_not():
    assert ADVANTAGE["dr_grpo"](np.array([[1.0, 2.0, 6.0]]), np.ones((1, 3), bool))[0].tolist() == [-2, -1, 3]


@pytest.mark.parametrize("name", ADVANTAGE)
def test_every_advantage_is_zero_sum_finite_and_follows_a_permutation_of_its_group(name):
    rng = np.random.default_rng(0)
    total, counted = rng.random((5, 8)), rng.random((5, 8)) < 0.7
    total[0], counted[1] = 1.0, False  # equal rewards; nothing counted
    advantage = ADVANTAGE[name](total, counted)
    assert np.isfinite(advantage).all()
    assert advantage.sum(1) == pytest.approx(0, abs=1e-5)
    assert not advantage[~counted].any()
    order = rng.permutation(8)
    assert ADVANTAGE[name](total[:, order], counted[:, order]) == pytest.approx(advantage[:, order], abs=1e-6)
