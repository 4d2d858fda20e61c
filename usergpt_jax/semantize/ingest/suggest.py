"""A mapping file proposed for a log, from the names of its columns and a sample of their values."""

import datetime
import os
from collections.abc import Callable

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.ingest import column_words, decimal_mark, sample, scrub, times, value_words
from usergpt_jax.semantize.ingest.sample import Sample
from usergpt_jax.semantize.ingest.suggestion import Suggestion

_MAX_VALUES = 40  # a column with more distinct values is no action or source
_READ_SHARE = 0.9  # of the sample's values, for a column to be taken for a time
_NUMBERS = ("price", "quantity")
_TEXTS = ("title", "item_id", "category")
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
      log: file, folder or glob; the first of its files that has rows is looked into.

    Raises:
      LogError: there is no such log, or a file cannot be read, or none has a row.
    """
    taken = sample.take(log)
    made = Suggestion()
    taken = taken._replace(frame=_keep_track_calls(taken.frame, made))
    if taken.unroll:
        made.put("unroll", taken.unroll, "an event an element")
    columns = _find_columns(taken, made)
    _find_decimal_mark(taken.frame, {key: columns[key] for key in _NUMBERS if key in columns}, made)
    _find_values(taken.frame, "action", value_words.action, "purchase" if "price" in columns else "click", made)
    _find_values(taken.frame, "source", value_words.source, "ecommerce", made)
    if taken.delimiter != ",":
        made.put("delimiter", taken.delimiter)
    if taken.encoding == "cp1252":
        made.put("encoding", "cp1252", "no UTF-8, but may be text of Windows: look at letters with accents")
    elif not taken.encoding:
        made.put("encoding", "utf-8", "the text is neither UTF-8 nor cp1252: name its encoding")
    return made.text(str(log), taken.frame.columns, taken.lists)


def _keep_track_calls(frame: pl.DataFrame, made: Suggestion) -> pl.DataFrame:
    """The `track` calls of a log in which a column tells kinds of calls; other logs whole."""
    kinds = set(frame["type"].unique().drop_nulls()) if "type" in frame.columns else set()
    if "track" not in kinds or not kinds <= set(column_words.CALLS):
        return frame
    made.put("keep", {"type": ("track",)}, "calls of another type tell of no action")
    made.columns.add("type")
    return frame.filter(pl.col("type") == "track")


def _find_columns(taken: Sample, made: Suggestion) -> dict[str, pl.Series]:
    """Puts the columns; returns the values found in them, by mapping key."""
    found: dict[str, pl.Series] = {}
    for key in ("time", "user_id", "item_id", "title", "price", "quantity", "category", "place"):
        chosen: list[str] = []
        for column in column_words.ranked(key, taken.frame.columns, taken.unroll):
            values = taken.frame[column].drop_nulls()
            if column in made.columns or not len(values) or (chosen and not _follows(key, column, chosen, taken.frame)):
                continue
            extra = _accept(key, column, values)
            if extra is not None:
                chosen.append(column)
                made.put(key, chosen[0] if len(chosen) == 1 else tuple(chosen))
                for name, value in extra.items():
                    made.put(name, value)
        if chosen:
            made.columns.update(chosen)
            found[key] = values = _together(taken.frame, chosen).drop_nulls()
            shown = [] if key == "user_id" else [_examples(values)]
            made.notes[key] = [*shown, *_doubts(key, values, made)]
    return found


def _follows(key: str, column: str, chosen: list[str], frame: pl.DataFrame) -> bool:
    """Whether a column fills in where the chosen are blank: one of the same name elsewhere, or another name of a text.

    A number under another name is another number: a total is no price.
    """
    same = column.rsplit(".", 1)[-1] == chosen[0].rsplit(".", 1)[-1]
    if not (key in _TEXTS and column_words.is_named(key, column)) and not (key in _NUMBERS and same):
        return False
    return bool((_together(frame, chosen).is_null() & frame[column].is_not_null()).any())


def _together(frame: pl.DataFrame, columns: list[str]) -> pl.Series:
    if len(columns) == 1:
        return frame[columns[0]]
    return frame.select(pl.coalesce(pl.col(one).cast(pl.String) for one in columns).alias("x"))["x"]


def _accept(key: str, column: str, values: pl.Series) -> dict[str, object] | None:
    """What else the mapping needs if a column is taken for a key; None if its values speak against it."""
    if key == "time":
        return _time_format(values)
    if key in _NUMBERS:
        if not decimal_mark.is_number(values):
            return None
        if key == "price":
            return {"price_scale": 0.01} if "cent" in column.lower() else {}
        return {"negative_quantity": "cancel"} if (values.cast(pl.Float64, strict=False) < 0).any() else {}
    if key == "title":  # a number is no title
        text = values.cast(pl.String)
        return {} if _share(text.str.contains(r"\p{L}")) > 0.5 else None
    return {}


def _doubts(key: str, values: pl.Series, made: Suggestion) -> list[str]:
    """What the user should think about."""
    if key == "user_id" and _share(values.cast(pl.String).str.contains("@", literal=True)) > 0.5:
        return ["e-mail addresses: see hash_user_id"]
    time_format = made.values.get("time_format", "")
    if key == "time" and isinstance(time_format, str) and values.dtype == pl.String:
        swapped = time_format.translate(str.maketrans("dm", "md"))
        if swapped in _TEXT_FORMATS and _share(times.read(values, swapped)["wall"].is_not_null()) >= _READ_SHARE:
            return [f"may as well be {swapped}"]
        if times.read(values, time_format)["zone"].n_unique() > 1:
            return ["offsets differ, so time_zone has to say whose clock counts"]
    if key == "quantity" and made.values.get("negative_quantity"):
        return ["there are some below zero: taken for cancellations"]
    return []


def _find_decimal_mark(frame: pl.DataFrame, numbers: dict[str, pl.Series], made: Suggestion) -> None:
    """The mark of prices and quantities; where these do not tell, that of any other column of numbers."""
    told = {key: decimal_mark.has_comma(values) for key, values in numbers.items()}
    if not any(one is not None for one in told.values()):
        others = [one for one in frame.columns if one not in made.columns and frame[one].count()]
        told |= {one: decimal_mark.has_comma(frame[one].drop_nulls()) for one in others}
    commas = [one for one, comma in told.items() if comma]
    if commas:
        made.put("decimal_comma", True, *([] if commas[0] in numbers else [f"as in {commas[0]!r}"]))
    elif all(comma is None for comma in told.values()):
        for key, values in numbers.items():
            made.notes[key] += filter(None, [decimal_mark.doubt(values)])


def _time_format(values: pl.Series) -> dict[str, object] | None:
    if values.dtype.is_temporal():
        return None if values.dtype in (pl.Time, pl.Duration) else {}
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


def _share(holds: pl.Series) -> float:
    return float(holds.fill_null(False).sum()) / max(len(holds), 1)


def _find_values(
    frame: pl.DataFrame, key: str, meaning: Callable[[str], str | None], fallback: str, made: Suggestion
) -> None:
    """A column of few values, some of which are understood, with a value map; else one value for the whole log."""
    for column in column_words.ranked(f"{key}_column", frame.columns):
        values = set(frame[column].drop_nulls().cast(pl.String))
        known = value_words.TRACK_EVENTS if values.intersection(value_words.TRACK_EVENTS) else ()
        found = {one: meaning(one) for one in sorted(values.union(known))}
        few = 0 < len(values) <= _MAX_VALUES or known
        if column in made.columns or not few or not any(found[one] for one in values):
            continue
        rest = {"*": ""} if known else {}  # who has the events of the specification has more beside them
        made.put(f"{key}_column", column)
        made.put(f"{key}_values", {one: found[one] or "" for one in found} | rest)
        for one in found:
            if found[one] is None:
                made.value_notes[f"{key}_values", one] = "not understood, so dropped"
            elif not value_words.is_sure(one):
                made.value_notes[f"{key}_values", one] = "a guess"
        made.columns.add(column)
        return
    allowed = schema.ACTIONS if key == "action" else schema.SOURCES
    made.put(key, fallback, f"no column tells; one of {', '.join(allowed)}")


def _examples(values: pl.Series) -> str:
    first, _ = scrub.scrub(values.unique(maintain_order=True).head(3).cast(pl.String), scrub.KINDS)
    shown = [value[:30] for value in first]
    return "e.g. " + ", ".join(repr(one) for one in shown)
