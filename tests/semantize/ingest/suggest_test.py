import pathlib
import subprocess
import sys

import polars as pl
import pytest

from tests.semantize.ingest.logs import write, write_jsonl
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest.event_map import load_map
from usergpt_jax.semantize.ingest.read_log import read_events
from usergpt_jax.semantize.ingest.suggest import mapping_file

INGEST = pathlib.Path(__file__).parents[3] / "launch/ingest.py"


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


def test_paths_of_nested_json_are_found(tmp_path):
    row = {"userId": "a", "event": "Product Added", "timestamp": "2025-01-31T18:30:00Z", "properties": {"name": "Tea"}}
    file = write_jsonl(tmp_path, [row])
    made = suggested(tmp_path, file)
    assert made.title == ("properties.name",)
    assert dict(made.action_values) == {"Product Added": "cart"}
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


def test_lists_that_could_be_unrolled_are_named(tmp_path):
    calls = [{"userId": "u", "timestamp": "2025-01-31T18:30:00Z", "name": "Tea", "products": [{"name": "Cup"}]}]
    assert "# Lists, of which `unroll` can make an event an element: products." in mapping_file(
        write_jsonl(tmp_path, calls)
    )
