"""Locales: where a market's data files lie. A second market needs files only, no code.

A file in `data/locales/<locale>/` wins over the file of the same name in `data/`, which all locales share.
"""

import csv
import functools
import importlib.resources
from importlib.resources.abc import Traversable

from usergpt_jax.core.errors import InputError

DEFAULT = "cn"


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
    """Rows of a CSV data file of a locale; lines that start with "#" are comments.

    Args:
      name: of the file, such as "cities.csv".
      locale: name of the locale.
      columns: those that the file must have; it may have more.

    Raises:
      InputError: no such locale or column, or a row with more or fewer fields than the head.
    """
    file = f"{name} of locale {locale!r}"
    lines = (line for line in read_text(name, locale).splitlines() if line.strip() and not line.startswith("#"))
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


def _data() -> Traversable:
    return importlib.resources.files("usergpt_jax") / "data"
