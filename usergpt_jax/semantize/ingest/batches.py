"""Batches of a log file's mapped columns, whatever its format."""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from usergpt_jax.semantize.ingest import csv_rows, json_rows, parquet_rows
from usergpt_jax.semantize.ingest.event_map import EventMap
from usergpt_jax.semantize.ingest.log_files import BadFileError, LogFile
from usergpt_jax.semantize.ingest.rows import ROW

BATCH_ROWS = 200_000
_FIRST_ROWS = 10_000  # of a JSONL file, in which its columns are looked for
_NEEDED = ("user_id", "time", "source_column", "action_column", "title")


class Columns(NamedTuple):
    """The columns of a file; of JSONL those in its first rows.

    Attributes:
      names: dotted paths, in the order of the file.
      nested: path -> "an object" or "a list", of those that never hold a plain value.
    """

    names: list[str]
    nested: dict[str, str]


def columns(file: LogFile, unroll: str, delimiter: str) -> Columns:
    """The columns of a file, see `EventMap.unroll` and `EventMap.delimiter`."""
    if file.format == "parquet":
        return Columns(*parquet_rows.names(file, unroll))
    if file.format == "jsonl":
        return Columns(*json_rows.names(file, unroll, _FIRST_ROWS))
    return Columns(csv_rows.header(file, delimiter), {})


def read(file: LogFile, mapping: EventMap, batch_rows: int) -> Iterator[pl.DataFrame]:
    """The mapped columns of a file with `ROW`, at most `batch_rows` rows a frame before lists are unrolled.

    The columns of CSV and JSONL are all text; those of Parquet keep their types. JSONL has `NESTED` too.

    Raises:
      BadFileError: the file is broken, or lacks a mapped column, has it twice, or with objects or lists only; in JSONL,
        whose objects may leave out what they lack, only those of user, time, title, source and action must appear.
    """
    present = columns(file, mapping.unroll, mapping.delimiter)
    if not present.names:  # a text file without any row
        return
    _check_columns(file, mapping, present)
    paths = mapping.paths()
    if file.format == "parquet":
        frames = parquet_rows.read(file, paths, mapping.unroll, batch_rows)
    elif file.format == "jsonl":
        frames = json_rows.read(file, paths, mapping.unroll, mapping.decimal_comma)
    else:
        wanted = [path for path in paths if path in present.names]
        frames = _numbered(csv_rows.read(file, wanted, mapping.delimiter), paths)
    for frame in frames:
        yield from frame.iter_slices(batch_rows)


def _numbered(frames: Iterator[pl.DataFrame], paths: list[str]) -> Iterator[pl.DataFrame]:
    n_rows = 0
    for frame in frames:
        absent = [pl.lit(None, pl.String).alias(path) for path in paths if path not in frame.columns]
        yield frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW) + n_rows + 1, *absent)
        n_rows += frame.height


def _check_columns(file: LogFile, mapping: EventMap, present: Columns) -> None:
    if mapping.unroll and file.format in ("csv", "tsv"):
        raise BadFileError(f"{file.path}: {file.format} has no lists to unroll; expected JSONL or Parquet")
    for path in mapping.paths():
        if present.names.count(path) > 1:
            raise BadFileError(f"{file.path}: mapped column {path!r} stands twice in the header; rename one of them")
        if path in present.nested:
            what = present.nested[path]
            raise BadFileError(f"{file.path}: mapped column {path!r} holds {what}; {_instead(path, what, present)}")
    wanted = mapping.columns()
    if file.format == "jsonl":
        wanted = {key: paths for key, paths in wanted.items() if key in _NEEDED}
    else:
        wanted |= {f"keep {column}": (column,) for column, _ in mapping.keep}
        wanted |= {"unroll": (mapping.unroll,)} if mapping.unroll else {}
    for paths in wanted.values():
        if not any(path in present.names for path in paths):
            named = f"column {paths[0]!r} is" if len(paths) == 1 else f"columns {', '.join(map(repr, paths))} are"
            raise BadFileError(f"{file.path}: mapped {named} missing; the log has {', '.join(present.names)}")


def _instead(path: str, what: str, present: Columns) -> str:
    """What to map instead of a column that is no plain value."""
    if what.startswith("a list"):
        return f"write unroll: {path!r} to make an event of each element, or map another column"
    inner = next((one for one in present.names if one.startswith(f"{path}.") and one not in present.nested), "")
    return f"map a value in it by its path, such as {inner!r}" if inner else "map another column"
