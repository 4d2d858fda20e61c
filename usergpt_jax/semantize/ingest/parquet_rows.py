"""Rows of Parquet files: columns keep their types, dotted paths reach into structs."""

from collections.abc import Iterator
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from usergpt_jax.semantize.ingest.log_files import BadFileError, LogFile
from usergpt_jax.semantize.ingest.rows import ROW

_ELEMENT = "\0element"  # the unrolled list's column


def names(file: LogFile, unroll: str) -> tuple[list[str], dict[str, str]]:
    """The columns of a file.

    Returns:
      their dotted paths, structs opened and the list at `unroll` too, and those twice whose column stands twice; which
      paths hold objects or lists.
    """
    found: list[str] = []
    nested: dict[str, str] = {}

    def walk(dtype: pa.DataType, path: str) -> None:
        if isinstance(dtype, pa.StructType):
            nested[path] = "an object"
            for i in range(dtype.num_fields):
                walk(dtype.field(i).type, f"{path}.{dtype.field(i).name}")
            return
        found.append(path)
        if path == unroll and isinstance(dtype, pa.ListType | pa.LargeListType):
            walk(dtype.value_type, path)
        elif pa.types.is_nested(dtype):
            nested[path] = "a list"

    with _open(file) as opened:
        for field in opened.schema_arrow:
            walk(field.type, field.name)
        tops = opened.schema_arrow.names
    return [*dict.fromkeys(found), *(name for name in set(tops) if tops.count(name) > 1)], nested


def read(file: LogFile, paths: list[str], unroll: str, batch_rows: int) -> Iterator[pl.DataFrame]:
    """Frames with `ROW` and a column a path; a path that the file lacks is null.

    Raises:
      BadFileError: the file is no Parquet file, or is cut off or broken.
    """
    present, _ = names(file, unroll)
    wanted = [path for path in paths if path in present]
    inside = [path for path in wanted if unroll and path.startswith(f"{unroll}.")]
    columns = [*(path for path in wanted if path not in inside), *([unroll] if unroll in present else [])]
    n_rows = 0
    with _open(file) as opened:
        try:
            for batch in opened.iter_batches(batch_size=batch_rows, columns=[_top(opened, path) for path in columns]):
                batch.validate(full=True)  # the reader takes text for UTF-8 unseen
                frame = cast(pl.DataFrame, pl.from_arrow(batch)).with_row_index(ROW, offset=n_rows + 1)
                n_rows += frame.height
                frame = frame.with_columns(pl.col(ROW).cast(pl.Int64))
                if unroll in present:
                    elements = _field(frame, unroll)
                    some = pl.when(elements.list.len() > 0).then(elements)  # a row stays where the list is empty
                    frame = frame.with_columns(some.alias(_ELEMENT)).explode(_ELEMENT)
                yield frame.select(
                    ROW,
                    *(_column(frame, path, unroll, path in wanted, path in inside).alias(path) for path in paths),
                )
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
            raise broken(file, error) from None


def _open(file: LogFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file.path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise broken(file, error) from None


def broken(file: LogFile, error: Exception) -> BadFileError:
    """The error of a file that cannot be read, in one line."""
    lines = str(error).strip().splitlines()
    return BadFileError(f"{file.path}: cannot be read as {file.format}: {lines[0] if lines else type(error).__name__}")


def _top(opened: pq.ParquetFile, path: str) -> str:
    """What the reader calls a path: the column itself, whole, where that is simplest."""
    return path if path in opened.schema_arrow.names else path.split(".")[0]


def _column(frame: pl.DataFrame, path: str, unroll: str, wanted: bool, inside: bool) -> pl.Expr:
    if not wanted:
        return pl.lit(None, pl.String)
    if unroll and path == unroll:
        return pl.col(_ELEMENT)
    if inside:
        return _walk(pl.col(_ELEMENT), path.removeprefix(f"{unroll}.").split("."))
    return _field(frame, path)


def _field(frame: pl.DataFrame, path: str) -> pl.Expr:
    if path in frame.columns:
        return pl.col(path)
    top, *fields = path.split(".")
    return _walk(pl.col(top), fields)


def _walk(expr: pl.Expr, fields: list[str]) -> pl.Expr:
    for field in fields:
        expr = expr.struct.field(field)
    return expr
