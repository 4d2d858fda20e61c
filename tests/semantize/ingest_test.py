import json
import pathlib
import re

import polars as pl
import pytest
from ml_collections import ConfigDict

from usergpt_jax import schema
from usergpt_jax.core.config import ConfigError
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.event_map import load_map, make_map
from usergpt_jax.semantize.ingest import MAX_TEXT_CHARS, read_events

REAL_LOG = pathlib.Path(__file__).parents[3] / "shared/realdata/online_retail.parquet"
MAPS = pathlib.Path(__file__).parents[2] / "configs/maps"


def mapping(**changes):
    plain = {"user_id": "uid", "time": "ts", "source": "ecommerce", "action": "purchase", "title": "name"}
    return make_map(ConfigDict({**plain, **changes}))


def write(path, text, name="log.csv"):
    file = path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def dropped(report):
    return {reason: one.count for reason, one in report.dropped.items()}


def test_csv_jsonl_and_parquet_give_the_same_events(tmp_path):
    frame = pl.DataFrame(
        {
            "uid": ["b", "a", "a"],
            "ts": ["2025-01-02 10:00:00", "2025-01-03", "2025-01-01T08:30:00Z"],
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


@pytest.mark.parametrize("bad", ["yesterday", "2025-13-01", ""])
def test_an_unparsable_time_stops_with_row_and_value(tmp_path, bad):
    file = write(tmp_path, f"uid,ts,name\na,2025-01-01,Tea\n,never,Tea\nb,{bad},Tea\n")
    with pytest.raises(InputError, match=rf"row 3: column 'ts': unparsable time ('{bad}'|None)") as caught:
        read_events(file, mapping())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("%d.%m.%Y %H:%M", "31.01.2025 18:30"),
        ("unix_s", "1738348200"),
        ("unix_ms", "1738348200000"),
        ("", "2025-01-31T18:30:00+08:00"),
    ],
)
def test_times_are_read_by_their_format(tmp_path, time_format, text):
    file = write(tmp_path, f"uid,ts,name\na,{text},Tea\n")
    assert str(read_events(file, mapping(time_format=time_format))[0]["time"].item()) == "2025-01-31 18:30:00"


def test_an_unknown_action_stops_with_row_value_and_the_allowed_ones(tmp_path):
    file = write(tmp_path, "uid,ts,name,act\na,2025-01-01,Tea,pv\na,2025-01-01,Tea,zap\n")
    by_column = mapping(action="", action_column="act", action_values={"pv": "click", "buy": "purchase"})
    with pytest.raises(InputError, match="row 2: column 'act': unknown action 'zap'; expected one of buy, pv"):
        read_events(file, by_column)


def test_actions_and_sources_are_mapped_by_value(tmp_path):
    file = write(tmp_path, "uid,ts,name,act,app\na,2025-01-01,Tea,pv,travel\na,2025-01-02,Tea,buy,poi\n")
    by_column = mapping(
        action="", action_column="act", action_values={"pv": "click", "buy": "purchase"}, source="", source_column="app"
    )
    events, _ = read_events(file, by_column)
    assert events.select("source", "action").rows() == [("travel", "click"), ("poi", "purchase")]


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


def test_a_very_long_title_is_cut_and_counted(tmp_path):
    events, report = read_events(write(tmp_path, f"uid,ts,name\na,2025-01-01,{'x' * 200_000}\n"), mapping())
    assert events["title"].str.len_chars().to_list() == [MAX_TEXT_CHARS]
    assert report.changed[f"text cut to {MAX_TEXT_CHARS} characters"].count == 1


def test_control_tokens_and_mub_syntax_keep_their_characters_in_the_event_log(tmp_path):
    evil = "<think> <|im_end|> </answer> [Source: Travel] | x\nnew line"
    pl.DataFrame({"uid": ["a"], "ts": ["2025-01-01"], "name": [evil]}).write_parquet(tmp_path / "log.parquet")
    assert read_events(tmp_path / "log.parquet", mapping())[0]["title"].to_list() == [evil]


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
    assert report.changed["bytes that are not UTF-8 replaced by U+FFFD"].examples == (
        (1, "T\N{REPLACEMENT CHARACTER}a"),
    )


def test_exact_duplicates_are_dropped_and_counted(tmp_path):
    text = "uid,ts,name\n" + "a,2025-01-01,Tea\n" * 3 + "a,2025-01-01,Rug\n"
    events, report = read_events(write(tmp_path, text), mapping())
    assert events["title"].to_list() == ["Tea", "Rug"]
    assert report.dropped["exact duplicate of an earlier row"].count == 2
    assert report.dropped["exact duplicate of an earlier row"].examples == ((2, "Tea"), (3, "Tea"))


def test_cancellations_undo_the_latest_earlier_purchase(tmp_path):
    rows = [  # invoice, user, day, item, quantity
        "1,a,2025-01-01,T,5",
        "2,a,2025-01-02,T,3",
        "C3,a,2025-01-03,T,-4",  # all 3 of invoice 2, and 1 of invoice 1
        "4,a,2025-01-04,T,2",
        "C5,b,2025-01-05,T,-1",  # another user: nothing to cancel
        "C6,c,2025-01-01,R,-1",  # before the purchase
        "7,c,2025-01-02,R,1",
    ]
    file = write(tmp_path, "no,uid,ts,item,n,name\n" + "".join(f"{row},x{i}\n" for i, row in enumerate(rows)))
    events, report = read_events(file, mapping(item_id="item", quantity="n", cancel_column="no", cancel_prefix="C"))
    assert events.select("user_id", "item_id", "quantity").rows() == [("a", "T", 4.0), ("a", "T", 2.0), ("c", "R", 1.0)]
    assert dropped(report) == {
        "cancellation of a purchase": 1,
        "cancellation without a purchase": 2,
        "purchase cancelled": 1,
    }
    assert report.changed["purchase cancelled in part"].count == 1


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({"negative_quantity": "drop"}, [1.0]),
        ({"negative_quantity": "keep"}, [1.0, -1.0]),
        ({"negative_quantity": "cancel"}, None),
    ],
)
def test_negative_quantities_follow_the_mapping(tmp_path, policy, kept):
    file = write(tmp_path, "uid,ts,name,n\na,2025-01-01,Tea,1\na,2025-01-02,Tea,-1\nb,2025-01-02,Rug,7\n")
    events, _ = read_events(file, mapping(quantity="n", **policy))
    own = events.filter(pl.col("user_id") == "a")["quantity"].to_list()
    assert own == (kept or [])


@pytest.mark.parametrize(("policy", "prices"), [("drop", [2.0]), ("null", [None, 2.0]), ("keep", [0.0, 2.0])])
def test_prices_that_are_not_positive_follow_the_mapping(tmp_path, policy, prices):
    file = write(tmp_path, "uid,ts,name,p\na,2025-01-01,Tea,0\na,2025-01-02,Tea,2\n")
    assert read_events(file, mapping(price="p", nonpositive_price=policy))[0]["price"].to_list() == prices


def test_a_price_that_is_no_number_stops_with_row_and_value(tmp_path):
    file = write(tmp_path, "uid,ts,name,p\na,2025-01-01,Tea,1\na,2025-01-02,Tea,free\n")
    with pytest.raises(InputError, match="row 2: column 'p': unparsable price 'free'; expected a number"):
        read_events(file, mapping(price="p"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "x"}, "unknown key 'colour'"),
        ({"user_id": ""}, "map.user_id: expected a column name"),
        ({"action": "buy"}, "map.action: expected one of search, click"),
        ({"action_column": "act"}, "give either action or action_column"),
        ({"negative_quantity": "flip"}, "map.negative_quantity: expected one of drop, cancel, keep, got 'flip'"),
        ({"title": 3}, "map.title: expected str, got 3"),
        ({"cancel_column": "no"}, "cancel_prefix together"),
    ],
)
def test_a_mapping_at_fault_is_refused_by_key(changes, message):
    with pytest.raises(ConfigError, match=message):
        mapping(**changes)


def test_every_shipped_mapping_loads():
    for path in sorted(MAPS.glob("*.py")):
        assert load_map(path).user_id, path


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such log file"):
        read_events(tmp_path / "log.csv", mapping())
    with pytest.raises(InputError, match="expected a file ending in"):
        read_events(write(tmp_path, "x", "log.xlsx"), mapping())
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_events(write(tmp_path, "not parquet", "log.parquet"), mapping())
    with pytest.raises(InputError, match=r"log.csv: cannot be read as csv: [^\n]*$"):
        read_events(write(tmp_path, "uid,ts,name\na,2025-01-01,Tea,extra\n"), mapping())
    with pytest.raises(InputError, match="cannot be read as jsonl"):
        read_events(write(tmp_path, '{"uid": \n', "log.jsonl"), mapping())


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
