"""The user's own map: category of the log -> leaf, level2 or "" (other)."""

import csv
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.categories.leaves import Leaves
from usergpt_jax.semantize.refine import spelled_path

COLUMNS = ("category", "leaf")
_SEPARATOR = re.compile(r"\s*(?:>|::|\||»|/)\s*")


class Target(NamedTuple):
    """Leaves that a category stands for: one, those of a level2, or () for other."""

    leaves: tuple[int, ...]


def read_map(path: str | os.PathLike[str], leaves: Leaves) -> dict[str, Target]:
    """Reads a CSV with `COLUMNS`.

    Raises:
      InputError: no such file, a missing column, or see `parse_map`.
    """
    found = pathlib.Path(path)
    if not found.is_file():
        raise InputError(f"{found}: no such file; expected a CSV with the columns {', '.join(COLUMNS)}")
    with found.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise InputError(f"{found}: no column {missing[0]!r}; expected {', '.join(COLUMNS)}")
        rows = [(reader.line_num, row["category"], row["leaf"]) for row in reader]
    return parse_map(rows, leaves, str(found))


def parse_map(rows: Iterable[tuple[int, str | None, str | None]], leaves: Leaves, file: str) -> dict[str, Target]:
    """Normalised category -> target, from rows of number, category and leaf.

    Raises:
      InputError: an empty category, one that stands twice, or a leaf that is neither leaf nor level2.
    """
    targets: dict[str, Target] = {}
    by_name = {name.casefold(): number for name, number in leaves.number.items()}
    for number, category, leaf in rows:
        where, named = f"{file} row {number}", (leaf or "").strip()
        key = normal(category or "")
        if not key:
            raise InputError(f"{where}: category is empty, expected a category of the log")
        one = by_name.get(named.casefold())
        target = () if not named else leaves.under(named) if one is None else (one,)
        if named and not target:
            raise InputError(f"{where}: leaf {named!r} is neither a leaf nor a level2 of the catalogue, nor empty")
        if targets.get(key, Target(target)) != Target(target):
            raise InputError(f"{where}: category {category!r} stands twice, expected each once")
        targets[key] = Target(target)
    return targets


def look_up(category: str, targets: Mapping[str, Target]) -> Target | None:
    """The target of a category: of its whole path, else of its last part."""
    path = normal(category)
    return targets.get(path, targets.get(path.rpartition(" > ")[2]))


def normal(category: str) -> str:
    """A category or path in one spelling: "Home_Kitchen » Mugs", "home_kitchen.mugs" -> "home kitchen > mugs"."""
    text = spelled_path(category).strip(" >|/:»")
    return _SEPARATOR.sub(" > ", " ".join(text.split())).casefold()
