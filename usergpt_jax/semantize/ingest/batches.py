"""Batches of a log file's mapped columns, whatever its format."""

from collections.abc import Iterator

import polars as pl

from usergpt_jax.semantize.ingest import csv_rows, json_rows, parquet_rows
from usergpt_jax.semantize.ingest.event_map import EventMap
from usergpt_jax.semantize.ingest.log_files import BadFileError, LogFile
from usergpt_jax.semantize.ingest.rows import ROW

BATCH_ROWS = 200_000
_FIRST_ROWS = 10_000  # of a JSONL file, in which its columns are looked for
_NEEDED = ("user_id", "time", "source_column", "action_column", "title")


def names(file: LogFile, mapping_unroll: str, delimiter: str) -> list[str]:
    """The columns of a file, as dotted paths; of JSONL those in its first rows."""
    if file.format == "parquet":
        return parquet_rows.names(file, mapping_unroll)
    if file.format == "jsonl":
        return json_rows.names(file, mapping_unroll, _FIRST_ROWS)
    return csv_rows.header(file, delimiter)


def read(file: LogFile, mapping: EventMap, batch_rows: int) -> Iterator[pl.DataFrame]:
    """The mapped columns of a file with `ROW`, at most `batch_rows` rows a frame before lists are unrolled.

    The columns of CSV and JSONL are all text; those of Parquet keep their types.

    Raises:
      BadFileError: the file is broken or lacks a mapped column; in JSONL, whose objects may leave out what they lack,
        only the columns of user, time, title, source and action must appear.
    """
    present = names(file, mapping.unroll, mapping.delimiter)
    if not present:  # a text file without any row
        return
    _check_columns(file, mapping, present)
    paths = mapping.paths()
    if file.format == "parquet":
        frames = parquet_rows.read(file, paths, mapping.unroll, batch_rows)
    elif file.format == "jsonl":
        frames = json_rows.read(file, paths, mapping.unroll, mapping.decimal_comma)
    else:
        frames = _numbered(csv_rows.read(file, [path for path in paths if path in present], mapping.delimiter), paths)
    for frame in frames:
        yield from frame.iter_slices(batch_rows)


def _numbered(frames: Iterator[pl.DataFrame], paths: list[str]) -> Iterator[pl.DataFrame]:
    n_rows = 0
    for frame in frames:
        absent = [pl.lit(None, pl.String).alias(path) for path in paths if path not in frame.columns]
        yield frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW) + n_rows + 1, *absent)
        n_rows += frame.height


def _check_columns(file: LogFile, mapping: EventMap, present: list[str]) -> None:
    wanted = mapping.columns()
    if file.format == "jsonl":
        wanted = {key: paths for key, paths in wanted.items() if key in _NEEDED}
    else:
        wanted |= {f"keep {column}": (column,) for column, _ in mapping.keep}
        wanted |= {"unroll": (mapping.unroll,)} if mapping.unroll else {}
    for paths in wanted.values():
        if not any(path in present for path in paths):
            columns = f"column {paths[0]!r} is" if len(paths) == 1 else f"columns {', '.join(map(repr, paths))} are"
            raise BadFileError(f"{file.path}: mapped {columns} missing; the log has {', '.join(present)}")
    if mapping.unroll and file.format in ("csv", "tsv"):
        raise BadFileError(f"{file.path}: {file.format} has no lists to unroll; expected JSONL or Parquet")
