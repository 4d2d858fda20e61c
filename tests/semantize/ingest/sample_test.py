import dataclasses
import json

import polars as pl
import pytest

from tests.semantize.ingest.logs import write
from usergpt_jax.semantize.ingest.event_map import load_map
from usergpt_jax.semantize.ingest.read_log import read_events
from usergpt_jax.semantize.ingest.suggest import mapping_file


def suggested(path, log):
    return load_map(write(path, mapping_file(log), "map.py"))


def test_empty_files_before_the_first_with_rows_are_passed_over(tmp_path):
    for name, text in (("0.csv", ""), ("1.csv", "uid,ts,name\n"), ("2.jsonl", "")):
        write(tmp_path, text, f"logs/{name}")
    pl.DataFrame({"uid": [], "ts": []}).write_parquet(tmp_path / "logs/3.parquet")
    write(tmp_path, "customer;date;item\na;2025-01-31;Tea\n", "logs/4.csv")
    made = suggested(tmp_path, tmp_path / "logs")
    assert (made.user_id, made.title, made.delimiter) == (("customer",), ("item",), ";")


@pytest.mark.parametrize(
    ("encoding", "titles", "expected"),
    [
        ("cp1252", ["Café", "Größe", "“Tea”"], "cp1252"),
        ("utf-8", ["Café", "Größe", "“Tea”"], "utf-8"),
        ("utf-16", ["Café", "Größe"], "utf-8"),
        ("cp1252", ["Cafe"], "utf-8"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_text_of_windows_is_seen_and_read(tmp_path, encoding, titles, expected, kind):
    rows = [{"uid": f"u{i}", "ts": "2025-01-31", "näme title": title} for i, title in enumerate(titles)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if kind == "csv":
        text = "\n".join(["uid,ts,näme title", *(",".join(row.values()) for row in rows)]) + "\n"
    if titles == ["Cafe"]:
        text = text.replace("ä", "a")
    file = write(tmp_path, text.encode(encoding), f"log.{kind}")
    made = dataclasses.replace(suggested(tmp_path, file), title=("name title" if titles == ["Cafe"] else "näme title",))
    assert made.encoding == expected
    assert read_events(file, made)[0]["title"].to_list() == titles


def test_a_few_damaged_bytes_make_no_other_encoding_and_unknown_text_is_said(tmp_path):
    rows = "".join(f"u{i},2025-01-31,Größe\n" for i in range(9)).encode()
    assert suggested(tmp_path, write(tmp_path, b"uid,ts,title\n" + rows + b"u,2025-01-31,T\xe9a\n")).encoding == "utf-8"
    printed = mapping_file(write(tmp_path, b"uid,ts,title\na,2025-01-31,\x81\x8d\x90\n"))
    assert "\"encoding\": 'utf-8',  # the text is neither UTF-8 nor cp1252: name its encoding" in printed
