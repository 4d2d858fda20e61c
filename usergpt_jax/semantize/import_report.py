"""The import report: every decision that reading a log took, counted."""

import dataclasses
import json
import pathlib

from usergpt_jax.core.config import to_plain

MAX_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Decision:
    """Rows that met the same fate.

    Attributes:
      count: how many.
      examples: the first of them, as (row number from 1 without a header, value).
    """

    count: int
    examples: tuple[tuple[int, str], ...]


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What became of a log's rows; `rows_read` = `events` + all counts of `dropped`.

    Attributes:
      path: the log.
      rows_read: its rows.
      events: rows kept as events.
      dropped: reason -> rows left out.
      changed: reason -> rows kept in another form.
      users: users with an event.
      first: time of the first event, ISO 8601, or "".
      last: time of the last event, ISO 8601, or "".
      currency: of the prices, or "".
    """

    path: str
    rows_read: int
    events: int
    dropped: dict[str, Decision]
    changed: dict[str, Decision]
    users: int
    first: str
    last: str
    currency: str

    def lines(self) -> list[str]:
        """The report for a terminal."""
        text = [
            f"{self.path}: {self.rows_read:,} rows read, {self.events:,} events of {self.users:,} users kept, "
            f"{self.first} to {self.last}" + (f", prices in {self.currency}" if self.currency else "")
        ]
        for title, decisions in (("dropped", self.dropped), ("changed", self.changed)):
            for reason, decision in decisions.items():
                examples = ", ".join(f"row {row}: {value!r}" for row, value in decision.examples)
                text.append(f"  {title} {decision.count:>9,}  {reason}" + (f"  ({examples})" if examples else ""))
        return text

    def save(self, path: pathlib.Path) -> None:
        """Writes the report as JSON."""
        path.write_text(json.dumps(to_plain(self), indent=2) + "\n", encoding="utf-8")
