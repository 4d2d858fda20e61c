import pathlib

import pytest
from ml_collections import ConfigDict

from tests.semantize.ingest.logs import mapping, write
from usergpt_jax.core.config import ConfigError
from usergpt_jax.semantize.ingest.event_map import default_map, load_map, make_map

MAPS = pathlib.Path(__file__).parents[3] / "configs/maps"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "x"}, "unknown key 'colour'"),
        ({"user_id": ""}, "map.user_id: expected a column name"),
        ({"action": "buy"}, "map.action: expected one of search, click"),
        ({"action_column": "act"}, "give either action or action_column, got 'purchase' and 'act'"),
        (
            {"action": "", "action_column": "a", "action_values": {"x": "buy"}},
            "map.action_values: expected one of search",
        ),
        ({"negative_quantity": "flip"}, "map.negative_quantity: expected one of drop, cancel, keep, got 'flip'"),
        ({"title": 3}, "map.title: expected a column name or a tuple of them, got 3"),
        ({"cancel_column": "no"}, "cancel_prefix together"),
        ({"price_scale": 0.0}, "map.price_scale: expected above 0, got 0.0"),
        ({"time_zone": "Mars/Base"}, "map.time_zone: expected an IANA name such as Europe/Berlin, got 'Mars/Base'"),
        ({"latest": "soon"}, "map.latest: expected a date such as 2025-01-31, got 'soon'"),
        ({"scrub": ("names",)}, "map.scrub: expected one of email, phone, card, address, got 'names'"),
        ({"keep": {"type": "track"}}, "map.keep: expected a tuple of values for 'type', got 'track'"),
        ({"keep": ("type",)}, "map.keep: expected a dict"),
        ({"delimiter": ";;"}, "map.delimiter: expected one ASCII character, got ';;'"),
        ({"encoding": "win-1252x"}, "map.encoding: expected a Python text encoding such as cp1252, got 'win-1252x'"),
        ({"encoding": "base64"}, "map.encoding: expected a Python text encoding such as cp1252, got 'base64'"),
        ({"encoding": ""}, "map.encoding: expected a Python text encoding such as cp1252, got ''"),
        ({"hash_user_id": "yes"}, "map.hash_user_id: expected bool, got 'yes'"),
    ],
)
def test_a_mapping_at_fault_is_refused_by_key(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        mapping(**changes)
    assert "\n" not in str(caught.value)


def test_every_shipped_mapping_loads():
    for path in sorted(MAPS.glob("*.py")):
        assert load_map(path).user_id, path


def test_a_config_dict_and_a_dict_make_the_same_mapping():
    plain = {"user_id": "u", "time": "t", "title": ("a", "b"), "source": "poi", "action": "visit"}
    assert make_map(plain) == make_map(ConfigDict(plain))
    assert make_map(plain).columns()["title"] == ("a", "b")


def test_values_that_are_numbers_or_hold_dots_are_values_like_others():
    by_column = {"action": "", "action_column": "act", "keep": {"a.b": ("x",)}}
    made = mapping(**by_column, action_values={1: "click", "2.0": "cart"})
    assert made.action_values == (("1", "click"), ("2.0", "cart"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "map.py: a mapping file defines get_config"),
        ("def get_config(): return 3\n", "map.py: get_config.. must return a ConfigDict or a dict"),
        ("def get_config(): return {'tittle': 'x'}\n", "map.py: config.map: unknown key 'tittle'"),
        ("1 +\n", "map.py: cannot be read as a mapping file: SyntaxError"),
        ("def get_config(): return 1 / 0\n", "map.py: cannot be read as a mapping file: ZeroDivisionError"),
    ],
)
def test_a_mapping_file_at_fault_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_map(write(tmp_path, text, "map.py"))
    assert "\n" not in str(caught.value)


def test_default_map_scrubs_and_does_not_hash():
    assert default_map().scrub == ("email", "phone", "card", "address")
    assert default_map().hash_user_id is False


def test_the_page_about_ingest_names_every_key():
    page = (MAPS.parents[1] / "docs/ingest.md").read_text(encoding="utf-8")
    assert [key for key in default_map() if f"`{key}`" not in page] == []
