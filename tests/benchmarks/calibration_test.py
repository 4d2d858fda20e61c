import numpy as np
import pytest

from benchmarks import calibration


def test_calibration_error_is_the_gap_between_confidence_and_accuracy_by_bin():
    # Two answers at 0.9, one right: gap 0.4; two at 0.1 + 0.2, one right: gap 0.2; each bin holds half.
    confidence = np.array([0.9, 0.9, 0.1 + 0.2, 0.3])
    assert calibration.calibration_error(confidence, np.array([1, 0, 0, 1])) == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)


def test_a_sure_and_right_answer_has_no_error():
    found = calibration.figures([{"pet": {"cat": 1.0, "dog": 0.0, "NA": 0.0}}], [{"pet": "cat"}])
    assert found == {"accuracy": 1.0, "brier": 0.0, "ece": 0.0}


def test_a_wrong_answer_costs_its_squares():
    # Brier: 0.6^2 + (0.4 - 1)^2 = 0.72.
    found = calibration.figures([{"pet": {"cat": 0.6, "dog": 0.4, "NA": 0.0}}], [{"pet": "dog"}])
    assert found["accuracy"] == 0.0
    assert found["brier"] == pytest.approx(0.72)
    assert found["ece"] == pytest.approx(0.6)
