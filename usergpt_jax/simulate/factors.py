"""The grammar of `weights` cells, shared by desires and preferences: factors on a rate or on odds, group by group.

A cell such as `gender:female=3/male=0.2;calendar:back_to_school=5` names groups and one factor for each value; `*`
stands for the values that are not named, 1 where it is left out.
"""

import math
from collections.abc import Mapping

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError

Factors = dict[str, dict[str, float]]
REST = "*"


def parse(cell: str, groups: Mapping[str, tuple[str, ...]], where: str) -> Factors:
    """Factors of a cell: group -> value or `*` -> factor.

    Args:
      cell: text of the cell; "" gives no factors.
      groups: the groups that may be named, with their values.
      where: file and row, the head of every error.

    Raises:
      InputError: an unknown or repeated group or value, or a factor that is no number of at least 0.
    """
    found: Factors = {}
    for text in filter(None, cell.split(";")):
        group, _, entries = text.partition(":")
        known(group, tuple(groups), where, "group")
        if group in found:
            raise InputError(f"{where}: weights name the group {group!r} twice, expected each once")
        found[group] = _group(entries, (*groups[group], REST), f"{where}, group {group}")
    return found


def known(word: str, expected: tuple[str, ...], where: str, what: str) -> str:
    """The word itself, if it is one of the expected ones.

    Raises:
      InputError: it is not; the message lists what was expected.
    """
    if word not in expected:
        raise InputError(f"{where}: unknown {what} {word!r}, expected one of {', '.join(expected)}")
    return word


def number(text: str, where: str, what: str, most: float = math.inf) -> float:
    """A finite number from 0 to `most`.

    Raises:
      InputError: it is none.
    """
    value = locales.number(text)
    if not (math.isfinite(value) and 0 <= value <= most):
        limit = "a number of at least 0" if most == math.inf else f"a number from 0 to {most:g}"
        raise InputError(f"{where}: {what} is {text!r}, expected {limit}")
    return value


def _group(entries: str, values: tuple[str, ...], where: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for entry in entries.split("/"):
        value, equals, factor = entry.rpartition("=")
        if not equals:
            raise InputError(f"{where}: {entry!r} is no factor, expected value=factor")
        known(value, values, where, "value")
        if value in found:
            raise InputError(f"{where}: value {value!r} stands twice, expected each once")
        found[value] = number(factor, where, f"factor of {value!r}")
    return found
