"""Locales: where a market's data files lie. A second market needs files only, no code.

A file in `data/locales/<locale>/` wins over the file of the same name in `data/`, which all locales share. Where only
words of the shared files differ, the locale's `renames.csv` says how they are read there.
"""

import csv
import functools
import importlib.resources
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable

from usergpt_jax.core.errors import InputError

DEFAULT = "cn"
RENAMES = "renames.csv"
_RENAMED_FILES = ("catalog.csv", "needs.csv", "evidence.csv", "quality_rules.csv", "title_words.csv")
_RENAMED_COLUMNS = ("leaf", "level1", "level2", "noun", "variants", "name", "leaves", "item", "scope", "words")
_PARTS = re.compile(r"([|:])")


@functools.cache
def names() -> tuple[str, ...]:
    """All locales, by name: the folders of `data/locales/`."""
    return tuple(sorted(folder.name for folder in (_data() / "locales").iterdir() if folder.is_dir()))


def check(locale: str) -> None:
    """Raises `InputError` unless there is such a locale."""
    if locale not in names():
        raise InputError(f"config.simulate.locale: {locale!r} is not one of {', '.join(names())}")


def read_text(name: str, locale: str) -> str:
    """Text of a data file of a locale."""
    check(locale)
    own = _data() / "locales" / locale / name
    found = own if own.is_file() else _data() / name
    if not found.is_file():
        raise InputError(f"data/locales/{locale}/{name}: no such file, and no {name} in data/ either")
    return found.read_text(encoding="utf-8")


def read_rows(name: str, locale: str, columns: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Rows of a CSV data file of a locale, shared ones in its words (`renames`); lines with "#" first are comments.

    Args:
      name: of the file, such as "cities.csv".
      locale: name of the locale.
      columns: those that the file must have; it may have more.

    Raises:
      InputError: no such locale or column, a row with more or fewer fields than the head, or a bad renames.csv.
    """
    rows = _parse(read_text(name, locale), f"{name} of locale {locale!r}", columns)
    if name not in _RENAMED_FILES or (_data() / "locales" / locale / name).is_file() or not (words := renames(locale)):
        return rows
    return [
        {key: _renamed(text, words) if key in _RENAMED_COLUMNS else text for key, text in row.items()} for row in rows
    ]


@functools.cache
def renames(locale: str) -> dict[str, str]:
    """How a locale reads the words of shared files: a whole field, or what stands between "|" and ":", -> its own word.

    Raises:
      InputError: see `parse_renames`.
    """
    own = _data() / "locales" / locale / RENAMES
    if not own.is_file():
        return {}
    rows = _parse(own.read_text(encoding="utf-8"), f"{RENAMES} of locale {locale!r}", ("from", "to"))
    shared = {name: _parse((_data() / name).read_text(encoding="utf-8"), name, ()) for name in _RENAMED_FILES}
    return parse_renames(rows, shared, f"{RENAMES} of locale {locale!r}")


def parse_renames(
    rows: Iterable[Mapping[str, str]], shared: Mapping[str, Sequence[Mapping[str, str]]], file: str
) -> dict[str, str]:
    """The renames of a file's rows `from`, `to`.

    Args:
      rows: of the file.
      shared: rows of each shared file as they stand; the leaves are those of catalog.csv.
      file: how errors call it.

    Raises:
      InputError: a word that is renamed twice, that no shared file has or that becomes nothing, or a leaf that gets the
        name of another leaf.
    """
    fields = {row[key] for held in shared.values() for row in held for key in _RENAMED_COLUMNS if key in row}
    known = fields | {part for field in fields for part in _PARTS.split(field)}
    leaves = {row["leaf"] for row in shared["catalog.csv"]}
    found: dict[str, str] = {}
    for row in rows:
        old, new = row["from"], row["to"]
        if old not in known:
            raise InputError(f"{file}: {old!r} is in none of {', '.join(shared)}; expected a leaf or a word of theirs")
        if old in found:
            raise InputError(f"{file}: {old!r} stands twice, expected each word once")
        taken = leaves | {name for leaf, name in found.items() if leaf in leaves}
        if not new or (old in leaves and new in taken):
            raise InputError(f"{file}: {old!r} becomes {new!r}, expected a name that no other leaf has")
        found[old] = new
    return found


def _renamed(text: str, words: Mapping[str, str]) -> str:
    return words[text] if text in words else "".join(words.get(part, part) for part in _PARTS.split(text))


def _parse(text: str, file: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    reader = csv.reader(lines)
    head = next(reader, [])
    if missing := [column for column in columns if column not in head]:
        raise InputError(f"{file}: no column {missing[0]!r}; its head is {', '.join(head)}")
    rows = []
    for number, fields in enumerate(reader, start=1):
        if len(fields) != len(head):
            raise InputError(f"{file} row {number} ({fields[0]}): {len(fields)} fields; expected {len(head)}")
        rows.append(dict(zip(head, fields, strict=True)))
    return rows


def number(text: str) -> float:
    """The number that a field holds, NaN where it holds none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def positive(text: str, where: str, what: str, below: float = math.inf) -> float:
    """The number of a field, above 0 and below `below`.

    Args:
      text: the field.
      where: file and row, the head of the error.
      what: name of the column.
      below: what the number must not reach.

    Raises:
      InputError: it is no such number.
    """
    value = number(text)
    if not 0 < value < below:
        limit = "" if below == math.inf else f" and below {below:,.0f}"
        raise InputError(f"{where}: {what} {text!r}: expected a number above 0{limit}")
    return value


def _data() -> Traversable:
    return importlib.resources.files("usergpt_jax") / "data"
