import json
import pathlib
import re

import polars as pl
import pytest

from tests.semantize.ingest.logs import DAMAGED, dropped, mapping, write, write_jsonl
from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest.event_map import load_map
from usergpt_jax.semantize.ingest.read_log import read_events

REAL_LOG = pathlib.Path(__file__).parents[4] / "shared/realdata/online_retail.parquet"
MAPS = pathlib.Path(__file__).parents[3] / "configs/maps"


def test_csv_jsonl_and_parquet_give_the_same_events(tmp_path):
    frame = pl.DataFrame(
        {
            "uid": ["b", "a", "a"],
            "ts": ["2025-01-02 10:00:00", "2025-01-03", "2025-01-01T08:30:00"],
            "name": ["Tea", "中文", "Rug"],
        }
    )
    frame.write_csv(tmp_path / "log.csv")
    frame.write_ndjson(tmp_path / "log.jsonl")
    frame.write_parquet(tmp_path / "log.parquet")
    made = [read_events(tmp_path / f"log.{kind}", mapping())[0] for kind in ("csv", "jsonl", "parquet")]
    assert made[0].equals(made[1])
    assert made[0].equals(made[2])
    assert made[0]["title"].to_list() == ["Rug", "中文", "Tea"]
    schema.check_columns(made[0].to_arrow().schema, schema.EVENT_SCHEMA, "events")


def test_a_missing_mapped_column_is_named(tmp_path):
    file = write(tmp_path, "uid,ts\na,2025-01-01\n")
    with pytest.raises(InputError, match="mapped column 'name' is missing; the log has uid, ts"):
        read_events(file, mapping())


@pytest.mark.parametrize("bad", ["yesterday", "2025-13-01", "0"])
def test_an_unparsable_time_stops_with_row_and_value(tmp_path, bad):
    file = write(tmp_path, f"uid,ts,name\na,2025-01-01,Tea\n,never,Tea\nb,{bad},Tea\n")
    with pytest.raises(InputError, match=rf"row 3: column 'ts': unparsable time '{bad}'") as caught:
        read_events(file, mapping())
    assert "\n" not in str(caught.value)


def test_words_for_nothing_are_no_value(tmp_path):
    rows = ["a,2025-01-01,Tea", "nan,2025-01-01,Tea", "NULL,2025-01-01,Tea", "b,NaT,Tea", "b,,Tea", "b,2025-01-01,None"]
    events, report = read_events(write(tmp_path, "\n".join(["uid,ts,name", *rows]) + "\n"), mapping())
    assert events["user_id"].to_list() == ["a"]
    assert dropped(report) == {"no user_id": 2, "no title": 1, "no time": 2}


def test_a_price_that_no_float32_holds_is_refused(tmp_path):
    file = write(tmp_path, "uid,ts,name,price\na,2025-01-01,Tea,1e43\n")
    with pytest.raises(InputError, match="row 1: column 'price': unparsable price '1e43'"):
        read_events(file, mapping(price="price"))


@pytest.mark.parametrize("text", ["", "uid,ts,name\n"])
def test_an_empty_log_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="the log is empty"):
        read_events(write(tmp_path, text), mapping())


def test_a_log_without_any_event_says_why(tmp_path):
    with pytest.raises(InputError, match=r"none of 1 rows is an event \(no user_id: 1\)"):
        read_events(write(tmp_path, "uid,ts,name\n,2025-01-01,Tea\n"), mapping())


def test_a_user_with_one_event_is_kept(tmp_path):
    events, report = read_events(write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\n"), mapping())
    assert (events.height, report.users, report.dropped) == (1, 1, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", b"uid,ts,name\na,2025-01-01,T\xe9a\n"),
        ("log.jsonl", b'{"uid":"a","ts":"2025-01-01","name":"T\xe9a"}\n'),
    ],
)
def test_bytes_that_are_not_utf8_are_replaced_and_counted(tmp_path, name, text):
    events, report = read_events(write(tmp_path, text, name), mapping())
    assert events["title"].to_list() == ["T\N{REPLACEMENT CHARACTER}a"]
    assert report.changed[DAMAGED].examples == ((name, 1, "T\N{REPLACEMENT CHARACTER}a"),)


def test_exact_duplicates_are_dropped_and_counted(tmp_path):
    text = "uid,ts,name\n" + "a,2025-01-01,Tea\n" * 3 + "a,2025-01-01,Rug\n"
    events, report = read_events(write(tmp_path, text), mapping())
    assert events["title"].to_list() == ["Tea", "Rug"]
    assert report.dropped["exact duplicate of an earlier row"].count == 2
    assert report.dropped["exact duplicate of an earlier row"].examples == (
        ("log.csv", 2, "Tea"),
        ("log.csv", 3, "Tea"),
    )


def test_report_adds_up_and_is_saved(tmp_path):
    text = "uid,ts,name\n,2025-01-01,Tea\na,2025-01-01,\na,2025-01-01,Tea\na,2025-01-01,Tea\n"
    _, report = read_events(write(tmp_path, text), mapping(currency="EUR"))
    assert report.rows_read == report.events + sum(dropped(report).values()) == 4
    report.save(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["dropped"]["no title"]["count"] == 1
    assert "prices in EUR" in report.lines()[0]


@pytest.mark.skipif(
    not REAL_LOG.exists(), reason="needs the real log shared/realdata/online_retail.parquet beside the repository"
)
def test_online_retail_is_read_with_every_row_accounted_for():
    events, report = read_events(REAL_LOG, load_map(MAPS / "online_retail.py"))
    assert report.rows_read == 541_909 == report.events + sum(dropped(report).values())
    assert report.dropped["no user_id"].count == 135_080
    assert report.changed["purchase cancelled in part"].count > 1000
    assert events["user_id"].str.contains(r"^\d{5}$").all()
    assert (events["quantity"] > 0).all()
    assert re.match("2010-12-01", report.first)


def test_a_parquet_log_keeps_types_and_its_null_ids_are_whole_numbers(tmp_path):
    frame = pl.DataFrame({"uid": [17850.0, None], "ts": ["2025-01-01"] * 2, "name": ["Tea"] * 2, "p": [1.5, 2.0]})
    frame.write_parquet(tmp_path / "log.parquet")
    events, _ = read_events(tmp_path / "log.parquet", mapping(price="p"))
    assert events.select("user_id", "price").rows() == [("17850", 1.5)]


def test_dotted_paths_reach_into_objects_and_structs(tmp_path):
    rows = [
        {"uid": "a", "ts": "2025-01-01", "p": {"name": "Tea", "of": {"price": 3.5}}},
        {"uid": "a", "ts": "2025-01-02", "p": {"name": "Rug", "of": {"price": 30.0}}},
    ]
    write_jsonl(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    for kind in ("jsonl", "parquet"):
        events, _ = read_events(tmp_path / f"log.{kind}", mapping(title="p.name", price="p.of.price"))
        assert events.select("title", "price").rows() == [("Tea", 3.5), ("Rug", 30.0)], kind


def test_a_key_that_holds_the_dots_itself_goes_before_the_path(tmp_path):
    rows = [{"uid": "a", "ts": "2025-01-01", "p.name": "flat", "p": {"name": "deep"}}]
    write_jsonl(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    for kind in ("jsonl", "parquet"):
        assert read_events(tmp_path / f"log.{kind}", mapping(title="p.name"))[0]["title"].to_list() == ["flat"], kind


def test_lists_unroll_to_one_event_an_element_and_rows_add_up(tmp_path):
    rows = [
        {"uid": "a", "ts": "2025-01-01", "name": "", "items": [{"name": "Tea", "n": 2}, {"name": "Rug", "n": 1}]},
        {"uid": "a", "ts": "2025-01-02", "name": "Lamp", "items": []},
        {"uid": "a", "ts": "2025-01-03", "name": "Vase", "items": None},
    ]
    write_jsonl(tmp_path, rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    for kind in ("jsonl", "parquet"):
        unrolled = mapping(title=("items.name", "name"), quantity="items.n", unroll="items")
        events, report = read_events(tmp_path / f"log.{kind}", unrolled)
        expected = [("Tea", 2.0), ("Rug", 1.0), ("Lamp", None), ("Vase", None)]
        assert events.select("title", "quantity").rows() == expected, kind
        assert (report.rows_read, report.rows_unrolled, report.events) == (3, 1, 4), kind


def test_a_csv_has_no_lists_to_unroll(tmp_path):
    file = write(tmp_path, "uid,ts,name,items\na,2025-01-01,Tea,x\n")
    with pytest.raises(InputError, match=r"log.csv: csv has no lists to unroll; expected JSONL or Parquet"):
        read_events(file, mapping(unroll="items"))


def test_segment_track_calls_are_read_by_the_shipped_mapping(tmp_path):
    def call(event, second, **properties):
        time = f"2025-01-31T18:30:{second:02d}Z"
        return {"type": "track", "userId": "u", "event": event, "properties": properties, "timestamp": time}

    calls = [
        call("Products Searched", 0, query="green tea"),
        call("Product Viewed", 1, name="Tea", category="Food", price=3.5, product_id="p1"),
        call("Product Added", 2, name="Tea", price=3.5, quantity=2),
        call("Product Added to Wishlist", 3, name="Rug"),
        call(
            "Order Completed", 4, products=[{"name": "Tea", "price": 3.5, "quantity": 2}, {"name": "Cup", "price": 9}]
        ),
        call("Newsletter Opened", 5, name="May"),
        {**call("Product Viewed", 6, name="Tea"), "userId": None, "anonymousId": "x"},
        {"type": "identify", "userId": "u", "timestamp": "2025-01-31T18:30:00Z", "traits": {"email": "a@b.cc"}},
    ]
    events, report = read_events(write_jsonl(tmp_path, calls), load_map(MAPS / "segment_track.py"))
    assert events.select("action", "title", "price", "quantity").rows() == [
        ("search", "green tea", None, None),
        ("click", "Tea", 3.5, None),
        ("cart", "Tea", 3.5, 2.0),
        ("favorite", "Rug", None, None),
        ("purchase", "Tea", 3.5, 2.0),
        ("purchase", "Cup", 9.0, None),
    ]
    assert dropped(report) == {"action that the mapping drops": 1, "no user_id": 1, "type is not track": 1}
    assert "quantity" not in report.empty_columns
    assert "a@b.cc" not in json.dumps(report.__dict__, default=str)


def test_columns_without_any_value_are_reported_by_key(tmp_path):
    file = write(tmp_path, "uid,ts,name,cat\na,2025-01-01,Tea,\n")
    _, report = read_events(file, mapping(category="cat"))
    assert report.empty_columns == {"category": ("cat",)}
    assert "  no row has a category: empty cat" in report.lines()


def test_several_files_are_read_in_sorted_order_and_examples_name_the_file(tmp_path):
    write(tmp_path, "uid,ts,name\na,2025-01-01,second\n", "b.csv")
    write(tmp_path, "uid,ts,name\na,2025-01-01,first\n", "a.csv")
    write(tmp_path, "name,uid,ts\n,a,2025-01-01\nthird,a,2025-01-01\n", "sub/c.csv")
    for log in (tmp_path, f"{tmp_path}/**/*.csv"):
        events, report = read_events(log, mapping())
        assert events["title"].to_list() == ["first", "second", "third"]
        assert report.files == {"a.csv": 1, "b.csv": 1, "sub/c.csv": 2}
        assert report.dropped["no title"].examples == (("sub/c.csv", 1, ""),)
        assert "sub/c.csv row 1: ''" in "\n".join(report.lines())
