import polars as pl
import pytest
from ml_collections import ConfigDict

from usergpt_jax.core.config import ConfigError, to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import refine
from usergpt_jax.semantize.refiners.choose import CACHE, ChosenRefiner, choose

PAIRS = pl.DataFrame({"title": ["Woodrow Shop Display Shelf Size XL", "Movit Yoga Mat"], "category": ["Shelf", None]})


def chosen(kind, run):
    endpoint = {
        "url": "", "model": "", "key_variable": "", "titles_per_request": 16, "concurrency": 8,
        "timeout_seconds": 60.0, "max_attempts": 4, "thinking_tokens": 0,
    }  # fmt: skip
    section = ConfigDict({"kind": kind, "path": "", "endpoint": endpoint})
    return choose(to_dataclass(ChosenRefiner, section, "refine"), run)


def test_the_table_is_what_it_was(tmp_path):
    assert chosen("table", tmp_path)(PAIRS).equals(refine.refine_table(PAIRS))
    assert not (tmp_path / CACHE).exists()


def test_rules_keep_the_contract_and_their_answers(tmp_path):
    refiner = chosen("rules", tmp_path)
    first = refiner(PAIRS)
    assert first.columns == refine.refine_table(PAIRS).columns
    assert first.rows() == [
        ("Woodrow Shop Display Shelf Size XL", "Shelf", "Shelf", "size XL", None, "Woodrow"),
        ("Movit Yoga Mat", None, "Yoga Mat", None, None, "Movit"),
    ]
    assert refiner.counts == {"refined_known": 0, "refined_made": 2}
    again = chosen("rules", tmp_path)
    assert again(PAIRS).equals(first)
    assert again.counts == {"refined_known": 2, "refined_made": 0}
    assert again.identity == refiner.identity != chosen("table", tmp_path).identity


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match="kind"):
        chosen("magic", tmp_path)
    with pytest.raises(InputError, match="no refiner here"):
        chosen("lm", tmp_path)
    with pytest.raises(InputError, match="url"):
        chosen("endpoint", tmp_path)
