"""Rows of JSONL files: one JSON object a line, nested as it may be; values become text."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from usergpt_jax.semantize.ingest import log_text
from usergpt_jax.semantize.ingest.log_files import BadFileError, LogFile
from usergpt_jax.semantize.ingest.rows import NESTED, ROW

_ROWS = 10_000
_DECODER = json.JSONDecoder(parse_constant=str)  # NaN and Infinity as text, for the number parser to judge
_HALF_PAIR = re.compile("[\ud800-\udfff]")  # half a character, which no UTF-8 can hold


def objects(file: LogFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers from 1 and objects; blank lines are no rows.

    Raises:
      BadFileError: naming the row that is not a JSON object.
    """
    row = 0
    for line in _lines(file):
        if not line or line.isspace():
            continue
        row += 1
        try:
            made = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise BadFileError(f"{file.path}: cannot be read as jsonl: row {row}: {reason}") from None
        if not isinstance(made, dict):
            raise BadFileError(f"{file.path}: cannot be read as jsonl: row {row}: expected one JSON object a line")
        yield row, made


def _lines(file: LogFile) -> Iterator[str]:
    rest: list[str] = []
    for chunk in log_text.chunks(file):
        first, *more = chunk.split("\n")
        rest.append(first)
        if more:
            yield "".join(rest)
            yield from more[:-1]
            rest = [more[-1]]
    yield "".join(rest)


def names(file: LogFile, unroll: str, n_rows: int) -> tuple[list[str], dict[str, str]]:
    """What the first rows hold; lists are entered at `unroll` only.

    Returns:
      the dotted paths in order of appearance, and for those that hold an object or list wherever they hold anything,
      which of them and in which row first.
    """
    found: dict[str, None] = {}
    plain: set[str] = set()
    nested: dict[str, str] = {}

    def walk(value: Any, path: str, row: int) -> None:
        if isinstance(value, dict) and value:
            if path:
                nested.setdefault(path, f"an object (row {row})")
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else key, row)
            return
        found.setdefault(path)
        if not value:  # an empty object or list is no value
            plain.update([path] if isinstance(value, str | int | float) else [])
        elif not isinstance(value, list):
            plain.add(path)
        elif path == unroll:
            for element in value:
                walk(element, path, row)
        else:
            nested.setdefault(path, f"a list (row {row})")

    for row, made in objects(file):
        walk(made, "", row)
        if row >= n_rows:
            break
    return list(found), {path: what for path, what in nested.items() if path not in plain}


def read(file: LogFile, paths: list[str], unroll: str, decimal_comma: bool) -> Iterator[pl.DataFrame]:
    """Frames with `ROW`, `NESTED` and a text column a path; numbers are written with the mapping's decimal mark."""
    block: list[tuple[int, dict[str, Any], Any]] = []  # row, object, element of the list in it
    for row, made in objects(file):
        elements = pick(made, unroll, tuple(unroll.split("."))) if unroll else None
        block += [(row, made, one) for one in (elements if isinstance(elements, list) and elements else [None])]
        if len(block) >= _ROWS:
            yield _frame(block, paths, unroll, decimal_comma)
            block = []
    yield _frame(block, paths, unroll, decimal_comma)


def _frame(
    block: list[tuple[int, dict[str, Any], Any]], paths: list[str], unroll: str, decimal_comma: bool
) -> pl.DataFrame:
    columns = {ROW: pl.Series(ROW, [row for row, _, _ in block], dtype=pl.Int64)}
    nested: dict[int, list[str]] = {}
    for path in paths:
        if unroll and path == unroll:
            values = [element for _, _, element in block]
        elif unroll and path.startswith(f"{unroll}."):
            keys = tuple(path.removeprefix(f"{unroll}.").split("."))
            values = [pick(element, "", keys) for _, _, element in block]
        elif "." in path:
            keys = tuple(path.split("."))
            values = [pick(made, path, keys) for _, made, _ in block]
        else:
            values = [made.get(path) for _, made, _ in block]
        texts = [one if type(one) is str and one.isascii() else _text(one, decimal_comma) for one in values]
        columns[path] = pl.Series(path, texts, dtype=pl.String)
        for i, value in enumerate(values):
            if value and isinstance(value, dict | list):
                nested.setdefault(i, []).append(path)
    columns[NESTED] = pl.Series(NESTED, [nested.get(i) for i in range(len(block))], dtype=pl.List(pl.String))
    return pl.DataFrame(columns)


def pick(value: Any, path: str, keys: tuple[str, ...]) -> Any:
    """The value at a path, None where there is none; a key that itself holds the dots goes first."""
    if len(keys) > 1 and isinstance(value, dict) and path in value:
        return value[path]
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _text(value: Any, decimal_comma: bool) -> str | None:
    if value is None or (isinstance(value, dict | list) and not value):
        return None
    if isinstance(value, str):
        return _HALF_PAIR.sub(log_text.REPLACEMENT, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        whole = value.is_integer() and abs(value) < 2**53  # ids that a missing value turned into floats: 17850.0
        return str(int(value)) if whole else str(value).replace(".", "," if decimal_comma else ".")
    if isinstance(value, int | float):
        return str(value)
    return _HALF_PAIR.sub(log_text.REPLACEMENT, json.dumps(value, ensure_ascii=False))
