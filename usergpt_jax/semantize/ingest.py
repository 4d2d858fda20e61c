"""Ingest: a real log, by its mapping, to the event schema.

Row numbers count data rows from 1 (a CSV's header is not counted). What stops the import: a missing mapped column, a
time or number that cannot be parsed, an unknown source or action, an empty log. What drops a row, counted in the
report: no user, no title, ignored item, quantity or price <= 0 (as mapped), exact duplicate, cancellation. What changes
a row, counted too: bytes that are not UTF-8 become U+FFFD, and text longer than `MAX_TEXT_CHARS` is cut. Control tokens
and MUB syntax in titles stay as they are here; `mub.escape` disarms them when they are written.
"""

import pathlib

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize import cancel, log_file
from usergpt_jax.semantize.event_map import EventMap
from usergpt_jax.semantize.import_report import MAX_EXAMPLES, Decision, ImportReport
from usergpt_jax.semantize.log_file import ROW, LogError

MAX_TEXT_CHARS = 500
TEXT_KEYS = ("title", "category", "place", "item_id", "user_id")
_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
)
_COLUMNS = tuple(schema.EVENT_SCHEMA.names)


class _Rows:
    """Rows on their way to events, and the decisions taken about them."""

    def __init__(self, path: pathlib.Path, frame: pl.DataFrame):
        self.path = path
        self.frame = frame
        self.dropped: dict[str, Decision] = {}
        self.changed: dict[str, Decision] = {}

    def drop(self, reason: str, mask: pl.Expr, shown: str) -> None:
        """Leaves out the rows where `mask` is true, showing column `shown` of the first."""
        mask = mask.fill_null(False)
        if found := _decision(self.frame.filter(mask), shown):
            self.dropped[reason] = found
            self.frame = self.frame.filter(~mask)

    def change(self, reason: str, mask: pl.Expr, shown: str, *new: pl.Expr) -> None:
        """Counts the rows where `mask` is true and gives the columns `new`."""
        if found := _decision(self.frame.filter(mask.fill_null(False)), shown):
            self.changed[reason] = found
            self.frame = self.frame.with_columns(*new)

    def refuse(self, mask: pl.Expr, shown: str, what: str, expected: str) -> None:
        """Raises `LogError` for the first row where `mask` is true."""
        bad = self.frame.filter(mask.fill_null(False)).head(1)
        if bad.height:
            value = bad[shown].item()
            text = repr(value if value is None else str(value)[:80])
            raise LogError(f"{self.path}: row {bad[ROW].item()}: {what} {text}; expected {expected}")


def _decision(rows: pl.DataFrame, shown: str) -> Decision | None:
    if not rows.height:
        return None
    head = rows.head(MAX_EXAMPLES).select(ROW, pl.col(shown).cast(pl.String).str.head(60)).rows()
    return Decision(rows.height, tuple((row, "" if value is None else value) for row, value in head))


def read_events(path: str | pathlib.Path, mapping: EventMap) -> tuple[pl.DataFrame, ImportReport]:
    """Reads a log.

    Args:
      path: CSV, TSV, JSONL or Parquet.
      mapping: its columns.

    Returns:
      events in `schema.EVENT_SCHEMA` sorted by user and time (equal times in file order), and the report.

    Raises:
      LogError: one line with row, column and value, for what the module's docstring says stops the import.
    """
    path = pathlib.Path(path)
    columns = mapping.columns()
    lazy = log_file.scan(path, list(columns.values()), mapping.delimiter)
    try:
        frame = lazy.select(ROW, *(_typed(lazy, key, column) for key, column in columns.items())).collect(
            engine="streaming"
        )
    except pl.exceptions.PolarsError as error:
        raise log_file.broken(path, error) from None
    rows = _Rows(path, frame)
    if not frame.height:
        raise LogError(f"{path}: the log is empty")
    _require_user_and_title(rows)
    _parse(rows, mapping)
    _apply_policies(rows, mapping)
    _normalise_text(rows)
    rows.drop(
        "exact duplicate of an earlier row",
        ~pl.struct(*_COLUMNS, "is_cancel", "raw_quantity").is_first_distinct(),
        "title",
    )
    _cancel(rows)
    if not rows.frame.height:
        reasons = ", ".join(f"{reason}: {one.count}" for reason, one in rows.dropped.items())
        raise LogError(f"{path}: none of {frame.height} rows is an event ({reasons})")
    events = rows.frame.sort("user_id", "time", ROW).select(_COLUMNS)
    return events, _report(rows, frame.height, events, mapping)


def _typed(lazy: pl.LazyFrame, key: str, column: str) -> pl.Expr:
    """A mapped column as text, but for times and numbers that already have their type."""
    dtype = lazy.collect_schema()[column]
    if dtype.is_temporal() or (dtype.is_numeric() and key in ("price", "quantity", "time")):
        return pl.col(column).alias(key)
    if dtype.is_float():  # ids that a null turned into floats: 17850.0
        whole = pl.col(column).cast(pl.Int64, strict=False)
        text = pl.when(whole.cast(pl.Float64) == pl.col(column)).then(whole.cast(pl.String))
        return text.otherwise(pl.col(column).cast(pl.String)).alias(key)
    return pl.col(column).cast(pl.String).alias(key)


def _require_user_and_title(rows: _Rows) -> None:
    absent = [pl.lit(None, pl.String).alias(key) for key in TEXT_KEYS if key not in rows.frame.columns]
    rows.frame = rows.frame.with_columns(absent)
    for key in ("user_id", "title"):
        blank = pl.col(key).is_null() | (pl.col(key).str.strip_chars() == "")
        rows.drop(f"no {key}", blank, key)


def _parse(rows: _Rows, mapping: EventMap) -> None:
    """Times, numbers, sources and actions, refusing the first that does not parse."""
    time = _time(rows.frame.schema["time"], mapping.time_format)
    rows.frame = rows.frame.with_columns(time.cast(pl.Datetime("ms")).alias("parsed_time"))
    expected = mapping.time_format or "an ISO 8601 time such as 2025-01-31 18:30:00"
    rows.refuse(pl.col("parsed_time").is_null(), "time", f"column {mapping.time!r}: unparsable time", expected)
    rows.frame = rows.frame.with_columns(pl.col("parsed_time").dt.truncate("1s").alias("time"))
    for key in ("price", "quantity"):
        if key not in rows.frame.columns:
            rows.frame = rows.frame.with_columns(pl.lit(None, pl.Float32).alias(key))
            continue
        number = pl.col(key).cast(pl.Float32, strict=False)
        stated = pl.col(key).is_not_null() & (pl.col(key).cast(pl.String).str.strip_chars() != "")
        bad = stated & (number.is_null() | ~number.is_finite())
        rows.refuse(bad, key, f"column {getattr(mapping, key)!r}: unparsable {key}", "a number")
        rows.frame = rows.frame.with_columns(number)
    _map_values(rows, "source", mapping.source, mapping.source_column, mapping.source_values, schema.SOURCES)
    _map_values(rows, "action", mapping.action, mapping.action_column, mapping.action_values, schema.ACTIONS)


def _map_values(
    rows: _Rows, key: str, constant: str, column: str, values: tuple[tuple[str, str], ...], allowed: tuple[str, ...]
) -> None:
    if constant:
        rows.frame = rows.frame.with_columns(pl.lit(constant).alias(key))
        return
    known = dict(values) or {value: value for value in allowed}
    raw = pl.col(f"{key}_column")
    rows.frame = rows.frame.with_columns(raw.replace_strict(known, default=None, return_dtype=pl.String).alias(key))
    rows.refuse(
        pl.col(key).is_null(), f"{key}_column", f"column {column!r}: unknown {key}", f"one of {', '.join(known)}"
    )


def _time(dtype: pl.DataType, time_format: str) -> pl.Expr:
    raw = pl.col("time")
    if isinstance(dtype, pl.Datetime):
        return raw.dt.replace_time_zone(None)
    if dtype.is_temporal():
        return raw.cast(pl.Datetime("ms"))
    if time_format in ("unix_s", "unix_ms"):
        number = raw.cast(pl.Int64, strict=False)
        return pl.from_epoch(number, time_unit="s" if time_format == "unix_s" else "ms")
    text = raw.cast(pl.String).str.strip_chars()
    if time_format:
        return text.str.to_datetime(time_format, time_unit="ms", strict=False)
    local = text.str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ").str.replace(r"(:\d\d(?:\.\d+)?)(?:Z|[+-]\d\d:?\d\d)$", "$1")
    return pl.coalesce(local.str.to_datetime(one, time_unit="ms", strict=False) for one in _TIME_FORMATS)


def _apply_policies(rows: _Rows, mapping: EventMap) -> None:
    """Ignored items, cancellations, and quantities and prices <= 0; adds `is_cancel` and `raw_quantity`."""
    if mapping.ignored_items:
        rows.drop("ignored item", pl.col("item_id").is_in(mapping.ignored_items), "item_id")
    is_cancel = pl.lit(False)
    if mapping.cancel_column:
        is_cancel = pl.col("cancel_column").str.starts_with(mapping.cancel_prefix).fill_null(False)
    quantity, price = pl.col("quantity"), pl.col("price")
    if mapping.negative_quantity == "cancel":
        is_cancel = is_cancel | (quantity < 0).fill_null(False)
    rows.frame = rows.frame.with_columns(is_cancel.alias("is_cancel"), quantity.alias("raw_quantity"))
    event = ~pl.col("is_cancel")
    if mapping.negative_quantity != "keep":
        rows.drop("quantity <= 0", event & (quantity <= 0), "quantity")
    if mapping.nonpositive_price == "drop":
        rows.drop("price <= 0", event & (price <= 0), "price")
    elif mapping.nonpositive_price == "null":
        rows.change("price <= 0 forgotten", price <= 0, "price", pl.when(price > 0).then(price).alias("price"))


def _normalise_text(rows: _Rows) -> None:
    texts = [pl.col(key) for key in TEXT_KEYS]
    broken = pl.any_horizontal(text.str.contains(log_file.REPLACEMENT, literal=True).fill_null(False) for text in texts)
    rows.change("bytes that are not UTF-8 replaced by U+FFFD", broken, "title")
    long = pl.any_horizontal((text.str.len_chars() > MAX_TEXT_CHARS).fill_null(False) for text in texts)
    rows.change(
        f"text cut to {MAX_TEXT_CHARS} characters", long, "title", *(text.str.head(MAX_TEXT_CHARS) for text in texts)
    )


def _cancel(rows: _Rows) -> None:
    if not rows.frame["is_cancel"].any():
        return
    rows.frame = cancel.match(rows.frame)
    rows.drop("cancellation of a purchase", pl.col("is_cancel") & (pl.col("matched") > 0), "title")
    rows.drop("cancellation without a purchase", pl.col("is_cancel"), "title")
    rows.drop("purchase cancelled", pl.col("matched") >= pl.col("amount"), "title")
    left = pl.when(pl.col("quantity").is_not_null()).then(pl.col("amount") - pl.col("matched")).cast(pl.Float32)
    rows.change("purchase cancelled in part", pl.col("matched") > 0, "title", left.alias("quantity"))


def _report(rows: _Rows, rows_read: int, events: pl.DataFrame, mapping: EventMap) -> ImportReport:
    first, last = events["time"].min(), events["time"].max()
    return ImportReport(
        path=str(rows.path),
        rows_read=rows_read,
        events=events.height,
        dropped=rows.dropped,
        changed=rows.changed,
        users=events["user_id"].n_unique(),
        first=str(first),
        last=str(last),
        currency=mapping.currency,
    )
