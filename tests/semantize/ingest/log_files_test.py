import codecs
import gzip
import re

import polars as pl
import pytest

from tests.semantize.ingest.logs import DAMAGED, mapping, write
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest import log_files
from usergpt_jax.semantize.ingest.read_log import read_events

CSV = "uid,ts,name\na,2025-01-01,Tée\na,2025-01-02,中文\n"
JSONL = '{"uid":"a","ts":"2025-01-01","name":"Tée"}\n{"uid":"a","ts":"2025-01-02","name":"中文"}\n'


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["utf8", "utf8 with mark", "utf16 little", "utf16 big"],
)
@pytest.mark.parametrize(
    ("name", "text"), [("log.csv", CSV), ("log.jsonl", JSONL), ("log.tsv", CSV.replace(",", "\t"))]
)
def test_encodings_and_gzip_give_the_same_titles(tmp_path, encode, name, text):
    plain = write(tmp_path, encode(text), name)
    packed = write(tmp_path, gzip.compress(encode(text), mtime=0), f"{name}.gz")
    for file in (plain, packed):
        assert read_events(file, mapping())[0]["title"].to_list() == ["Tée", "中文"]


def test_half_a_character_of_json_becomes_a_replacement(tmp_path):
    file = write(tmp_path, '{"uid":"a","ts":"2025-01-01","name":"Tea \\ud83d"}\n', "log.jsonl")
    events, report = read_events(file, mapping())
    assert events["title"].to_list() == ["Tea \N{REPLACEMENT CHARACTER}"]
    assert report.changed[DAMAGED].count == 1


def test_a_csv_may_end_its_lines_as_old_macs_do(tmp_path):
    file = write(tmp_path, 'uid,ts,name\ra,2025-01-01,"A\rB"\ra,2025-01-02,Tea')
    assert read_events(file, mapping())[0]["title"].to_list() == ["A\rB", "Tea"]


def test_csv_fields_hold_quotes_line_ends_and_delimiters(tmp_path):
    file = write(tmp_path, 'uid;ts;name\na;2025-01-01;"A ""B""; C\nD"\n\nb;2025-01-01;5" tape\n')
    events, _ = read_events(file, mapping(delimiter=";"))
    assert events["title"].to_list() == ['A "B"; C\nD', '5" tape']


def test_rows_are_numbered_without_header_and_blank_lines(tmp_path):
    file = write(tmp_path, "\nuid,ts,name\na,2025-01-01,Tea\n\n\na,never,Tea\n")
    with pytest.raises(InputError, match="row 2: column 'ts': unparsable time 'never'"):
        read_events(file, mapping())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.xlsx", b"x", "expected a file ending in .csv, .tsv, .parquet, .jsonl, .ndjson, .json, .csv.gz"),
        ("log.parquet", b"not parquet", "cannot be read as parquet: "),
        ("log.parquet", b"PAR1" + b"x" * 50, "cannot be read as parquet: "),
        ("log.parquet", b"", "cannot be read as parquet: "),
        ("log.csv", b"uid,ts,name\na,2025-01-01,Tea,more\n", "cannot be read as csv: row 1: expected 3 fields, got 4"),
        ("log.csv", b"uid,ts,name\na,2025-01-01,T\na,2025", "cannot be read as csv: row 2: expected 3 fields, got 2"),
        ("log.csv", b'uid,ts,name\na,2025-01-01,"Te', "cannot be read as csv: it ends inside a quoted field"),
        ("log.csv", b"uid,ts," + b"x" * 200_000, "cannot be read as csv: its header: field larger than field limit"),
        ("log.csv", b"uid,ts,name,name\n", "mapped column 'name' stands twice in the header; rename one of them"),
        ("log.csv", b"uid,ts\na,2025-01-01\n", "mapped column 'name' is missing; the log has uid, ts"),
        ("log.jsonl", b'{"uid": "a", "ts"', "cannot be read as jsonl: row 1: "),
        ("log.jsonl", JSONL.encode() + b"[1]\n", "cannot be read as jsonl: row 3: expected one JSON object a line"),
        ("log.jsonl", b'{"uid": "a"}\n', "mapped column 'ts' is missing; the log has uid"),
        ("log.csv.gz", b"plain text", "cannot be read as gzip: "),
        ("log.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-12], "cannot be read as gzip: "),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path, name, content, message):
    file = write(tmp_path, content, name)
    with pytest.raises(InputError, match=f"^{re.escape(f'{file}: {message}')}") as caught:
        read_events(file, mapping())
    assert "\n" not in str(caught.value)


def test_a_parquet_file_with_a_broken_page_is_named(tmp_path):
    frame = pl.DataFrame({"uid": ["a"] * 5000, "ts": ["2025-01-01"] * 5000, "name": [f"Tea {i}" for i in range(5000)]})
    frame.write_parquet(tmp_path / "log.parquet")
    content = bytearray((tmp_path / "log.parquet").read_bytes())
    content[4:2000] = b"\xff" * 1996
    write(tmp_path, bytes(content), "log.parquet")
    with pytest.raises(InputError, match=r"log.parquet: cannot be read as parquet: [^\n]*$"):
        read_events(tmp_path / "log.parquet", mapping())


def test_a_field_longer_than_a_block_says_so(tmp_path):
    file = write(tmp_path, f"uid,ts,name\na,2025-01-01,{'x' * (20 << 20)}\n")
    with pytest.raises(InputError, match="a row is longer than 8 MiB, or a quote is never closed"):
        read_events(file, mapping())


def test_alternatives_that_are_all_missing_are_named(tmp_path):
    file = write(tmp_path, "uid,ts,x\na,2025-01-01,Tea\n")
    with pytest.raises(InputError, match="mapped columns 'name', 'query' are missing; the log has uid, ts, x"):
        read_events(file, mapping(title=("name", "query")))
    assert read_events(file, mapping(title=("name", "x")))[0]["title"].to_list() == ["Tea"]


@pytest.mark.parametrize("log", ["none.csv", "no/*.csv"])
def test_a_log_that_is_not_there_is_named(tmp_path, log):
    with pytest.raises(InputError, match=rf"^{re.escape(f'{tmp_path}/{log}')}: (no such log file|holds no log file; )"):
        log_files.find(f"{tmp_path}/{log}")


HIDDEN = "its name or folder starts with _ or ."


def test_a_folder_is_read_without_hidden_files_and_names_what_is_left_out(tmp_path):
    for name in ("b.csv", "a.jsonl", ".hidden.csv", "_temporary/0.csv", "_SUCCESS", "notes.md", "deep/x.CSV"):
        write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\n" if "csv" in name.lower() else "", name)
    files, others = log_files.find(tmp_path)
    assert [file.name for file in files] == ["a.jsonl", "b.csv", "deep/x.CSV"]
    hidden = dict.fromkeys([".hidden.csv", "_SUCCESS", "_temporary/0.csv"], HIDDEN)
    assert others == {**hidden, "notes.md": "no log format"}
    _, report = read_events(tmp_path, mapping())
    assert report.skipped_files == others
    assert f"  skipped file .hidden.csv: {HIDDEN}" in report.lines()
    with pytest.raises(InputError, match=r"holds no log file; expected files ending in .csv"):
        log_files.find(write(tmp_path, "", "empty/notes.md").parent)


@pytest.mark.parametrize(
    ("pattern", "taken", "left_out"),
    [
        ("*.csv", ["a.csv"], ["_b.csv"]),
        ("_*.csv", ["_b.csv"], []),
        ("[_]*.csv", [], ["_b.csv"]),
        (".*.csv", [".c.csv"], []),
        ("_raw/*.csv", ["d.csv"], []),
        ("*/*.csv", ["deep/e.csv"], ["_raw/d.csv", "deep/_f.csv"]),
        ("*/d.csv", [], ["_raw/d.csv"]),
        ("*/_f.csv", ["deep/_f.csv"], []),
    ],
)
def test_a_glob_takes_names_with_an_underscore_or_dot_if_it_writes_them(tmp_path, pattern, taken, left_out):
    for name in ("a.csv", "_b.csv", ".c.csv", "_raw/d.csv", "deep/e.csv", "deep/_f.csv"):
        write(tmp_path, "", f"_logs/{name}")
    if not taken:
        with pytest.raises(InputError, match=rf"holds no log file; .*; {left_out[0]}: {HIDDEN}$"):
            log_files.find(f"{tmp_path}/_logs/{pattern}")
        return
    files, others = log_files.find(f"{tmp_path}/_logs/{pattern}")
    assert ([file.name for file in files], list(others)) == (taken, left_out)


def test_many_skipped_files_are_counted_in_print_and_listed_in_the_report(tmp_path):
    write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\n")
    for i in range(15):
        write(tmp_path, "{}", f"_delta_log/{i}.json")
    _, report = read_events(tmp_path, mapping())
    assert len(report.skipped_files) == 15
    assert sum("skipped file " in line for line in report.lines()) == 10
    assert "  and 5 more skipped files, in the saved report" in report.lines()


def test_a_glob_of_one_star_names_its_files_in_order(tmp_path):
    for name in ("2.csv", "10.csv", "1.csv", "x.tsv"):
        write(tmp_path, "", name)
    assert [file.name for file in log_files.find(f"{tmp_path}/*.csv")[0]] == ["1.csv", "10.csv", "2.csv"]


def test_rows_are_estimated_from_sizes(tmp_path):
    pl.DataFrame({"x": [1] * 1234}).write_parquet(tmp_path / "a.parquet")
    write(tmp_path, "x" * 6000, "a.csv")
    files, _ = log_files.find(tmp_path)
    assert log_files.estimate_rows(files) == 1234 + 100


def test_a_digest_follows_names_and_contents(tmp_path):
    made = [
        log_files.digest(log_files.find(write(tmp_path / kind, text, name))[0])
        for kind, name, text in (("1", "a.csv", "x"), ("2", "a.csv", "x"), ("3", "b.csv", "x"), ("4", "a.csv", "y"))
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3
