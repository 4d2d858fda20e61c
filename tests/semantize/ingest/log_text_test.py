import codecs
import gzip

import pytest

from tests.semantize.ingest.logs import DAMAGED, mapping, write
from usergpt_jax.semantize.ingest import log_files, log_text
from usergpt_jax.semantize.ingest.read_log import read_events

CSV = "uid,ts,name\na,2025-01-01,Größe\n"
JSONL = '{"uid":"a","ts":"2025-01-01","name":"Größe"}\n'


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("cp1252", lambda text: text.encode("cp1252")),
        ("Windows-1252", lambda text: text.encode("cp1252")),
        ("gb18030", lambda text: text.encode("gb18030")),
        ("utf-16-le", lambda text: text.encode("utf-16-le")),
        ("utf-8", lambda text: text.encode("utf-16")),
        ("utf-8", lambda text: text.encode("utf-32")),
        ("cp1252", lambda text: codecs.BOM_UTF8 + text.encode()),  # the mark goes before the mapping
        ("cp1252", lambda text: text.encode("utf-16")),
    ],
)
@pytest.mark.parametrize(("name", "text"), [("log.csv", CSV), ("log.jsonl", JSONL), ("log.csv.gz", CSV)])
def test_text_is_decoded_as_its_mark_or_the_mapping_says(tmp_path, encoding, content, name, text):
    raw = content(text)
    file = write(tmp_path, gzip.compress(raw) if name.endswith("gz") else raw, name)
    events, report = read_events(file, mapping(encoding=encoding))
    assert events["title"].to_list() == ["Größe"]
    assert report.changed == {}


def test_the_report_on_damaged_text_names_the_key_and_shows_the_text(tmp_path):
    text = "uid,ts,name,cat\na,2025-01-01,Tea,Größe\n"
    _, report = read_events(write(tmp_path, text.encode("cp1252")), mapping(category="cat"))
    damaged = "Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e"
    assert report.changed[DAMAGED].examples == (("log.csv", 1, damaged),)
    assert "`encoding`" in "\n".join(report.lines())


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Größe".encode(), "utf-8"),
        ("Größe".encode("cp1252"), "cp1252"),
        ("Größe".encode("utf-16"), "utf-8"),
        (b"plain", "utf-8"),
        (b"", "utf-8"),
        (b"\x81\x8d", ""),
        ("Größe".encode()[:-2], "utf-8"),  # cut within a character, as a block may be
    ],
)
def test_the_encoding_is_guessed_from_the_bytes(tmp_path, content, encoding):
    file = log_files.find(write(tmp_path, content))[0][0]
    assert log_text.guess_encoding(file) == encoding
