"""The MUB line: escape, write and parse.

    [Source: E-commerce] [TIME: 2026-01-28] [TYPE: Click] [COUNT: 5] | Wet Wipes, Milk Powder (premium)

An item is a core entity with its attributes, joined by "; ", in parentheses, or the name of a place. Log text is
escaped before it becomes an item, so no title can forge a line, a field, an item, a tag or a control token:

    written       becomes     written    becomes
    <  >          ‹  ›        ,          ;
    [  ]          (  )        newlines, tabs, control and format characters, runs of spaces: one space
    |             /           compatibility forms (full-width "＜", "｜"): first folded by Unicode NFKC

Paper: §2.3 (Multi-source User Behavior format). Differs from the paper: COUNT stands in every line.
"""

import dataclasses
import re
import unicodedata

import polars as pl

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError

SOURCE_LABELS = {
    "ecommerce": "E-commerce",
    "delivery": "Delivery",
    "travel": "Travel",
    "poi": "POI",
    "other": "Other",
}
ACTION_LABELS = {action: action.capitalize() for action in schema.ACTIONS}

_FORBIDDEN = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "|": "/", ",": ";"})
_LINE = re.compile(
    r"\[Source: (?P<source>[^\]]+)\] \[TIME: (?P<time>\d{4}(?:-\d{2}){0,2})\] \[TYPE: (?P<action>[^\]]+)\] "
    r"\[COUNT: (?P<count>\d+)\] \| (?P<items>[^\n]+)"
)
_SOURCE_OF = {label: source for source, label in SOURCE_LABELS.items()}
_ACTION_OF = {label: action for action, label in ACTION_LABELS.items()}


class MubError(InputError):
    """A text is not MUB."""


@dataclasses.dataclass(frozen=True)
class MubLine:
    """One slice: source x action x period.

    Attributes:
      source: one of `schema.SOURCES`.
      time: "YYYY", "YYYY-MM" or "YYYY-MM-DD".
      action: one of `schema.ACTIONS`.
      count: events in the slice.
      items: escaped items, most salient first; at least one.
    """

    source: str
    time: str
    action: str
    count: int
    items: tuple[str, ...]


def escape(text: str) -> str:
    """Log text as an item may hold it; idempotent, and "" when nothing visible is left."""
    folded = unicodedata.normalize("NFKC", text).translate(_FORBIDDEN)
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in folded)
    return unicodedata.normalize("NFKC", " ".join(visible.split()))


def write_line(line: MubLine) -> str:
    """One line of MUB, without its newline."""
    header = f"[Source: {SOURCE_LABELS[line.source]}] [TIME: {line.time}] [TYPE: {ACTION_LABELS[line.action]}]"
    return f"{header} [COUNT: {line.count}] | {', '.join(line.items)}"


def header_column(source: pl.Expr, time: pl.Expr, action: pl.Expr) -> pl.Expr:
    """The part of `write_line` before the items, as column `header`; the frame holds `count`."""
    source = source.replace_strict(SOURCE_LABELS, return_dtype=pl.String)
    action = action.replace_strict(ACTION_LABELS, return_dtype=pl.String)
    text = "[Source: {}] [TIME: {}] [TYPE: {}] [COUNT: {}] | "
    return pl.format(text, source, time, action, "count").alias("header")


def write(lines: list[MubLine]) -> str:
    """A user's MUB."""
    return "\n".join(write_line(line) for line in lines)


def parse_line(text: str) -> MubLine:
    """Inverse of `write_line`.

    Raises:
      MubError: the text is not a line that `write_line` writes.
    """
    match = _LINE.fullmatch(text)
    if match is None or match["source"] not in _SOURCE_OF or match["action"] not in _ACTION_OF:
        raise MubError(
            f"not a MUB line: {text[:120]!r}; expected [Source: ..] [TIME: ..] [TYPE: ..] [COUNT: n] | items"
        )
    items = tuple(match["items"].split(", "))
    return MubLine(_SOURCE_OF[match["source"]], match["time"], _ACTION_OF[match["action"]], int(match["count"]), items)


def parse(text: str) -> list[MubLine]:
    """Inverse of `write`; "" has no lines."""
    return [parse_line(line) for line in text.split("\n")] if text else []
