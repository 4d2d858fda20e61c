"""Rows on their way to events, and the tally of every decision taken about them."""

import copy
import dataclasses

import polars as pl

from usergpt_jax.semantize.ingest.log_files import LogError, LogFile
from usergpt_jax.semantize.ingest.scrub import scrub

FILE, ROW, ORDER = "file_number", "row_number", "order"  # file from 0, row from 1 in it, order over the whole log
NESTED = "nested_columns"  # of a row of JSONL: its columns that hold an object or list; null where there is none
MAX_EXAMPLES = 3
_SHOWN_CHARS = 60
_HIDDEN = ("email", "phone", "address")  # in every example, whichever column it is of; a time may look like a card


@dataclasses.dataclass
class Count:
    """Rows that met the same fate.

    Attributes:
      count: how many.
      examples: the first of them, as (file number, row number, value).
    """

    count: int = 0
    examples: list[tuple[int, int, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tally:
    """What was decided, over all batches so far.

    Attributes:
      dropped: reason -> rows left out.
      changed: reason -> rows kept in another form.
      scrubbed: kind of personal data -> texts it was replaced in.
      filled: columns of the log with a value in some row.
      zone: how the first time was written: "no offset", or its offset or zone; "" before the first.
    """

    dropped: dict[str, Count] = dataclasses.field(default_factory=dict)
    changed: dict[str, Count] = dataclasses.field(default_factory=dict)
    scrubbed: dict[str, int] = dataclasses.field(default_factory=dict)
    filled: set[str] = dataclasses.field(default_factory=set)
    zone: str = ""

    def copy(self) -> "Tally":
        """A tally that can be gone back to."""
        return copy.deepcopy(self)


class Rows:
    """A frame of rows that shrinks and changes, each step counted in the tally.

    Attributes:
      frame: with `FILE` and `ROW`.
      files: of the log, by file number.
      tally: of the import.
    """

    def __init__(self, frame: pl.DataFrame, files: list[LogFile], tally: Tally):
        self.frame = frame
        self.files = files
        self.tally = tally

    def drop(self, reason: str, mask: pl.Expr, shown: str) -> None:
        """Leaves out the rows where `mask` is true, showing column `shown` of the first."""
        found = self.frame.select(mask.fill_null(False).alias("found"))["found"]
        if found.any():
            _add(self.tally.dropped, reason, self.frame.filter(found), shown)
            self.frame = self.frame.filter(~found)

    def change(self, reason: str, mask: pl.Expr, shown: str, *new: pl.Expr) -> None:
        """Counts the rows where `mask` is true and, if there are any, gives the columns `new`."""
        found = self.frame.filter(mask.fill_null(False))
        if found.height:
            _add(self.tally.changed, reason, found, shown)
            self.frame = self.frame.with_columns(*new)

    def refuse(self, mask: pl.Expr, shown: str, what: str, expected: str) -> None:
        """Raises `LogError` for the first row where `mask` is true."""
        bad = self.frame.filter(mask.fill_null(False)).head(1)
        if bad.height:
            value = bad[shown].item()
            text = repr(value if value is None else str(value)[:80])
            path = self.files[bad[FILE].item()].path
            raise LogError(f"{path}: row {bad[ROW].item()}: {what} {text}; expected {expected}")


def _add(counts: dict[str, Count], reason: str, rows: pl.DataFrame, shown: str) -> None:
    head = rows.head(MAX_EXAMPLES)  # rows are in the order of the log
    texts, _ = scrub(head[shown].cast(pl.String), _HIDDEN)
    values = head.select(FILE, ROW, texts.str.head(_SHOWN_CHARS).fill_null("")).rows()
    one = counts.setdefault(reason, Count())
    one.count += rows.height
    one.examples = sorted([*one.examples, *values])[:MAX_EXAMPLES]
