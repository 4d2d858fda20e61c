import re

import polars as pl
import pytest

from tests.semantize.ingest.logs import changed, dropped, mapping, write, write_jsonl
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest.batches import columns
from usergpt_jax.semantize.ingest.log_files import find
from usergpt_jax.semantize.ingest.read_log import read_events

ROW = {"uid": "a", "ts": "2025-01-01", "name": "Tea"}
UNROLL = "write unroll: 'x' to make an event of each element, or map another column"


@pytest.mark.parametrize(
    ("value", "key", "message"),
    [
        (["Home"], "category", f"holds a list{{}}; {UNROLL}"),
        ([{"name": "Home"}], "category", f"holds a list{{}}; {UNROLL}"),
        ({"city": "Berlin"}, "place", "holds an object{}; map a value in it by its path, such as 'x.city'"),
        ({"$date": "2025-01-01"}, "time", "holds an object{}; map a value in it by its path, such as 'x.$date'"),
        ({"id": 1}, "user_id", "holds an object{}; map a value in it by its path, such as 'x.id'"),
        ({"eur": 2.5}, "price", "holds an object{}; map a value in it by its path, such as 'x.eur'"),
        ({"en": "A"}, "title", "holds an object{}; map a value in it by its path, such as 'x.en'"),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_column_of_objects_or_lists_stops_and_says_what_to_write(tmp_path, value, key, message, kind):
    rows = [{**ROW, "x": None}, {**ROW, "x": value}]
    write_jsonl(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    file = tmp_path / f"log.{kind}"
    where = " (row 2)" if kind == "jsonl" else ""
    expected = f"{file}: mapped column 'x' {message.format(where)}"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        read_events(file, mapping(**{key: "x"}))


def test_an_object_or_list_in_some_rows_is_blanked_and_counted(tmp_path):
    titles = ["Tea", {"en": "A"}, "Rug", ["Cup"], {}, []]
    rows = [{**ROW, "name": title, "cat": title, "other": "Lamp" if title == ["Cup"] else ""} for title in titles]
    events, report = read_events(write_jsonl(tmp_path, rows), mapping(title=("name", "other"), category="cat"))
    assert events.select("title", "category").rows() == [("Tea", "Tea"), ("Rug", "Rug"), ("Lamp", None)]
    assert dropped(report) == {"no title": 3}
    reason = "is an object or list where others hold a text: blanked"
    assert changed(report) == {f"name {reason}": 2, f"cat {reason}": 2}
    assert report.changed[f"name {reason}"].examples[0] == ("log.jsonl", 2, '{"en": "A"}')


@pytest.mark.parametrize(
    ("key", "good", "message"),
    [
        ("price", 2.5, "unparsable price"),
        ("time", "2025-01-01", "unparsable time"),
        ("action_column", "click", "unknown"),
    ],
)
def test_an_object_that_is_no_number_time_or_action_stops_at_its_row(tmp_path, key, good, message):
    file = write_jsonl(tmp_path, [{**ROW, "x": good}, {**ROW, "x": {"a": 1}}])
    by_column = {"action": ""} if key == "action_column" else {}
    with pytest.raises(InputError, match=rf"log.jsonl: row 2: column 'x': {message}.* '{{\"a\": 1}}'; expected "):
        read_events(file, mapping(**by_column, **{key: "x"}))


def test_a_list_of_texts_unrolls_to_its_elements(tmp_path):
    rows = [{**ROW, "tags": ["Home", "Tea"]}, {**ROW, "tags": None}]
    write_jsonl(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    for kind in ("jsonl", "parquet"):
        events, _ = read_events(tmp_path / f"log.{kind}", mapping(category="tags", unroll="tags"))
        assert events["category"].to_list() == ["Home", "Tea", None], kind


def test_a_mapped_column_that_stands_twice_stops_and_another_does_not(tmp_path):
    text = "uid,ts,name,x,x\na,2025-01-01,Tea,1,2\n"
    assert read_events(write(tmp_path, text), mapping())[0].height == 1
    with pytest.raises(InputError, match=r"log.csv: mapped column 'x' stands twice in the header; rename one of them$"):
        read_events(tmp_path / "log.csv", mapping(keep={"x": ("1",)}))


def test_columns_are_named_by_path(tmp_path):
    rows = [{"a": 1, "b": {"c": 2, "d": [1]}, "e": [{"f": 1}]}]
    write_jsonl(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    for name in ("log.jsonl", "log.parquet"):
        file = find(tmp_path / name)[0][0]
        assert columns(file, "", ",").names == ["a", "b.c", "b.d", "e"]
        assert set(columns(file, "", ",").nested) == {"b", "b.d", "e"}
        assert columns(file, "e", ",").names == ["a", "b.c", "b.d", "e", "e.f"]
