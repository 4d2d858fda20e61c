import numpy as np
import pytest

from usergpt_jax.simulate import fixed


def test_log_factors_are_64ths_of_a_nat():
    assert fixed.log_units(1.0) == 0
    assert fixed.log_units(np.e) == 64
    assert fixed.log_units(0.0) == fixed.LOG_ZERO


def test_weights_undo_log_factors():
    rate = 12.0  # sessions a year
    weight = fixed.WEIGHTS[fixed.log_units(rate) - fixed.LOG_ZERO]
    assert weight == pytest.approx(rate * fixed.UNIT, rel=0.01)
    assert fixed.WEIGHTS[0] == 0
    assert fixed.WEIGHTS.max() * 512 < 2**31  # the sum over a library fits 32 bits


def test_cumulative_chances_end_at_the_total():
    edges = fixed.cumulative(np.array([[1.0, 1.0, 2.0], [0.0, 0.0, 0.0]]), 16)
    assert edges.tolist() == [[4, 8, 16], [0, 0, 16]]


def test_a_sampler_gives_each_entry_its_share():
    table = fixed.sampler(np.array([[1.0, 0.0, 3.0]]), 1000)
    assert np.bincount(table[0], minlength=3).tolist() == [250, 0, 750]


def test_normal_quantiles_have_unit_variance():
    assert fixed.NORMAL.mean() == 0
    assert fixed.NORMAL.std() / 64 == pytest.approx(1.0, abs=0.01)
