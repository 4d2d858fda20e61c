"""Times: from numbers, timestamps and text, with or without offset, to the wall clock of the users' zone."""

import datetime

import polars as pl

NO_OFFSET = "no offset"
_ISO_OFFSET = r":\d\d(?:\.\d+)?\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
_ANY_OFFSET = r"(Z|z|[+-]\d\d:?\d\d)\D*$"
UNIX = {"unix_s": 1000.0, "unix_ms": 1.0, "unix_us": 0.001}  # milliseconds a unit
_UTC = "UTC"
_ISO = (
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d"),
    *("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M", "%Y/%m/%d"),
)
_MS = pl.Datetime("ms")
_DAY = datetime.timedelta(days=1)


def read(raw: pl.Series, time_format: str) -> pl.DataFrame:
    """Reads times as written.

    Args:
      raw: timestamps, dates, numbers or text.
      time_format: see `EventMap.time_format`.

    Returns:
      `wall`: the clock as written, null where it cannot be read; `utc`: the instant, null where no offset is known;
      `zone`: `NO_OFFSET`, or the offset or zone it was written in.
    """
    if isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone:
        wall, utc = raw.dt.replace_time_zone(None), raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _frame(wall, utc, _zones(raw.dtype.time_zone.removeprefix("Etc/"), raw))
    if raw.dtype in (pl.Time, pl.Duration):  # of no day
        return _frame(pl.Series([None], dtype=_MS).new_from_index(0, len(raw)), None, _zones(NO_OFFSET, raw))
    if raw.dtype.is_temporal():
        return _frame(raw.cast(_MS, strict=False), None, _zones(NO_OFFSET, raw))
    if time_format in UNIX:
        number = raw.cast(pl.Float64, strict=False) * UNIX[time_format]
        instant = number.cast(pl.Int64, strict=False).cast(_MS)
        return _frame(instant, instant, _zones(_UTC, raw))
    return _read_text(raw.cast(pl.String).str.strip_chars(), time_format)


def _read_text(text: pl.Series, time_format: str) -> pl.DataFrame:
    has_offset = any(mark in time_format for mark in ("%z", "%:z", "%#z"))
    if time_format and not has_offset:
        written = pl.Series([None], dtype=pl.String).new_from_index(0, len(text))
    else:
        written = text.str.extract(_ANY_OFFSET if time_format else _ISO_OFFSET)
    if not time_format:
        local = text.str.replace(r"^(\d{4}-\d\d-\d\d)[Tt]", "${1} ")
        if written.null_count() < len(text):
            local = local.str.replace(r"(:\d\d(?:\.\d+)?)\s*(?:Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$", "${1}")
        wall = _first_that_parses(local)
    elif has_offset:
        instant = text.str.to_datetime(time_format, time_unit="ms", strict=False).dt.replace_time_zone(None)
        wall = instant + _minutes(written)
    else:
        wall = text.str.to_datetime(time_format, time_unit="ms", strict=False)
    wall = wall.cast(_MS)
    utc = wall - _minutes(written)
    zone = written.str.to_uppercase().str.replace(r"^(?:Z|GMT|[+-]00:?(?:00)?)$", _UTC).fill_null(NO_OFFSET)
    return _frame(wall, utc, zone.str.replace(r"^([+-]\d\d):?(\d\d)$", "${1}:${2}"))


def _first_that_parses(text: pl.Series) -> pl.Series:
    wall = text.str.to_datetime(_ISO[0], time_unit="ms", strict=False)
    for one in _ISO[1:]:
        if wall.null_count() == text.null_count():
            break
        wall = wall.zip_with(wall.is_not_null(), text.str.to_datetime(one, time_unit="ms", strict=False))
    return wall


def _minutes(written: pl.Series) -> pl.Series:
    """Offsets as durations; null where none is written."""
    sign = written.str.starts_with("-").cast(pl.Int64) * -2 + 1
    parts = written.to_frame("x").select(
        hours=pl.col("x").str.extract(r"^[+-](\d\d)").cast(pl.Int64).fill_null(0),
        minutes=pl.col("x").str.extract(r"^[+-]\d\d:?(\d\d)$").cast(pl.Int64).fill_null(0),
    )
    total = sign * (parts["hours"] * 60 + parts["minutes"])
    return (total * 60_000).cast(pl.Duration("ms"))


def _zones(zone: str, raw: pl.Series) -> pl.Series:
    return pl.repeat(zone, len(raw), eager=True)


def _frame(wall: pl.Series, utc: pl.Series | None, zone: pl.Series) -> pl.DataFrame:
    utc = pl.Series([None], dtype=_MS).new_from_index(0, len(wall)) if utc is None else utc
    return pl.DataFrame({"wall": wall.cast(_MS), "utc": utc.cast(_MS), "zone": zone})


def to_zone(times: pl.DataFrame, time_zone: str) -> pl.DataFrame:
    """The wall clock of a zone.

    A time without offset that the zone skips (the hour lost in spring) shifts forward by what was skipped; one that it
    has twice (autumn) is taken as the earlier.

    Args:
      times: from `read`.
      time_zone: IANA name.

    Returns:
      `local`, `skipped` and `twice`.
    """
    wall = pl.col("wall")
    bare = pl.col("utc").is_null() & wall.is_not_null()
    earlier = wall.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    later = wall.dt.replace_time_zone(time_zone, ambiguous="latest", non_existent="null")
    # By the offset of the day before, which is the one in force until the gap.
    shifted = (wall - _DAY).dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    shifted = (shifted.dt.convert_time_zone("UTC") + _DAY).dt.convert_time_zone(time_zone).dt.replace_time_zone(None)
    converted = pl.col("utc").dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone).dt.replace_time_zone(None)
    skipped = bare & earlier.is_null()
    return times.select(
        local=pl.when(~bare).then(converted).when(skipped).then(shifted).otherwise(wall),
        skipped=skipped,
        twice=(bare & (earlier != later)).fill_null(False),
    )
