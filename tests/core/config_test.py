import dataclasses

import pytest
from ml_collections import ConfigDict

from usergpt_jax.core.config import SECTIONS, ConfigError, run_config, to_dataclass


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float


@dataclasses.dataclass(frozen=True)
class Outer:
    n: int
    names: tuple[str, ...]
    inner: Inner
    flag: bool


def good():
    return ConfigDict({"n": 1, "names": ("a", "b"), "inner": {"rate": 1}, "flag": True})


def test_a_section_becomes_a_frozen_dataclass_with_nested_ones():
    assert to_dataclass(Outer, good(), "s") == Outer(1, ("a", "b"), Inner(1.0), True)


def test_an_unknown_key_is_refused_by_name():
    config = good()
    config.inner.rat = 2.0
    with pytest.raises(ConfigError, match=r"config\.s\.inner: unknown key 'rat'"):
        to_dataclass(Outer, config, "s")


def test_a_missing_key_is_named():
    config = good()
    del config["n"]
    with pytest.raises(ConfigError, match="'n' is missing"):
        to_dataclass(Outer, config, "s")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n", 1.5, r"config\.s\.n: expected int, got 1\.5"),
        ("n", True, r"config\.s\.n: expected int, got True"),
        ("names", "ab", r"config\.s\.names: expected a tuple"),
        ("flag", 1, r"config\.s\.flag: expected bool, got 1"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_key(key, value, message):
    config = ConfigDict({**good().to_dict(), key: value}, convert_dict=True)
    with pytest.raises(ConfigError, match=message):
        to_dataclass(Outer, config, "s")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(value):
    config = ConfigDict({**good().to_dict(), "inner": {"rate": value}}, convert_dict=True)
    with pytest.raises(ConfigError, match=rf"config\.s\.inner\.rate: expected a finite number, got {value}"):
        to_dataclass(Outer, config, "s")


def test_the_top_of_a_config_needs_run_dir_seed_and_schema():
    sections = {name: {} for name in SECTIONS}
    with pytest.raises(ConfigError, match="'seed' is missing"):
        run_config(ConfigDict({"run_dir": "r", "tag_schema": "hpr18", **sections}))
    with pytest.raises(ConfigError, match="unknown key 'simluate'"):
        run_config(ConfigDict({"run_dir": "r", "tag_schema": "hpr18", "seed": 0, "simluate": {}, **sections}))
