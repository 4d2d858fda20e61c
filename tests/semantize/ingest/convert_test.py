import json
import re

import polars as pl
import pytest

from tests.semantize.ingest.logs import changed, dropped, mapping, write, write_jsonl
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest.convert import MAX_TEXT_CHARS
from usergpt_jax.semantize.ingest.read_log import read_events


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


def test_a_very_long_title_is_cut_and_counted(tmp_path):
    events, report = read_events(write(tmp_path, f"uid,ts,name\na,2025-01-01,{'x' * 200_000}\n"), mapping())
    assert events["title"].str.len_chars().to_list() == [MAX_TEXT_CHARS]
    assert report.changed[f"text cut to {MAX_TEXT_CHARS} characters"].count == 1


def test_control_tokens_and_mub_syntax_keep_their_characters_in_the_event_log(tmp_path):
    evil = "<think> <|im_end|> </answer> [Source: Travel] | x\nnew line"
    pl.DataFrame({"uid": ["a"], "ts": ["2025-01-01"], "name": [evil]}).write_parquet(tmp_path / "log.parquet")
    assert read_events(tmp_path / "log.parquet", mapping())[0]["title"].to_list() == [evil]


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
    with pytest.raises(
        InputError, match=r"row 2: column 'p': unparsable price 'free'; expected a number such as 1234\.50$"
    ):
        read_events(file, mapping(price="p"))


def test_only_rows_with_a_kept_value_are_events(tmp_path):
    rows = [{"uid": "a", "ts": "2025-01-01", "name": "Tea", "k": {"t": kind}} for kind in ("track", "page", None)]
    events, report = read_events(write_jsonl(tmp_path, rows), mapping(keep={"k.t": ("track",)}))
    assert (events.height, dropped(report)) == (1, {"k.t is not track": 2})
    assert report.dropped["k.t is not track"].examples == (("log.jsonl", 2, "page"), ("log.jsonl", 3, ""))


def test_a_value_mapped_to_nothing_drops_its_rows_and_a_star_all_that_are_not_listed(tmp_path):
    text = "uid,ts,name,act\n" + "".join(f"a,2025-01-01,Tea {act},{act}\n" for act in ("buy", "return", "odd", ""))
    file = write(tmp_path, text)
    by_column = {"action": "", "action_column": "act"}
    events, report = read_events(file, mapping(**by_column, action_values={"buy": "purchase", "return": "", "*": ""}))
    assert events["title"].to_list() == ["Tea buy"]
    assert dropped(report) == {"action that the mapping drops": 3}
    with pytest.raises(InputError, match=r"row 3: column 'act': unknown action 'odd'; expected one of buy, return$"):
        read_events(file, mapping(**by_column, action_values={"buy": "purchase", "return": ""}))


def test_users_are_replaced_by_a_keyed_hash(tmp_path):
    file = write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\na,2025-01-02,Tea\nb,2025-01-01,Tea\n")
    hashed = mapping(hash_user_id=True)
    users = read_events(file, hashed, b"sixteen bytes or more")[0]["user_id"]
    assert users.n_unique() == 2
    assert users.str.contains("^[0-9a-f]{32}$").all()
    assert users.equals(read_events(file, hashed, b"sixteen bytes or more")[0]["user_id"])
    assert not set(users) & set(read_events(file, hashed, b"another sixteen bytes")[0]["user_id"])


@pytest.mark.parametrize(
    ("hashing", "salt", "message"),
    [
        (True, b"", "map.hash_user_id: hashing needs a salt; give --salt_file FILE"),
        (True, b"short", "salt: expected 16 to 64 bytes, got 5"),
        (False, b"x" * 16, "a salt was given, but the mapping does not set hash_user_id"),
    ],
)
def test_hashing_and_salt_go_together(tmp_path, hashing, salt, message):
    file = write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\n")
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_events(file, mapping(hash_user_id=hashing), salt)


def test_personal_data_is_scrubbed_from_free_text_and_the_report_shows_none(tmp_path):
    private = "joe@example.com"
    rows = (
        f"a,2025-01-01,Mail {private},{private}\n" * 2
        + f"a,2025-01-02,,{private}\nb,2025-01-01,{'x' * 600}{private},\n"
    )
    file = write(tmp_path, "uid,ts,name,spot\n" + rows)
    events, report = read_events(file, mapping(place="spot"))
    assert events.select("title", "place").row(0) == ("Mail (email)", "(email)")
    assert report.scrubbed == {"email": 5}
    assert private not in json.dumps(report.__dict__, default=str)
    assert "texts with a personal email" in "\n".join(report.lines())
    kept, report = read_events(file, mapping(place="spot", scrub=()))
    assert kept.select("title", "place").row(0) == (f"Mail {private}", private)
    assert report.scrubbed == {}


def test_an_order_of_prices_with_marks_and_nan_is_counted(tmp_path):
    prices = ["€ 1.234,50", "12,00 EUR", "7", "NaN", ""]
    rows = "".join(f'a,2025-01-0{i + 1},Tea,"{price}"\n' for i, price in enumerate(prices))
    events, report = read_events(write(tmp_path, "uid,ts,name,p\n" + rows), mapping(price="p", decimal_comma=True))
    assert events["price"].to_list() == [1234.5, 12.0, 7.0, None, None]
    assert changed(report) == {
        "currency mark '€' taken off the price": 1,
        "currency mark 'EUR' taken off the price": 1,
        "price is NaN: forgotten": 1,
    }


def test_json_numbers_keep_their_value_beside_a_decimal_comma(tmp_path):
    rows = [{"uid": "a", "ts": "2025-01-01", "name": f"Tea {p}", "p": p} for p in (12.5, "12,5", 1000)]
    events, _ = read_events(write_jsonl(tmp_path, rows), mapping(price="p", decimal_comma=True))
    assert events["price"].to_list() == [12.5, 12.5, 1000.0]


def test_prices_are_scaled(tmp_path):
    file = write(tmp_path, "uid,ts,name,p\na,2025-01-01,Tea,1250\n")
    assert read_events(file, mapping(price="p", price_scale=0.01))[0]["price"].to_list() == [12.5]


def test_a_nan_of_json_and_parquet_is_no_price(tmp_path):
    write(tmp_path, '{"uid": "a", "ts": "2025-01-01", "name": "Tea", "p": NaN}\n', "log.jsonl")
    row = {"uid": ["a"], "ts": ["2025-01-01"], "name": ["Tea"], "p": [float("nan")]}
    pl.DataFrame(row).write_parquet(tmp_path / "log.parquet")
    for kind in ("jsonl", "parquet"):
        events, report = read_events(tmp_path / f"log.{kind}", mapping(price="p"))
        assert events["price"].to_list() == [None], kind
        assert changed(report) == {"price is NaN: forgotten": 1}, kind


def test_examples_of_any_column_hide_personal_data(tmp_path):
    file = write(tmp_path, "uid,ts,name,by\na,2025-01-01,Tea,shop\na,2025-01-01,Tea,joe@example.com\n")
    _, report = read_events(file, mapping(keep={"by": ("shop",)}, scrub=()))
    assert report.dropped["by is not shop"].examples == (("log.csv", 2, "(email)"),)


TRIMMED = "user_id with spaces around it: trimmed"
WHOLE = "user_id is a whole number written as a fraction: its zeros cut"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_one_user_is_one_id_in_every_format(tmp_path, kind):
    users = ["ann", "ann ", "\tann", "17850.0", "17850", " 17850 ", "1.5", "v1.0", "-7.00", "007"]
    frame = pl.DataFrame({"uid": users, "ts": "2025-01-01", "name": [f"Tea {i}" for i in range(len(users))]})
    getattr(frame, {"csv": "write_csv", "jsonl": "write_ndjson", "parquet": "write_parquet"}[kind])(
        tmp_path / f"log.{kind}"
    )
    events, report = read_events(tmp_path / f"log.{kind}", mapping())
    expected = ["ann"] * 3 + ["17850"] * 3 + ["1.5", "v1.0", "-7", "007"]
    assert events.sort("title")["user_id"].to_list() == expected
    assert changed(report) == {TRIMMED: 3, WHOLE: 2}
    assert report.changed[WHOLE].examples == ((f"log.{kind}", 4, "17850.0"), (f"log.{kind}", 9, "-7.00"))
    hashed, _ = read_events(tmp_path / f"log.{kind}", mapping(hash_user_id=True), b"sixteen bytes or more")
    assert hashed["user_id"].n_unique() == 6


def test_numbers_and_texts_of_one_user_are_one_user(tmp_path):
    rows = [{"uid": user, "ts": "2025-01-01", "name": f"Tea {user!r}"} for user in (17850, 17850.0, "17850.0", "17850")]
    assert read_events(write_jsonl(tmp_path, rows), mapping())[0]["user_id"].unique().to_list() == ["17850"]
    comma = write(tmp_path, 'uid,ts,name\n"17850,0",2025-01-01,Tea\n17850,2025-01-02,Tea\n')
    assert read_events(comma, mapping(decimal_comma=True))[0]["user_id"].to_list() == ["17850"] * 2
