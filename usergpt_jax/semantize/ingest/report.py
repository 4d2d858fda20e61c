"""The import report: every decision that reading a log took, counted."""

import dataclasses
import json
import pathlib

from usergpt_jax.core.config import to_plain
from usergpt_jax.semantize.ingest.log_files import LogFile
from usergpt_jax.semantize.ingest.rows import Count

_FILES_PRINTED = 10


@dataclasses.dataclass(frozen=True)
class Decision:
    """Rows that met the same fate.

    Attributes:
      count: how many.
      examples: the first of them, as (file, row number from 1 without a header, value).
    """

    count: int
    examples: tuple[tuple[str, int, str], ...]


@dataclasses.dataclass(frozen=True)
class ImportReport:
    """What became of a log's rows; `rows_read` + `rows_unrolled` = `events` + all counts of `dropped`.

    Attributes:
      path: the log, as it was named.
      files: file -> its rows.
      skipped_files: file -> why it was not read.
      rows_read: of all files.
      rows_unrolled: rows that lists added, see `EventMap.unroll`.
      events: rows kept as events.
      dropped: reason -> rows left out, the most first.
      changed: reason -> rows kept in another form, the most first.
      scrubbed: kind of personal data -> texts it was replaced in.
      empty_columns: mapped columns by key, of the keys for which no row has a value.
      users: users with an event.
      first: time of the first event, ISO 8601.
      last: time of the last event, ISO 8601.
      latest: rows later than this were dropped, ISO 8601.
      currency: of the prices, or "".
    """

    path: str
    files: dict[str, int]
    skipped_files: dict[str, str]
    rows_read: int
    rows_unrolled: int
    events: int
    dropped: dict[str, Decision]
    changed: dict[str, Decision]
    scrubbed: dict[str, int]
    empty_columns: dict[str, tuple[str, ...]]
    users: int
    first: str
    last: str
    latest: str
    currency: str

    def lines(self) -> list[str]:
        """The report for a terminal."""
        text = [
            f"{self.path}: {self.rows_read:,} rows read, {self.events:,} events of {self.users:,} users kept, "
            f"{self.first} to {self.last}" + (f", prices in {self.currency}" if self.currency else "")
        ]
        several = len(self.files) > 1
        if several:
            shown = [f"{name}: {rows:,}" for name, rows in list(self.files.items())[:_FILES_PRINTED]]
            more = f", and {len(self.files) - _FILES_PRINTED} more" if len(self.files) > _FILES_PRINTED else ""
            text.append(f"  {len(self.files)} files ({', '.join(shown)}{more})")
        skipped = [f"  skipped file {name}: {reason}" for name, reason in self.skipped_files.items()]
        text += skipped[:_FILES_PRINTED]
        if len(skipped) > _FILES_PRINTED:
            text.append(f"  and {len(skipped) - _FILES_PRINTED} more skipped files, in the saved report")
        if self.rows_unrolled:
            text.append(f"  added   {self.rows_unrolled:>9,}  rows by unrolling lists")
        for title, decisions in (("dropped", self.dropped), ("changed", self.changed)):
            for reason, decision in decisions.items():
                places = [(f"{file} row" if several else "row", row, value) for file, row, value in decision.examples]
                examples = ", ".join(f"{place} {row}: {value!r}" for place, row, value in places)
                text.append(f"  {title} {decision.count:>9,}  {reason}" + (f"  ({examples})" if examples else ""))
        text += [f"  scrubbed {count:>8,}  texts with a personal {kind}" for kind, count in self.scrubbed.items()]
        text += [f"  no row has a {key}: empty {', '.join(columns)}" for key, columns in self.empty_columns.items()]
        return text

    def save(self, path: pathlib.Path) -> None:
        """Writes the report as JSON."""
        path.write_text(json.dumps(to_plain(self), indent=2) + "\n", encoding="utf-8")


def decisions(counts: dict[str, Count], files: list[LogFile]) -> dict[str, Decision]:
    """Counts for a report, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1].count, item[0]))
    return {
        reason: Decision(one.count, tuple((files[file].name, row, value) for file, row, value in one.examples))
        for reason, one in ordered
    }
