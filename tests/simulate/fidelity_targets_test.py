import math
import re

import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate.fidelity import targets
from usergpt_jax.simulate.fidelity.targets import Measure

HEAD = "name,group,locale,target,tolerance,source,note\n"


def test_the_file_reads_for_every_locale_and_each_target_names_a_source():
    for locale in locales.names():
        for target in targets.load(locale):
            assert math.isnan(target.target) or target.source, target.name


def test_rows_of_another_locale_are_left_out():
    rows = targets.parse(HEAD + "a,g,,1,0.1,s,\nb,g,cn,1,0.1,s,\n", "us")
    assert [row.name for row in rows] == ["a"]


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        (Measure(1.09), "ok"),
        (Measure(1.2), "MISS"),
        (Measure(1.2, 0.06), "ok"),  # within two standard errors of the tolerance
        (Measure(float("nan")), "-"),
    ],
)
def test_a_measure_is_judged_by_tolerance_and_sampling_error(measure, verdict):
    (target,) = targets.parse(HEAD + "a,g,,1,0.1,s,\n", "cn")
    assert targets.judge((target,), {"a": measure})[0].verdict == verdict


def test_a_row_without_a_target_has_no_verdict():
    assert targets.judge(targets.parse(HEAD + "a,g,,,,,\n", "cn"), {"a": Measure(5.0)})[0].verdict == "-"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a,g,,x,0.1,s,", "row 1: target 'x': expected a number or nothing"),
        ("a,g,,1,,s,", "row 1: tolerance '': expected one of 0 or more beside each target"),
        ("a,g,,1,-1,s,", "row 1: tolerance '-1': expected one of 0 or more beside each target"),
        ("a,g,,1,1", "row 1: no value for 'source'"),
        ("a,g,,1,1,s,\na,g,,1,1,s,", "row 2: 'a' stands twice"),
    ],
)
def test_a_bad_row_is_named(row, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        targets.parse(HEAD + row + "\n", "cn")
