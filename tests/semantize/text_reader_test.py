import json

import polars as pl
import pytest
from ml_collections import ConfigDict

from configs import quickstart
from usergpt_jax.core.config import ConfigError
from usergpt_jax.semantize.survey import Texts
from usergpt_jax.semantize.text_reader import READING, reader_like, text_reader

TEXTS = Texts(
    pl.DataFrame({"title": ["Zhuangmei Lipstick"], "category": ["Own Shop > Red"], "n": [3]}), pl.Series(["Chengdu"])
)


def config(tmp_path, **categories) -> ConfigDict:
    made = quickstart.get_config()
    made.run_dir = str(tmp_path)
    made.categories.update(categories)
    return made


def test_a_reader_like_another_gives_the_same_names(tmp_path):
    (tmp_path / "own.csv").write_text("category,leaf\nOwn Shop > Red,Lipstick\n")
    first = text_reader(config(tmp_path, map=True, file=str(tmp_path / "own.csv")))
    first.save(tmp_path)
    again = reader_like(json.loads((tmp_path / READING).read_text()), "hpr18", tmp_path, changed={})
    assert again.decides == first.decides
    titles = first.lexicon(TEXTS).titles
    assert titles["entity"].to_list() == ["Lipstick"]
    assert again.lexicon(TEXTS).titles.equals(titles)
    plain = reader_like(
        json.loads((tmp_path / READING).read_text()), "hpr18", tmp_path, {"categories": {"map": False, "file": ""}}
    )
    assert plain.lexicon(TEXTS).titles["entity"].to_list() == ["Red"]


def test_a_map_of_categories_that_nobody_would_read_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"categories\.file: 'own\.csv' is given, but config\.categories\.map is False"
    ):
        text_reader(config(tmp_path, file="own.csv"))
