"""Rows of CSV and TSV files, all columns as text."""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.csv

from usergpt_jax.semantize.ingest import log_text
from usergpt_jax.semantize.ingest.log_files import BadFileError, LogFile

_BLOCK_BYTES = 8 << 20  # a row must fit
_END = "\x1e"  # a row of these is put after the last, to tell a file that ends inside a quoted field


def header(file: LogFile, delimiter: str) -> list[str]:
    """The columns; none for a file without any text."""
    return _header(file, next(log_text.chunks(file)), _separator(file, delimiter))


def read(file: LogFile, columns: list[str], delimiter: str) -> Iterator[pl.DataFrame]:
    """The columns of a file, a block at a time, each a frame of texts (null where empty).

    Raises:
      BadFileError: a row has more or fewer fields than the header, or the file ends inside a quoted field.
    """
    text = log_text.chunks(file)
    first = next(text)
    separator = _separator(file, delimiter)
    tail = "\n" + separator.join([_END] * len(_header(file, first, separator))) + "\n"
    stream = io.BufferedReader(log_text.Utf8Stream(itertools.chain([first], text), tail), _BLOCK_BYTES)
    waiting: pa.RecordBatch | None = None
    try:
        reader = pyarrow.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                check_utf8=False,  # decoded above
            ),
        )
        for batch in reader:
            if waiting is not None:
                yield _frame(waiting)
            waiting = batch if batch.num_rows else waiting
    except pa.ArrowException as error:
        raise BadFileError(f"{file.path}: cannot be read as {file.format}: {_reason(str(error))}") from None
    if waiting is None or waiting[0][-1].as_py() != _END:
        raise BadFileError(f"{file.path}: cannot be read as {file.format}: it ends inside a quoted field")
    yield _frame(waiting.slice(0, waiting.num_rows - 1))


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    return cast(pl.DataFrame, pl.from_arrow(batch))


def _separator(file: LogFile, delimiter: str) -> str:
    return "\t" if file.format == "tsv" else delimiter


def _header(file: LogFile, text: str, separator: str) -> list[str]:
    lines = io.StringIO(text, newline=None)  # lines may end in CR, LF or both
    try:
        return next((row for row in csv.reader(lines, delimiter=separator) if row), [])
    except csv.Error as error:
        raise BadFileError(f"{file.path}: cannot be read as {file.format}: its header: {error}") from None


def _reason(message: str) -> str:
    """One line of the reader's message, with rows counted from 1 below the header."""
    if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message):
        row, expected, got = map(int, found.groups())
        return f"row {row - 1}: expected {expected} fields, got {got}"
    if "straddl" in message:
        return f"a row is longer than {_BLOCK_BYTES >> 20} MiB, or a quote is never closed"
    return message.splitlines()[0]
