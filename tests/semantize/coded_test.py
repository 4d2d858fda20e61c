import numpy as np
import polars as pl
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.semantize import coded


def decoded(log):
    """The columns of a coded log as words again."""
    places = pl.Series([*log.places, None], dtype=pl.String)
    return {
        "user_id": log.users.gather(log.user).to_list(),
        "source": [schema.SOURCES[number] for number in log.source],
        "action": [schema.ACTIONS[number] for number in log.action],
        "title": log.titles["title"].gather(log.title).to_list(),
        "category": log.titles["category"].gather(log.title).to_list(),
        "place": [places[int(number)] for number in log.place],
    }


def test_codes_stand_for_the_words_of_the_log(tmp_path, events):
    pq.write_table(events.to_arrow().cast(schema.EVENT_SCHEMA), tmp_path / "log.parquet", row_group_size=37)
    for table in (events.to_arrow(), coded.read(tmp_path / "log.parquet")):
        log = coded.code(table)
        for name, words in decoded(log).items():
            assert words == events[name].to_list(), name
        assert log.second.tolist() == events["time"].dt.epoch("s").to_list()
        assert np.array_equal(log.price, events["price"].to_numpy())
        assert log.event_index.tolist() == [number for _ in range(6) for number in range(120)]


def test_one_item_is_one_code_and_a_title_stands_in_for_an_id(event_rows):
    row = {"user_id": "a", "source": "poi", "action": "visit"}
    rows = [
        {**row, "title": title, "item_id": item} for title, item in ((("x"), "1"), ("y", "1"), ("x", None), ("x", None))
    ]
    item = coded.code(
        event_rows([{**one, "time": None} for one in rows])
        .with_columns(time=pl.lit(0).cast(pl.Datetime("ms")))
        .to_arrow()
    ).item
    assert item[0] == item[1]
    assert item[2] == item[3] != item[0]


def test_titles_are_pairs_with_their_category(event_rows):
    row = {"user_id": "a", "source": "poi", "action": "visit"}
    pairs = [("x", "A"), ("x", "B"), ("x", None), ("y", None), ("x", "A")]
    events = event_rows([{**row, "title": title, "category": category} for title, category in pairs])
    table = events.with_columns(time=pl.lit(0).cast(pl.Datetime("ms"))).to_arrow()
    log = coded.code(table)
    assert (
        list(zip(log.titles["title"].gather(log.title), log.titles["category"].gather(log.title), strict=True)) == pairs
    )
    distinct = coded.distinct_titles(table)
    assert sorted(distinct.rows(), key=str) == sorted(((*pair, pairs.count(pair)) for pair in set(pairs)), key=str)


def test_an_empty_log_has_no_codes(events):
    log = coded.code(events.head(0).to_arrow())
    assert len(log) == len(log.users) == log.titles.height == 0
