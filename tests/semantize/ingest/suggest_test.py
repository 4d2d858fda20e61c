import dataclasses
import datetime
import pathlib
import subprocess
import sys

import polars as pl
import pytest

from tests.semantize.ingest.logs import write, write_jsonl
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest import column_words, value_words
from usergpt_jax.semantize.ingest.event_map import load_map
from usergpt_jax.semantize.ingest.read_log import read_events
from usergpt_jax.semantize.ingest.suggest import mapping_file

INGEST = pathlib.Path(__file__).parents[3] / "launch/ingest.py"
SEGMENT = pathlib.Path(__file__).parents[3] / "configs/maps/segment_track.py"


def suggested(path, log):
    return load_map(write(path, mapping_file(log), "map.py"))


def test_a_suggested_mapping_reads_the_csv_it_was_made_for(tmp_path):
    text = (
        "event_time,event_type,product_id,category_code,brand,price,user_id,product_name\n"
        "2019-10-01 00:00:00 UTC,view,44600062,appliances.kitchen,acme,35.79,541312140,Kettle\n"
        "2019-10-01 00:00:10 UTC,cart,44600062,appliances.kitchen,acme,35.79,541312140,Kettle\n"
        "2019-10-01 00:01:00 UTC,purchase,44600062,,acme,35.79,541312140,Kettle\n"
        "2019-10-01 00:02:00 UTC,remove_from_cart,44600063,,acme,5.00,541312141,Mug\n"
    )
    file = write(tmp_path, text)
    made = suggested(tmp_path, file)
    assert (made.user_id, made.time, made.title) == (("user_id",), ("event_time",), ("product_name",))
    assert (made.item_id, made.category, made.price) == (("product_id",), ("category_code",), ("price",))
    assert dict(made.action_values) == {"view": "click", "cart": "cart", "purchase": "purchase", "remove_from_cart": ""}
    assert read_events(file, made)[0]["action"].to_list() == ["click", "cart", "purchase"]
    printed = mapping_file(file)
    assert "# Not found: place, quantity." in printed
    assert "# Columns without a use: brand." in printed


@pytest.mark.parametrize(
    ("time", "time_format"),
    [
        ("31.01.2025 18:30", "%d.%m.%Y %H:%M"),
        ("01/31/2025 6:30 PM", "%m/%d/%Y %I:%M %p"),
        ("1738348200", "unix_s"),
        ("1738348200000", "unix_ms"),
        ("2025-01-31T18:30:00Z", ""),
        ("20250131183000", "%Y%m%d%H%M%S"),
    ],
)
def test_the_form_of_times_is_found(tmp_path, time, time_format):
    file = write(tmp_path, f"customer,when,item\na,{time},Tea\n")
    made = suggested(tmp_path, file)
    assert made.time_format == time_format
    assert str(read_events(file, made)[0]["time"].item()) == "2025-01-31 18:30:00"


def test_delimiter_decimal_comma_and_cents_are_found(tmp_path):
    file = write(tmp_path, "uid;date;title;price\na;2025-01-31;Tea;1.234,50\n")
    made = suggested(tmp_path, file)
    assert (made.delimiter, made.decimal_comma) == (";", True)
    assert read_events(file, made)[0]["price"].to_list() == [1234.5]
    cents = write(tmp_path, "uid,date,title,price_cents\na,2025-01-31,Tea,1250\n", "cents.csv")
    assert read_events(cents, suggested(tmp_path, cents))[0]["price"].to_list() == [12.5]


@pytest.mark.parametrize(
    ("values", "prices"),
    [
        (('"12,50"', '"1.299,00"'), [12.5, 1299.0]),
        (('"12,50 €"', '"1,299"'), [12.5, 1.299]),
        (("12",) * 30 + ('"1.299,00"',), [12.0] * 30 + [1299.0]),  # most of them are whole
        (("12.50", '"1,299"'), [12.5, 1299.0]),
    ],
)
@pytest.mark.parametrize("column", ["amount", "Order Total", "betrag"])
def test_the_decimal_mark_is_that_of_the_values_whatever_the_columns_name(tmp_path, values, prices, column):
    rows = [f'u{i},2025-01-31,"Tea, green",{value}' for i, value in enumerate(values)]
    file = write(tmp_path, "\n".join([f'uid,date,title,"{column}"', *rows]) + "\n")
    made = suggested(tmp_path, file)
    assert made.price == (() if column == "betrag" else (column,))
    assert "may be" not in mapping_file(file)
    events, _ = read_events(file, dataclasses.replace(made, price=(column,)))
    assert events.sort("price")["price"].to_list() == pytest.approx(sorted(prices))


@pytest.mark.parametrize(("value", "point", "comma"), [("1,299", "1299", "1.299"), ("1.299", "1.299", "1299")])
def test_numbers_of_either_decimal_mark_are_doubted_unless_another_column_tells(tmp_path, value, point, comma):
    file = write(tmp_path, f'uid,date,title,amount\na,2025-01-31,Tea,"{value}"\nb,2025-01-31,Tea,12\n')
    assert f"'{value}' may be {point} or {comma}: see decimal_comma" in mapping_file(file)
    assert not suggested(tmp_path, file).decimal_comma
    told = write(tmp_path, f'uid,date,title,amount,tax\na,2025-01-31,Tea,"{value}","0,21"\n', "told.csv")
    assert "\"decimal_comma\": True,  # as in 'tax'" in mapping_file(told)
    assert "may be" not in mapping_file(told)


def test_paths_of_nested_json_are_found(tmp_path):
    row = {"userId": "a", "event": "add", "timestamp": "2025-01-31T18:30:00Z", "properties": {"name": "Tea"}}
    file = write_jsonl(tmp_path, [row])
    made = suggested(tmp_path, file)
    assert made.title == ("properties.name",)
    assert dict(made.action_values) == {"add": "cart"}
    assert read_events(file, made)[0].select("action", "title").rows() == [("cart", "Tea")]


def test_a_parquet_log_without_actions_is_taken_for_purchases_if_it_has_prices(tmp_path):
    frame = pl.DataFrame({"CustomerID": [17850.0], "InvoiceDate": ["2010-12-01"], "Description": ["LANTERN"]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.with_columns(UnitPrice=3.39).write_parquet(tmp_path / "b.parquet")
    assert suggested(tmp_path, tmp_path / "a.parquet").action == "click"
    assert suggested(tmp_path, tmp_path / "b.parquet").action == "purchase"


def test_columns_whose_values_speak_against_their_name_are_not_taken(tmp_path):
    file = write(tmp_path, "user_id,time,created_at,name,title,price\na,noon,2025-01-31,Tea,17,dear\n")
    made = suggested(tmp_path, file)
    assert (made.time, made.title, made.price) == (("created_at",), ("name",), ())


@pytest.mark.parametrize(
    ("key", "column", "found"),
    [
        ("price", "orderTotalEUR", True),
        ("price", "Total amount", True),
        ("quantity", "discount", False),
        ("place", "revenue", False),
        ("time", "user_first_timestamp", True),
    ],
)
def test_a_name_is_looked_for_at_the_words_of_a_column(key, column, found):
    assert column_words.ranked(key, [column]) == [column] * found


def test_what_is_needed_and_not_found_is_said_and_left_to_fill_in(tmp_path):
    printed = mapping_file(write(tmp_path, "a,b\n1,2\n"))
    assert '"user_id": "",  # not found, and needed' in printed
    assert "# Not found: user_id, time, title, category, item_id, place, price, quantity." in printed
    with pytest.raises(InputError, match=r"map.user_id: expected a column name"):
        load_map(write(tmp_path, printed, "map.py"))


def test_a_suggestion_holds_no_personal_data_and_no_code_of_the_log(tmp_path):
    file = write(tmp_path, 'uid,ts,name,"x"" \'\'\' \\"\njoe@example.com,2025-01-31,"to joe@example.com\n""""""",1\n')
    printed = mapping_file(file)
    assert "joe@example.com" not in printed
    assert load_map(write(tmp_path, printed, "map.py")).title == ("name",)


def test_an_empty_log_is_refused(tmp_path):
    with pytest.raises(InputError, match="the log is empty"):
        mapping_file(write(tmp_path, "a,b\n"))


def test_each_guessed_value_is_marked(tmp_path):
    text = "uid,ts,name,action\n" + "".join(
        f"a,2025-01-31,Tea,{one}\n" for one in ("click", "bought", "video_completed")
    )
    printed = mapping_file(write(tmp_path, text))
    assert "            'click': 'click',\n" in printed
    assert "            'bought': 'purchase',  # a guess\n" in printed
    assert "            'video_completed': '',  # not understood, so dropped\n" in printed


def test_a_time_of_day_is_not_taken_for_the_time(tmp_path):
    frame = pl.DataFrame({"uid": ["a"], "time": [datetime.time(18, 30)], "date": [datetime.date(2025, 1, 31)]})
    frame.with_columns(name=pl.lit("Tea")).write_parquet(tmp_path / "log.parquet")
    assert suggested(tmp_path, tmp_path / "log.parquet").time == ("date",)


def test_the_launch_script_prints_a_mapping_and_imports_nothing(tmp_path):
    file = write(tmp_path, "uid,ts,name\na,2025-01-31,Tea\n")
    command = [sys.executable, str(INGEST), "--events", str(file), "--suggest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == mapping_file(file)
    assert [one.name for one in tmp_path.iterdir()] == ["log.csv"]


def test_doubts_stand_beside_the_guess(tmp_path):
    rows = ["mail,when,name,quantity", "a@b.cc,03/04/2025,Tea,2", "a@b.cc,05/04/2025,Tea,-1", "c@d.ee,06/04/2025,Rug,1"]
    printed = mapping_file(
        write(tmp_path, "\n".join(rows).replace("mail", "user_email").replace("when", "date") + "\n")
    )
    assert "\"user_id\": 'user_email',  # e-mail addresses: see hash_user_id" in printed
    assert "may as well be %m/%d/%Y" in printed
    assert "\"negative_quantity\": 'cancel'" in printed
    assert "below zero: taken for cancellations" in printed


def test_mixed_offsets_and_epoch_zeros_are_seen(tmp_path):
    rows = ["a,2025-01-01T10:00:00Z,Tea", "b,2025-01-01T10:00:00+02:00,Tea"]
    file = write(tmp_path, "\n".join(["uid,ts,name", *rows]) + "\n")
    made = suggested(tmp_path, file)
    assert made.time_zone == "UTC"
    assert read_events(file, made)[0]["time"].dt.hour().to_list() == [10, 8]
    zeros = write(tmp_path, "uid,ts,name\na,1738348200000,Tea\nb,0,Tea\n", "zeros.csv")
    assert suggested(tmp_path, zeros).time_format == "unix_ms"


def segment_calls():
    """Calls as Segment stores them: all that it adds, and other kinds of calls between."""
    page = {"path": "/tea", "title": "Green Tea | Shop", "url": "https://shop.example/tea"}
    context = {"library": {"name": "analytics.js", "version": "2.1"}, "page": page, "campaign": {"name": "May"}}

    def call(event, second, **properties):
        time = f"2025-01-31T18:30:{second:02d}.123Z"
        ids = {"messageId": f"m{second}", "anonymousId": f"x{second}", "userId": f"u{second % 2}"}
        return {"type": "track", "context": context, **ids, "event": event, "timestamp": time, "properties": properties}

    tea = {"product_id": "p1", "sku": "G-32", "name": "Tea", "category": "Food", "price": 3.5, "quantity": 2}
    cup = {"sku": "C-1", "name": "Cup", "price": 9}
    return [
        {"type": "page", "context": context, "userId": "u0", "name": "Home", "timestamp": "2025-01-31T18:30:00Z"},
        {"type": "identify", "userId": "u0", "traits": {"name": "Jo"}, "timestamp": "2025-01-31T18:30:00Z"},
        call("Products Searched", 1, query="green tea"),
        call("Product List Viewed", 2, list_id="l1", category="Food", products=[tea, cup]),
        call("Product Viewed", 3, **tea, currency="USD", value=7),
        call("Product Added", 4, **cup),
        call("Cart Viewed", 5, cart_id="c1", products=[cup]),
        call("Checkout Step Completed", 6, step=1),
        call("Order Completed", 7, order_id="o1", total=20.5, revenue=16, products=[tea, {"name": "Lid"}]),
        call("Newsletter Opened", 8, name="May"),
        {**call("Product Viewed", 9, **tea), "userId": None},
    ]


def test_a_mapping_suggested_for_segment_reads_as_the_shipped_one(tmp_path):
    calls = segment_calls()
    first = write_jsonl(tmp_path, calls, "first.jsonl")
    made = suggested(tmp_path, first)
    assert (made.unroll, made.keep) == ("properties.products", (("type", ("track",)),))
    assert made.title == ("properties.products.name", "properties.name", "properties.query")
    assert made.price == ("properties.products.price", "properties.price")
    later = [calls[2], {**calls[5], "event": "Product Added to Wishlist"}, {**calls[5], "event": "Quiz Taken"}]
    for file in (first, write_jsonl(tmp_path, later, "later.jsonl")):  # events of names that the sample lacks, too
        events, report = read_events(file, made)
        expected, expected_report = read_events(file, load_map(SEGMENT))
        assert events.equals(expected)
        assert report.dropped == expected_report.dropped


def test_events_of_the_shipped_segment_mapping_are_understood_alike():
    for event, action in load_map(SEGMENT).action_values:
        guessed = value_words.action(event)
        assert (guessed or "") == action, event
        assert bool(action) == (event in value_words.TRACK_EVENTS), event


def test_a_list_of_named_products_is_unrolled_in_parquet_too(tmp_path):
    calls = [{"uid": "u", "ts": "2025-01-31", "name": "Order", "items": [{"name": "Cup", "qty": 2}, {"name": "Lid"}]}]
    pl.DataFrame(calls).write_parquet(tmp_path / "log.parquet")
    made = suggested(tmp_path, tmp_path / "log.parquet")
    assert (made.unroll, made.title, made.quantity) == ("items", ("items.name",), ("items.qty",))
    assert read_events(tmp_path / "log.parquet", made)[0]["title"].to_list() == ["Cup", "Lid"]


def test_lists_that_could_be_unrolled_are_named(tmp_path):
    calls = [{"userId": "u", "timestamp": "2025-01-31T18:30:00Z", "name": "Tea", "related": [{"name": "Cup"}]}]
    printed = mapping_file(write_jsonl(tmp_path, calls))
    assert "# Lists, of which `unroll` can make an event an element: related." in printed
    assert '"unroll"' not in printed
