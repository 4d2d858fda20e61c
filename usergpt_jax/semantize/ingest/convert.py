"""From a batch of a log's rows to rows of the event schema, every dropped and changed row counted.

What stops the import: a time or number that cannot be parsed, an unknown source or action, times that cannot be
compared. What drops a row: another value than the mapping keeps, a source or action mapped to "", no user, no title, a
time before 1971 or later than `latest`, an ignored item, a quantity or price <= 0 (as mapped). What changes a row: a
price or quantity that is NaN is forgotten, a currency mark is taken off, a time in the gap of a time zone shifts, an
object or list among texts is blanked, personal data in text gives way to words, text longer than `MAX_TEXT_CHARS` is
cut, the user's id is trimmed, written as a whole number and hashed. Control tokens and MUB syntax in titles stay as
they are here; they are disarmed when MUBs are written.
"""

import dataclasses
import datetime
import hashlib

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.ingest import amounts, times
from usergpt_jax.semantize.ingest.event_map import ANY, COLUMN_KEYS, EventMap
from usergpt_jax.semantize.ingest.log_files import LogFile
from usergpt_jax.semantize.ingest.log_text import REPLACEMENT
from usergpt_jax.semantize.ingest.rows import FILE, NESTED, ORDER, ROW, Rows, Tally
from usergpt_jax.semantize.ingest.scrub import scrub

MAX_TEXT_CHARS = 500
TEXT_KEYS = ("title", "category", "place", "item_id", "user_id")
FREE_TEXT_KEYS = ("title", "place", "category")
_NUMBER_KEYS = ("price", "quantity")
_EPOCH = (datetime.datetime(1969, 12, 31), datetime.datetime(1970, 1, 2))
_FIRST = datetime.datetime(1971, 1, 1)
_HASH_BYTES = 16
_NOTHING = ("", "nan", "nat", "null", "none", "n/a")  # how programs write that they have no value
_MOST = 1e38  # about the largest float32
# What `convert` hands to `settle`.
SETTLE_COLUMNS = (FILE, ROW, ORDER, *schema.EVENT_SCHEMA.names, "is_cancel", "raw_quantity")


@dataclasses.dataclass(frozen=True)
class Rules:
    """A mapping with what it needs from outside.

    Attributes:
      mapping: of the log.
      latest: see `EventMap.latest_time`.
      salt: key of the users' hashes; b"" without hashing.
    """

    mapping: EventMap
    latest: datetime.datetime
    salt: bytes


def convert(frame: pl.DataFrame, files: list[LogFile], rules: Rules, tally: Tally) -> pl.DataFrame:
    """Converts a batch.

    Args:
      frame: the mapped columns by their name in the log, with `FILE`, `ROW` and `ORDER`.
      files: of the log.
      rules: how.
      tally: to count into.

    Returns:
      rows with `SETTLE_COLUMNS`.

    Raises:
      LogError: one line with file, row, column and value, for what the module's docstring says stops the import.
    """
    mapping = rules.mapping
    tally.filled.update(name for name in frame.columns if frame[name].null_count() < frame.height)
    rows = Rows(frame, files, tally)
    _decode_bytes(rows, mapping)
    for column, values in mapping.keep:
        kept = _text(rows.frame, column, mapping).is_in(values).fill_null(False)
        rows.drop(f"{column} is not {' or '.join(values)}", ~kept, column)
    if NESTED in frame.columns:
        _blank_nested(rows, mapping)
    rows.frame = rows.frame.select(FILE, ROW, ORDER, *_by_key(rows.frame, mapping))
    for key in ("source", "action"):
        _map_values(rows, key, mapping)
    for key in ("user_id", "title", "time"):
        said = _text(rows.frame, key, mapping).str.strip_chars().str.to_lowercase()
        rows.drop(f"no {key}", said.is_null() | said.is_in(_NOTHING), key)
    for key in ("source", "action"):
        _refuse_unknown(rows, key, mapping)
    _read_times(rows, rules)
    for key in _NUMBER_KEYS:
        _read_numbers(rows, key, mapping)
    _apply_policies(rows, mapping)
    _normalise_users(rows, mapping)
    _normalise_text(rows, mapping)
    if mapping.hash_user_id:
        users = rows.frame["user_id"].unique()
        hashes = [hashlib.blake2b(u.encode(), key=rules.salt, digest_size=_HASH_BYTES).hexdigest() for u in users]
        rows.frame = rows.frame.with_columns(
            pl.col("user_id").replace_strict(users, pl.Series(hashes, dtype=pl.String), return_dtype=pl.String)
        )
    return rows.frame.select(SETTLE_COLUMNS)


def _decode_bytes(rows: Rows, mapping: EventMap) -> None:
    """Text of the columns that are bytes; a user's id must decode, since broken ones would fall into one."""
    for column, dtype in rows.frame.schema.items():
        if dtype != pl.Binary:
            continue
        read = pl.col(column).map_elements(lambda raw: raw.decode(mapping.encoding, "replace"), return_dtype=pl.String)
        if column in mapping.user_id:
            broken = read.str.contains(REPLACEMENT, literal=True)
            rows.refuse(broken, column, f"column {column!r}: bytes that are not {mapping.encoding}", "text or numbers")
        rows.frame = rows.frame.with_columns(read)


def _blank_nested(rows: Rows, mapping: EventMap) -> None:
    """Blanks objects and lists in columns that hold texts elsewhere; what is no time, number or action stops anyway."""
    texts = [column for key in (*TEXT_KEYS, "cancel_column") for column in mapping.columns().get(key, ())]
    for column in dict.fromkeys(texts):
        nested = pl.col(NESTED).list.contains(column).fill_null(False)
        plain = pl.when(~nested).then(column).alias(column)
        rows.change(f"{column} is an object or list where others hold a text: blanked", nested, column, plain)


def _by_key(frame: pl.DataFrame, mapping: EventMap) -> list[pl.Expr]:
    """The mapped columns under their keys: text, but for times and numbers that already have their type."""
    found = []
    for key in COLUMN_KEYS:
        columns = mapping.columns().get(key, ())
        if len(columns) == 1:
            dtype = frame.schema[columns[0]]
            typed = (dtype.is_temporal() and key == "time") or (dtype.is_numeric() and key in (*_NUMBER_KEYS, "time"))
            found.append((pl.col(columns[0]) if typed else _text(frame, columns[0], mapping)).alias(key))
        elif columns:
            texts = [_text(frame, column, mapping) for column in columns]
            found.append(pl.coalesce(pl.when(text.str.strip_chars() != "").then(text) for text in texts).alias(key))
        elif key in (*TEXT_KEYS, *_NUMBER_KEYS):
            found.append(pl.lit(None, pl.String if key in TEXT_KEYS else pl.Float64).alias(key))
    return found


def _text(frame: pl.DataFrame, column: str, mapping: EventMap) -> pl.Expr:
    dtype = frame.schema[column]
    if dtype == pl.Duration:  # which polars writes as no text
        return pl.col(column).cast(pl.Int64).cast(pl.String)
    text = pl.col(column).cast(pl.String)
    if dtype.is_float() or dtype.is_decimal():  # ids that a missing value turned into floats: 17850.0
        whole = pl.col(column).cast(pl.Int64, strict=False)
        text = text.str.replace(".", ",", literal=True) if mapping.decimal_comma else text
        return pl.when(whole.cast(pl.Float64) == pl.col(column)).then(whole.cast(pl.String)).otherwise(text)
    return text


def _map_values(rows: Rows, key: str, mapping: EventMap) -> None:
    """Adds `source` or `action`, dropping the rows whose value is mapped to ""."""
    if constant := getattr(mapping, key):
        rows.frame = rows.frame.with_columns(pl.lit(constant).alias(key))
        return
    known = _known(key, mapping)
    raw = pl.col(f"{key}_column").cast(pl.String)
    mapped = raw.replace_strict(known, default=known.get(ANY), return_dtype=pl.String)
    if ANY in known:
        mapped = pl.when(raw.is_null()).then(pl.lit(known[ANY])).otherwise(mapped)
    rows.frame = rows.frame.with_columns(mapped.alias(key))
    rows.drop(f"{key} that the mapping drops", pl.col(key) == "", f"{key}_column")


def _known(key: str, mapping: EventMap) -> dict[str, str]:
    allowed = schema.SOURCES if key == "source" else schema.ACTIONS
    return dict(getattr(mapping, f"{key}_values")) or {value: value for value in allowed}


def _refuse_unknown(rows: Rows, key: str, mapping: EventMap) -> None:
    if not getattr(mapping, key):
        column = _named(mapping, f"{key}_column")
        known = ", ".join(_known(key, mapping))
        rows.refuse(pl.col(key).is_null(), f"{key}_column", f"{column}: unknown {key}", f"one of {known}")


def _named(mapping: EventMap, key: str) -> str:
    return f"column {' or '.join(map(repr, mapping.columns()[key]))}"


def _read_times(rows: Rows, rules: Rules) -> None:
    mapping = rules.mapping
    read = times.read(rows.frame["time"], mapping.time_format)
    rows.frame = rows.frame.with_columns(read)
    expected = mapping.time_format or "an ISO 8601 time such as 2025-01-31 18:30:00"
    rows.refuse(pl.col("wall").is_null(), "time", f"{_named(mapping, 'time')}: unparsable time", expected)
    epoch = pl.coalesce("utc", "wall").is_between(*_EPOCH, closed="left")
    rows.drop("time is the epoch: missing", epoch, "time")
    if mapping.time_zone:
        rows.frame = rows.frame.with_columns(times.to_zone(rows.frame.select(read.columns), mapping.time_zone))
        skipped = "time that the zone skips, shifted forward"
        rows.change(skipped, pl.col("skipped"), "time")
        rows.change("time that the zone has twice, taken as the earlier", pl.col("twice"), "time")
    else:
        _refuse_mixed_zones(rows, mapping)
        rows.frame = rows.frame.with_columns(pl.col("wall").alias("local"))
    rows.drop("time before 1971", pl.col("local") < _FIRST, "time")
    rows.drop("time later than the latest believed", pl.col("local") > rules.latest, "time")
    rows.frame = rows.frame.with_columns(pl.col("local").dt.truncate("1s").cast(pl.Datetime("ms")).alias("time"))


def _refuse_mixed_zones(rows: Rows, mapping: EventMap) -> None:
    if rows.frame.height:
        rows.tally.zone = rows.tally.zone or rows.frame["zone"][0]
        first = rows.tally.zone
        rows.refuse(
            pl.col("zone") != first,
            "time",
            f"{_named(mapping, 'time')}: time",
            f"{first} as in the rows before, or time_zone in the mapping: such times cannot be compared",
        )


def _read_numbers(rows: Rows, key: str, mapping: EventMap) -> None:
    raw = rows.frame[key]
    number = raw.cast(pl.Float64, strict=False)
    stated = raw.str.strip_chars() != "" if raw.dtype == pl.String else raw.is_not_null()
    as_it_is = not mapping.decimal_comma and not (number.is_null() & stated).fill_null(False).any()
    if raw.dtype == pl.String and not as_it_is:
        text = pl.col(key)
        if key == "price":
            rows.frame = rows.frame.with_columns(amounts.marks(text).alias("mark"))
            for mark in rows.frame["mark"].drop_nulls().unique().sort():
                rows.change(f"currency mark {mark!r} taken off the price", pl.col("mark") == mark, key)
            text = amounts.without_marks(text)
        number = rows.frame.select(amounts.number(text, mapping.decimal_comma))[key]
    rows.frame = rows.frame.with_columns(number.alias("number"), stated.alias("stated"))
    bad = pl.col("stated") & (pl.col("number").is_null() | (pl.col("number").fill_nan(0.0).abs() > _MOST))
    if key in mapping.columns():
        expected = "a number such as 1.234,50" if mapping.decimal_comma else "a number such as 1234.50"
        rows.refuse(bad, key, f"{_named(mapping, key)}: unparsable {key}", expected)
    rows.change(f"{key} is NaN: forgotten", pl.col("number").is_nan(), key, pl.col("number").fill_nan(None))
    scale = mapping.price_scale if key == "price" else 1.0
    rows.frame = rows.frame.with_columns((pl.col("number") * scale).cast(pl.Float32).alias(key))


def _apply_policies(rows: Rows, mapping: EventMap) -> None:
    """Ignored items, cancellations, and quantities and prices <= 0; adds `is_cancel` and `raw_quantity`."""
    if mapping.ignored_items:
        rows.drop("ignored item", pl.col("item_id").is_in(mapping.ignored_items), "item_id")
    is_cancel = pl.lit(False)
    if mapping.cancel_column:
        is_cancel = pl.col("cancel_column").cast(pl.String).str.starts_with(mapping.cancel_prefix).fill_null(False)
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


def _normalise_users(rows: Rows, mapping: EventMap) -> None:
    """One id for " 17850 ", "17850" and "17850.0", which a missing value elsewhere in a column makes of it."""
    user = pl.col("user_id")
    trimmed = user.str.strip_chars()
    rows.change("user_id with spaces around it: trimmed", trimmed != user, "user_id", trimmed)
    whole = user.str.replace(r"^(-?\d+)[.,]0+$" if mapping.decimal_comma else r"^(-?\d+)\.0+$", "${1}")
    rows.change("user_id is a whole number written as a fraction: its zeros cut", whole != user, "user_id", whole)


def _normalise_text(rows: Rows, mapping: EventMap) -> None:
    for key in FREE_TEXT_KEYS:
        column, found = scrub(rows.frame[key], mapping.scrub)
        rows.frame = rows.frame.with_columns(column)
        for kind, count in found.items():
            rows.tally.scrubbed[kind] = rows.tally.scrubbed.get(kind, 0) + count
    texts = [pl.col(key) for key in TEXT_KEYS]
    reason = f"bytes that are not {mapping.encoding} replaced by U+FFFD: see `encoding` in the mapping"
    shown = pl.coalesce(pl.when(text.str.contains(REPLACEMENT, literal=True)).then(text) for text in texts)
    rows.frame = rows.frame.with_columns(shown.alias("broken"))
    rows.change(reason, pl.col("broken").is_not_null(), "broken")
    long = pl.any_horizontal((text.str.len_chars() > MAX_TEXT_CHARS).fill_null(False) for text in texts)
    cut = [text.str.head(MAX_TEXT_CHARS) for text in texts]
    rows.change(f"text cut to {MAX_TEXT_CHARS} characters", long, "title", *cut)
