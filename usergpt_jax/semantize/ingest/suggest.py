"""A mapping file proposed for a log, from the names of its columns and a sample of their values."""

import datetime
import os

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.ingest import (
    amounts,
    batches,
    column_words,
    csv_rows,
    json_rows,
    log_files,
    parquet_rows,
    scrub,
    times,
)
from usergpt_jax.semantize.ingest.log_files import LogError, LogFile
from usergpt_jax.semantize.ingest.rows import ROW

_SAMPLE_ROWS = 2_000
_MAX_VALUES = 40  # a column with more distinct values is no action or source
_READ_SHARE = 0.9  # of the sample's values, for a column to be taken for a time or a number
_TEXT_FORMATS = (
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y"),
    *("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y", "%m/%d/%y %H:%M"),
    *("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y", "%Y%m%d%H%M%S", "%Y%m%d", "%d %b %Y %H:%M:%S"),
    *("%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z"),
)
_BELIEVABLE = (datetime.datetime(1990, 1, 1), datetime.datetime(2100, 1, 1))


def mapping_file(log: str | os.PathLike[str]) -> str:
    """The text of a mapping file.

    Every key that was found is in it, with why; what was not found stands in comments above. It loads as it is if a
    user, a time and a title were found.

    Args:
      log: file, folder or glob; the first of its files is looked into.

    Raises:
      LogError: there is no such log, or its first file cannot be read or has no row.
    """
    files, _ = log_files.find(log)
    frame, delimiter = _sample(files[0])
    lists = [name for name in frame.columns if _is_list(frame[name])]
    frame = frame.select(name for name in frame.columns if name not in lists and not frame.schema[name].is_nested())
    found: dict[str, object] = {}
    notes: dict[str, str] = {}
    _find_columns(frame, found, notes)
    for key, words, allowed, fallback in (
        ("action", column_words.ACTION_WORDS, schema.ACTIONS, "purchase" if "price" in found else "click"),
        ("source", column_words.SOURCE_WORDS, schema.SOURCES, "ecommerce"),
    ):
        _find_values(frame, key, words, allowed, fallback, found, notes)
    if delimiter != ",":
        found["delimiter"] = delimiter
    missing = [
        key for key in column_words.COLUMNS if key not in found and key not in ("action_column", "source_column")
    ]
    return _text(str(log), frame.columns, lists, found, notes, missing)


def _sample(file: LogFile) -> tuple[pl.DataFrame, str]:
    """The first rows with all columns, and the delimiter."""
    delimiter = ","
    if file.format == "csv":
        delimiter = max(",;|\t", key=lambda one: len(csv_rows.header(file, one)))
    names = [one for one in batches.names(file, "", delimiter) if one]
    if file.format == "parquet":
        frames = parquet_rows.read(file, names, "", _SAMPLE_ROWS)
    elif file.format == "jsonl":
        frames = json_rows.read(file, names, "", decimal_comma=False)
    else:
        frames = csv_rows.read(file, list(dict.fromkeys(names)), delimiter)
    frame = next((one for one in frames if one.height), None)
    if frame is None:
        raise LogError(f"{file.path}: the log is empty")
    frame = frame.drop(ROW, strict=False).head(_SAMPLE_ROWS)
    return frame, delimiter


def _is_list(values: pl.Series) -> bool:
    """Whether a column holds lists, be it as JSON text."""
    if values.dtype == pl.String:
        return bool(values.null_count() < len(values) and _share(values.drop_nulls().str.starts_with("[{")) > 0.5)
    return isinstance(values.dtype, pl.List | pl.Array)


def _find_columns(frame: pl.DataFrame, found: dict[str, object], notes: dict[str, str]) -> None:
    taken: set[str] = set()
    for key in ("time", "user_id", "item_id", "title", "price", "quantity", "category", "place"):
        for column in column_words.ranked(key, frame.columns):
            values = frame[column].drop_nulls()
            if column in taken or not len(values):
                continue
            extra = _accept(key, column, values)
            if extra is None:
                continue
            found[key] = column
            found |= extra
            shown = [] if key == "user_id" else [_examples(values)]
            notes[key] = "; ".join([*shown, *_doubts(key, values, found)])
            taken.add(column)
            break


def _accept(key: str, column: str, values: pl.Series) -> dict[str, object] | None:
    """What else the mapping needs if a column is taken for a key; None if its values speak against it."""
    if key == "time":
        return _time_format(values)
    if key in ("price", "quantity"):
        extra = _number_format(values, cents="cent" in column.lower())
        if extra is not None and key == "quantity" and (values.cast(pl.Float64, strict=False) < 0).any():
            extra["negative_quantity"] = "cancel"
        return extra
    if key == "title":  # a number is no title
        text = values.cast(pl.String)
        return {} if _share(text.str.contains(r"\p{L}")) > 0.5 else None
    return {}


def _doubts(key: str, values: pl.Series, found: dict[str, object]) -> list[str]:
    """What the user should think about."""
    if key == "user_id" and _share(values.cast(pl.String).str.contains("@", literal=True)) > 0.5:
        return ["e-mail addresses: see hash_user_id"]
    time_format = found.get("time_format", "")
    if key == "time" and isinstance(time_format, str) and values.dtype == pl.String:
        swapped = time_format.translate(str.maketrans("dm", "md"))
        if swapped in _TEXT_FORMATS and _share(times.read(values, swapped)["wall"].is_not_null()) >= _READ_SHARE:
            return [f"may as well be {swapped}"]
        if times.read(values, time_format)["zone"].n_unique() > 1:
            return ["offsets differ, so time_zone has to say whose clock counts"]
    if key == "quantity" and found.get("negative_quantity"):
        return ["there are some below zero: taken for cancellations"]
    return []


def _time_format(values: pl.Series) -> dict[str, object] | None:
    if values.dtype.is_temporal():
        return {}
    numbers = values.cast(pl.Float64, strict=False)
    numbers = numbers.filter((numbers != 0).fill_null(True))  # 0 stands for a missing time
    for one, low, high in (("unix_s", 6e8, 4.1e9), ("unix_ms", 6e11, 4.1e12), ("unix_us", 6e14, 4.1e15)):
        if _share(numbers.is_between(low, high)) >= _READ_SHARE:
            return {"time_format": one}
    text = values.cast(pl.String).str.strip_chars()
    read = [(one, times.read(text, one)) for one in ("", *_TEXT_FORMATS)]
    shares = {one: _share(found["wall"].is_between(*_BELIEVABLE)) for one, found in read}
    best = max(shares, key=lambda one: shares[one])
    if shares[best] < _READ_SHARE:
        return None
    extra: dict[str, object] = {"time_format": best} if best else {}
    if dict(read)[best]["zone"].n_unique() > 1:
        extra["time_zone"] = "UTC"
    return extra


def _number_format(values: pl.Series, cents: bool) -> dict[str, object] | None:
    extra: dict[str, object] = {"price_scale": 0.01} if cents else {}
    if values.dtype.is_numeric():
        return extra
    frame = values.cast(pl.String).to_frame("x").select(x=amounts.without_marks(pl.col("x")))
    for comma in (False, True):
        if _share(frame.select(amounts.number(pl.col("x"), comma).is_not_null())["x"]) >= _READ_SHARE:
            return extra | ({"decimal_comma": True} if comma else {})
    return None


def _share(holds: pl.Series) -> float:
    return float(holds.fill_null(False).sum()) / max(len(holds), 1)


def _find_values(
    frame: pl.DataFrame,
    key: str,
    words: tuple[tuple[str, tuple[str, ...]], ...],
    allowed: tuple[str, ...],
    fallback: str,
    found: dict[str, object],
    notes: dict[str, str],
) -> None:
    """A column of few values, some of which are understood, with a value map; else one value for the whole log."""
    for column in column_words.ranked(f"{key}_column", frame.columns):
        values = frame[column].drop_nulls().cast(pl.String).unique().sort().to_list()
        guessed = {value: column_words.value_for(value, words, allowed) for value in values}
        known = [value for value in values if guessed[value]]
        if column in found.values() or not 0 < len(values) <= _MAX_VALUES or not known:
            continue
        found[f"{key}_column"] = column
        found[f"{key}_values"] = {value: guessed[value] or "" for value in values}
        unknown = [value for value in values if guessed[value] is None]
        notes[f"{key}_values"] = "a guess" + (f"; not understood, so dropped: {', '.join(unknown)}" if unknown else "")
        return
    found[key] = fallback
    notes[key] = f"no column tells; one of {', '.join(allowed)}"


def _examples(values: pl.Series) -> str:
    first, _ = scrub.scrub(values.unique(maintain_order=True).head(3).cast(pl.String), scrub.KINDS)
    shown = [value[:30] for value in first]
    return "e.g. " + ", ".join(repr(one) for one in shown)


def _text(
    log: str, columns: list[str], lists: list[str], found: dict[str, object], notes: dict[str, str], missing: list[str]
) -> str:
    lines = [f'"""A mapping suggested for {_quoted(log)}; check every line."""', ""]
    lines += [f"# Not found: {', '.join(missing)}."] if missing else []
    unused = [one for one in columns if one not in found.values()]
    lines += [f"# Columns without a use: {_quoted(', '.join(unused))}."] if unused else []
    lines += [f"# Lists, of which `unroll` can make an event an element: {_quoted(', '.join(lists))}."] if lists else []
    lines += ["", "", "def get_config() -> dict:", "    return {"]
    for key in ("user_id", "time", "title"):
        if key not in found:
            lines.append(f'        "{key}": "",  # not found, and needed')
    for key, value in found.items():
        note = f"  # {_quoted(notes[key])}" if notes.get(key) else ""
        if isinstance(value, dict):
            inner = [f"            {name!r}: {meaning!r}," for name, meaning in value.items()]
            lines += [f'        "{key}": {{{note}', *inner, "        },"]
        else:
            lines.append(f'        "{key}": {value!r},{note}')
    return "\n".join([*lines, "    }", ""])


def _quoted(text: str) -> str:
    """Text that can stand in a comment or docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")
