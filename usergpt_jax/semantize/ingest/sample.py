"""The rows of a log from which a mapping is suggested."""

import dataclasses
import os
from typing import NamedTuple

import polars as pl

from usergpt_jax.semantize.ingest import batches, column_words, csv_rows, json_rows, log_files, log_text, parquet_rows
from usergpt_jax.semantize.ingest.log_files import LogError, LogFile
from usergpt_jax.semantize.ingest.rows import NESTED, ROW

_ROWS = 2_000


class Sample(NamedTuple):
    """The first rows of a log's first file that has any.

    Attributes:
      frame: every column that holds neither lists nor objects; null where blank.
      lists: the other columns that hold lists.
      unroll: the list of which a row of `frame` is one element; "" where there is none.
      delimiter: of a CSV file.
      encoding: of the text, "" for none that is known, see `log_text.guess_encoding`.
    """

    frame: pl.DataFrame
    lists: list[str]
    unroll: str
    delimiter: str
    encoding: str


def take(log: str | os.PathLike[str]) -> Sample:
    """Reads a sample.

    Args:
      log: file, folder or glob; the first of its files that has rows is looked into.

    Raises:
      LogError: there is no such log, a file before the first with rows cannot be read, or none has a row.
    """
    for file in log_files.find(log)[0]:
        taken = _take(file)
        if taken is not None:
            return taken
    raise LogError(f"{log}: the log is empty")


def _take(file: LogFile) -> Sample | None:
    encoding = "utf-8" if file.format == "parquet" else log_text.guess_encoding(file)
    file = dataclasses.replace(file, encoding=encoding or "utf-8")
    delimiter = ","
    if file.format == "csv":
        delimiter = max(",;|\t", key=lambda one: len(csv_rows.header(file, one)))
    frame = _rows(file, "", delimiter)
    if frame is None:
        return None
    lists = [name for name in frame.columns if _is_list(frame[name])]
    unroll = _unroll(file, lists)
    unrolled = _rows(file, unroll, delimiter) if unroll else None
    frame = frame if unrolled is None else unrolled
    plain = [name for name in frame.columns if not _is_list(frame[name]) and not frame.schema[name].is_nested()]
    blank = pl.col(pl.String).str.strip_chars() == ""
    frame = frame.select(plain).with_columns(pl.when(~blank).then(pl.col(pl.String)))
    return Sample(frame, [name for name in lists if name != unroll], unroll, delimiter, encoding)


def _rows(file: LogFile, unroll: str, delimiter: str) -> pl.DataFrame | None:
    """The first rows, of the columns whose name stands once; None where there is no row."""
    present = batches.columns(file, unroll, delimiter).names
    names = [one for one in present if one and one != unroll and present.count(one) == 1]
    if not names:
        return None
    if file.format == "parquet":
        frames = parquet_rows.read(file, names, unroll, _ROWS)
    elif file.format == "jsonl":
        frames = json_rows.read(file, names, unroll, decimal_comma=False)
    else:
        frames = csv_rows.read(file, names, delimiter)
    frame = next((one for one in frames if one.height), None)
    return None if frame is None else frame.drop(ROW, NESTED, strict=False).head(_ROWS)


def _is_list(values: pl.Series) -> bool:
    """Whether a column holds lists, be it as JSON text."""
    if values.dtype == pl.String:
        texts = values.drop_nulls()
        lists = texts.filter(texts.str.contains(r"^\[[{\]]"))  # of objects, or empty
        return bool(lists.str.starts_with("[{").any() and 2 * len(lists) > len(texts))
    return isinstance(values.dtype, pl.List | pl.Array)


def _unroll(file: LogFile, lists: list[str]) -> str:
    """The list of products: it is called so, and its elements have titles."""
    if file.format not in ("jsonl", "parquet"):
        return ""
    for name in column_words.ranked("unroll", lists):
        inside = [one for one in batches.columns(file, name, "").names if one.startswith(f"{name}.")]
        if column_words.is_named("unroll", name) and any(column_words.is_named("title", one) for one in inside):
            return name
    return ""
