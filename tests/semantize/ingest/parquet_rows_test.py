import datetime
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.semantize.ingest.logs import DAMAGED, changed, mapping
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest.event_map import COLUMN_KEYS
from usergpt_jax.semantize.ingest.read_log import read_events

DAY = datetime.date(2025, 1, 1)
EXTRA = {
    "cancel_column": {"cancel_prefix": "C"},
    "action_column": {"action": ""},
    "source_column": {"source": ""},
}


def parquet(path, **values):
    columns = {"uid": ["a", "b"], "ts": ["2025-01-01"] * 2, "name": ["Tea", "Rug"], **values}
    pq.write_table(pa.table(columns), path / "log.parquet")
    return path / "log.parquet"


def test_bytes_are_read_as_text_and_broken_ones_are_counted(tmp_path):
    file = parquet(tmp_path, uid=[b"a", b"b"], name=["Tée".encode(), b"T\xe9a"])
    events, report = read_events(file, mapping())
    assert events["title"].to_list() == ["Tée", "T\N{REPLACEMENT CHARACTER}a"]
    assert changed(report) == {DAMAGED: 1}
    assert read_events(parquet(tmp_path, name=[b"Tea", b"T\xe9a"]), mapping(encoding="cp1252"))[0]["title"][1] == "Téa"


def test_users_of_bytes_that_are_no_text_stop(tmp_path):
    file = parquet(tmp_path, uid=[b"a", b"\xff\xfe"])
    with pytest.raises(
        InputError, match=r"row 2: column 'uid': bytes that are not utf-8 .*; expected text or numbers$"
    ):
        read_events(file, mapping())


def test_text_that_is_not_utf8_though_the_file_says_so_stops(tmp_path):
    offsets, data = pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xff\xfe")
    file = parquet(tmp_path, name=pa.Array.from_buffers(pa.string(), 2, [None, offsets, data]))
    with pytest.raises(InputError, match=r"log.parquet: cannot be read as parquet: [^\n]*UTF8[^\n]*$"):
        read_events(file, mapping())


@pytest.mark.parametrize(
    ("value", "shown"), [(datetime.time(18, 30), "18:30:00"), (datetime.timedelta(days=2), "2 days, 0:00:00")]
)
def test_a_time_of_no_day_stops(tmp_path, value, shown):
    expected = rf"row 1: column 'ts': unparsable time '{re.escape(shown)}'; expected an ISO 8601 time such as"
    with pytest.raises(InputError, match=expected):
        read_events(parquet(tmp_path, ts=[value] * 2), mapping())


def test_a_parquet_column_that_stands_twice_stops(tmp_path):
    table = pa.table([["a"], ["2025-01-01"], ["Tea"], ["Rug"]], names=["uid", "ts", "name", "name"])
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match="mapped column 'name' stands twice in the header"):
        read_events(tmp_path / "log.parquet", mapping())


@pytest.mark.parametrize("key", COLUMN_KEYS)
@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, None]),
        pa.array([True, None]),
        pa.array([DAY, None]),
        pa.array([datetime.time(1), None]),
        pa.array([datetime.timedelta(1), None]),
        pa.array([b"\xff", None]),
        pa.array([b"\xff\xfe", None], pa.binary(2)),
        pa.array([None, None]),
        pa.array(["x", None]).dictionary_encode(),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        pa.array([[1], None], pa.list_(pa.int64(), 1)),
        pa.array([1, None]).cast(pa.decimal128(21, 2)),
        pa.array([1, None], pa.uint64()),
        pa.array([1, None], pa.float16()),
    ],
    ids=lambda array: str(array.type),
)
def test_any_type_under_any_key_is_read_or_refused_in_one_line(tmp_path, key, array):
    said = []
    try:
        read_events(parquet(tmp_path, x=array), mapping(**{key: "x"}, **EXTRA.get(key, {})))
    except InputError as error:
        said = str(error).splitlines()
    assert len(said) <= 1
