"""Reading a log file as it is: CSV, JSONL or Parquet into polars, with a row number."""

import io
import pathlib

import polars as pl

from usergpt_jax.core.errors import InputError

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
ROW = "row_number"  # from 1, header not counted
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class LogError(InputError):
    """A log file cannot be read as the mapping says."""


def scan(path: pathlib.Path, columns: list[str], delimiter: str) -> pl.LazyFrame:
    """The named columns of a log, with `ROW`; bytes of text files that are not UTF-8 become U+FFFD.

    A CSV's columns are all text; those of JSONL and Parquet keep their types.

    Raises:
      LogError: the file is missing, empty, of another format or broken, or lacks a column.
    """
    if not path.is_file():
        raise LogError(f"{path}: no such log file")
    if path.suffix not in FORMATS:
        raise LogError(f"{path}: expected a file ending in {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise LogError(f"{path}: the log is empty")
    try:
        frame = _open(path, delimiter)
        present = frame.collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise broken(path, error) from None
    for column in columns:
        if column not in present:
            raise LogError(f"{path}: mapped column {column!r} is missing; the log has {', '.join(present)}")
    return frame.select(list(dict.fromkeys(columns))).with_row_index(ROW, offset=1)


def broken(path: pathlib.Path, error: Exception) -> LogError:
    """The error of a file that polars cannot read, in one line."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return LogError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}")


def _open(path: pathlib.Path, delimiter: str) -> pl.LazyFrame:
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    if path.suffix in (".csv", ".tsv"):
        separator = "\t" if path.suffix == ".tsv" else delimiter
        return pl.scan_csv(path, separator=separator, encoding="utf8-lossy", infer_schema=False)
    text = path.read_bytes().decode("utf-8", errors="replace")
    return pl.read_ndjson(io.StringIO(text), infer_schema_length=None).lazy()
