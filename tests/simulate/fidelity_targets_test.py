import math
import re

import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate.fidelity import measure, targets
from usergpt_jax.simulate.fidelity.targets import Measure

HEAD = "name,group,locale,target,tolerance,source,note\n"
NAMES = measure.names()
A, B = "men,Places", "urban,Rhythm"  # names and groups


def test_the_file_reads_for_every_locale_and_each_target_names_a_source():
    for locale in locales.names():
        for target in targets.load(locale, NAMES):
            assert math.isnan(target.target) or target.source, target.name


def test_the_file_has_a_row_of_every_statistic_in_every_group():
    rows = targets.load("cn", NAMES)
    assert {row.name for row in rows} == NAMES
    assert tuple(dict.fromkeys(row.group for row in rows)) == targets.GROUPS


def test_rows_of_another_locale_are_left_out():
    rows = targets.parse(HEAD + f"{A},,1,0.1,s,\n{B},cn,1,0.1,s,\n", "us", NAMES)
    assert [row.name for row in rows] == ["men"]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Measure(1.09), "ok"),
        (Measure(1.2), "MISS"),
        (Measure(1.2, 0.06), "ok"),  # within two standard errors of the tolerance
        (Measure(float("nan")), "-"),
    ],
)
def test_a_measure_is_judged_by_tolerance_and_sampling_error(found, verdict):
    (target,) = targets.parse(HEAD + f"{A},,1,0.1,s,\n", "cn", NAMES)
    assert targets.judge((target,), {"men": found})[0].verdict == verdict


def test_a_row_without_a_target_has_no_verdict():
    assert targets.judge(targets.parse(HEAD + f"{A},,,,,\n", "cn", NAMES), {"men": Measure(5.0)})[0].verdict == "-"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (f"{A},,x,0.1,s,", "row 1: target 'x': expected a number or nothing"),
        (f"{A},,1,,s,", "row 1: tolerance '': expected one of 0 or more beside each target"),
        (f"{A},,1,-1,s,", "row 1: tolerance '-1': expected one of 0 or more beside each target"),
        (f"{A},,1,1", "row 1: no value for 'source'"),
        (f"{A},,1,1,s,\n{A},,1,1,s,", "row 2: 'men' stands twice"),
        ("mean,Places,,1,1,s,", "row 1: unknown statistic 'mean'; expected a name that launch/fidelity.py measures"),
        ("share of view,Places,us,1,1,s,", "row 1: unknown statistic 'share of view'; expected a name that launch/"),
        ("share of view,Places,,1,1,s,", "measures, such as 'share of views'"),
        ("men,Place,,1,1,s,", "row 1: unknown group 'Place'; expected one of People: age and sex; People: marriage"),
        ("men,Places,de,1,1,s,", "row 1: unknown locale 'de'; expected one of cn, us, or nothing for all"),
    ],
)
def test_a_bad_row_is_named(row, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        targets.parse(HEAD + row + "\n", "cn", NAMES)
