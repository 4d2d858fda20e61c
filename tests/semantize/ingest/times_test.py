import datetime
import re

import polars as pl
import pytest

from tests.semantize.ingest.logs import changed, dropped, mapping, write
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest.read_log import read_events


def read(path, times, **changes):
    rows = "".join(f'a,"{time}",Tea {i}\n' for i, time in enumerate(times))
    return read_events(write(path, "uid,ts,name\n" + rows), mapping(**changes))


def times_of(events):
    return [str(time) for time in events.sort("title")["time"]]


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("%d.%m.%Y %H:%M", "31.01.2025 18:30"),
        ("unix_s", "1738348200"),
        ("unix_ms", "1738348200000"),
        ("unix_us", "1738348200000000"),
        ("%Y-%m-%d %H:%M:%S %z", "2025-01-31 18:30:00 +0530"),
        *(("", f"2025-01-31{rest}") for rest in ("T18:30:00+08:00", " 18:30", "T18:30:00.250Z", " 18:30:00 UTC")),
        ("", "2025/01/31 18:30:00"),
    ],
)
def test_times_are_read_by_their_format_and_keep_the_written_clock(tmp_path, time_format, text):
    assert times_of(read(tmp_path, [text], time_format=time_format)[0]) == ["2025-01-31 18:30:00"]


@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("", "2025-01-31T17:30:00Z"),
        ("", "2025-01-31 12:30:00-05:00"),
        ("", "2025-01-31T12:30:00-05"),
        ("", "2025-01-31 18:30:00"),
        ("unix_s", "1738344600"),
        ("%Y-%m-%d %H:%M:%S %z", "2025-01-31 12:30:00 -0500"),
    ],
)
def test_a_time_zone_converts_times_with_offset_and_leaves_those_without(tmp_path, time_format, text):
    events, _ = read(tmp_path, [text], time_format=time_format, time_zone="Europe/Berlin")
    assert times_of(events) == ["2025-01-31 18:30:00"]


def test_timestamps_of_a_zone_are_converted_or_keep_their_clock(tmp_path):
    time = pl.Series([datetime.datetime(2025, 1, 31, 12, 30)]).dt.replace_time_zone("America/New_York")
    pl.DataFrame({"uid": ["a"], "ts": time, "name": ["Tea"]}).write_parquet(tmp_path / "log.parquet")
    assert times_of(read_events(tmp_path / "log.parquet", mapping())[0]) == ["2025-01-31 12:30:00"]
    berlin = mapping(time_zone="Europe/Berlin")
    assert times_of(read_events(tmp_path / "log.parquet", berlin)[0]) == ["2025-01-31 18:30:00"]


def test_a_time_in_the_hour_that_spring_skips_shifts_forward_and_is_counted(tmp_path):
    # Berlin went from 02:00 straight to 03:00 on 2025-03-30; Lord Howe skipped half an hour on 2025-10-05.
    times = ["2025-03-30 01:59:00", "2025-03-30 02:30:00", "2025-03-30 03:00:00"]
    events, report = read(tmp_path, times, time_zone="Europe/Berlin")
    assert times_of(events) == ["2025-03-30 01:59:00", "2025-03-30 03:30:00", "2025-03-30 03:00:00"]
    assert changed(report) == {"time that the zone skips, shifted forward": 1}
    events, _ = read(tmp_path, ["2025-10-05 02:10:00"], time_zone="Australia/Lord_Howe")
    assert times_of(events) == ["2025-10-05 02:40:00"]


def test_a_time_in_the_hour_that_autumn_has_twice_is_kept_and_counted(tmp_path):
    times = ["2025-10-26 01:59:00", "2025-10-26 02:30:00", "2025-10-26 03:00:00", "2025-10-26T00:30:00Z"]
    events, report = read(tmp_path, times, time_zone="Europe/Berlin")
    assert times_of(events) == [*times[:3], "2025-10-26 02:30:00"]
    assert changed(report) == {"time that the zone has twice, taken as the earlier": 1}


@pytest.mark.parametrize(
    ("first", "second", "zone"),
    [
        ("2025-01-01 10:00:00+01:00", "2025-07-01 10:00:00+02:00", "+01:00"),
        ("2025-01-01T10:00:00Z", "2025-01-01T10:00:00", "UTC"),
        ("2025-01-01 10:00:00", "2025-01-01T10:00:00-05:00", "no offset"),
    ],
)
def test_mixed_offsets_without_a_time_zone_are_refused_naming_the_first_row(tmp_path, first, second, zone):
    message = (
        f"log.csv: row 3: column 'ts': time '{second}'; expected {zone} as in the rows before, or time_zone in the "
        "mapping: such times cannot be compared"
    )
    with pytest.raises(InputError, match=re.escape(message) + "$"):
        read(tmp_path, [first, first, second])
    assert read(tmp_path, [first, second], time_zone="Europe/Berlin")[0].height == 2


def test_mixed_offsets_are_found_across_files_too(tmp_path):
    write(tmp_path, "uid,ts,name\na,2025-01-01T10:00:00Z,Tea\n", "1.csv")
    write(tmp_path, "uid,ts,name\na,2025-01-01T10:00:00,Tea\n", "2.csv")
    with pytest.raises(InputError, match=r"2.csv: row 1: column 'ts': time '2025-01-01T10:00:00'; expected UTC as in"):
        read_events(tmp_path, mapping())


def test_two_spellings_of_utc_are_no_mixture(tmp_path):
    times = ["2025-01-01T10:00:00Z", "2025-01-01T11:00:00+00:00", "2025-01-01T12:00:00-0000"]
    assert read(tmp_path, times)[0].height == 3


@pytest.mark.parametrize(
    ("time_format", "time", "reason"),
    [
        ("unix_s", "0", "time is the epoch: missing"),
        ("", "1970-01-01 00:00:00", "time is the epoch: missing"),
        ("", "1969-12-31 19:00:00", "time is the epoch: missing"),
        ("", "1900-01-01", "time before 1971"),
        ("", "2025-02-01 00:00:01", "time later than the latest believed"),
    ],
)
def test_times_that_cannot_be_are_dropped_and_counted(tmp_path, time_format, time, reason):
    good = "1738348200" if time_format else "2025-01-31 18:30:00"
    for zone in ("", "America/New_York"):
        events, report = read(tmp_path, [good, time], time_format=time_format, latest="2025-02-01", time_zone=zone)
        assert (events.height, dropped(report)) == (1, {reason: 1})


def test_without_a_latest_time_the_future_is_dropped(tmp_path):
    events, report = read(tmp_path, ["2025-01-31", "2999-01-01"])
    assert (events.height, dropped(report)) == (1, {"time later than the latest believed": 1})
