"""Reading a log, file by file and batch by batch; `read_events` does it in memory, for small logs."""

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Callable

import polars as pl

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest import batches, log_files
from usergpt_jax.semantize.ingest.batches import BATCH_ROWS
from usergpt_jax.semantize.ingest.convert import Rules, convert
from usergpt_jax.semantize.ingest.event_map import EventMap
from usergpt_jax.semantize.ingest.log_files import BadFileError, LogError, LogFile
from usergpt_jax.semantize.ingest.report import ImportReport, decisions
from usergpt_jax.semantize.ingest.rows import FILE, ORDER, ROW, Tally
from usergpt_jax.semantize.ingest.settle import settle

_MIN_SALT_BYTES = 16
_MAX_SALT_BYTES = 64  # the longest key of BLAKE2b
Sink = Callable[[pl.DataFrame], None]


@dataclasses.dataclass
class LogRead:
    """What became of a log's files.

    Attributes:
      log: as it was named.
      files: all of them; a row's `FILE` is an index into them.
      rules: how rows were read.
      tally: decisions taken.
      rows: file -> its rows, of the files that were read.
      skipped: file -> why it was not.
      bad: indices of files whose rows, if any were handed on, do not count.
      rows_unrolled: rows that lists added.
    """

    log: str
    files: list[LogFile]
    rules: Rules
    tally: Tally = dataclasses.field(default_factory=Tally)
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    bad: list[int] = dataclasses.field(default_factory=list)
    rows_unrolled: int = 0

    def settle(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The events of some users, see `settle.settle`, from the rows that count."""
        return settle(frame.filter(~pl.col(FILE).is_in(self.bad)), self.files, self.tally)

    def report(self, events: int, users: int, span: tuple[object, object]) -> ImportReport:
        """The report, once all is settled.

        Raises:
          LogError: there is no event.
        """
        rows_read = sum(self.rows.values())
        dropped = decisions(self.tally.dropped, self.files)
        if not events:
            if not rows_read:
                raise LogError(f"{self.log}: the log is empty")
            reasons = ", ".join(f"{reason}: {one.count}" for reason, one in dropped.items())
            raise LogError(f"{self.log}: none of {rows_read + self.rows_unrolled} rows is an event ({reasons})")
        mapping = self.rules.mapping
        return ImportReport(
            path=self.log,
            files=self.rows,
            skipped_files=self.skipped,
            rows_read=rows_read,
            rows_unrolled=self.rows_unrolled,
            events=events,
            dropped=dropped,
            changed=decisions(self.tally.changed, self.files),
            scrubbed=dict(sorted(self.tally.scrubbed.items())),
            empty_columns={
                key: paths
                for key, paths in mapping.columns().items()
                if not any(path in self.tally.filled for path in paths)
            },
            users=users,
            first=str(span[0]),
            last=str(span[1]),
            latest=self.rules.latest.isoformat(" ", "seconds"),
            currency=mapping.currency,
        )


def make_rules(mapping: EventMap, salt: bytes) -> Rules:
    """Checks the salt against the mapping and settles the latest time.

    Raises:
      InputError: hashing without salt, with too short a one, or a salt without hashing.
    """
    if mapping.hash_user_id and not salt:
        raise InputError("map.hash_user_id: hashing needs a salt; give --salt_file FILE")
    if salt and not mapping.hash_user_id:
        raise InputError("a salt was given, but the mapping does not set hash_user_id")
    if salt:
        _check_size(salt, "salt")
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return Rules(mapping, mapping.latest_time(now), salt)


def load_salt(path: str | os.PathLike[str]) -> bytes:
    """The salt in a file, without the line end after it.

    Raises:
      InputError: the file cannot be read, or holds too short or too long a salt.
    """
    try:
        salt = pathlib.Path(path).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise InputError(f"{path}: the salt cannot be read: {error.strerror}") from None
    _check_size(salt, f"{path}: salt")
    return salt


def _check_size(salt: bytes, named: str) -> None:
    if not _MIN_SALT_BYTES <= len(salt) <= _MAX_SALT_BYTES:
        raise InputError(f"{named}: expected {_MIN_SALT_BYTES} to {_MAX_SALT_BYTES} bytes, got {len(salt)}")


def read_log(
    log: str, rules: Rules, sink: Sink, *, batch_rows: int = BATCH_ROWS, skip_bad_files: bool = False
) -> LogRead:
    """Reads all files of a log, handing converted batches to `sink` in the order of the log.

    Args:
      log: see `log_files.find`.
      rules: how.
      sink: takes rows with `convert.SETTLE_COLUMNS`.
      batch_rows: rows in memory at once; the events do not depend on it.
      skip_bad_files: leave out files that cannot be read, instead of stopping; all rows of such a file.

    Raises:
      LogError: a file or row is at fault, or no file could be read.
    """
    files, others = log_files.find(log, rules.mapping.encoding)
    read = LogRead(log, files, rules, skipped=others)
    order = 0
    for number, file in enumerate(files):
        tally, first_order, rows = read.tally.copy(), order, 0
        try:
            for frame in batches.read(file, rules.mapping, batch_rows):
                if not frame.height:
                    continue
                places = pl.int_range(pl.len(), dtype=pl.Int64) + order
                frame = frame.with_columns(pl.lit(number, pl.Int32).alias(FILE), places.alias(ORDER))
                order += frame.height
                rows = frame[ROW][-1]
                sink(convert(frame, files, rules, read.tally))
        except BadFileError as error:
            if not skip_bad_files:
                raise
            read.tally = tally
            read.bad.append(number)
            read.skipped[file.name] = str(error).removeprefix(f"{file.path}: ")
            continue
        read.rows[file.name] = rows
        read.rows_unrolled += order - first_order - rows
    if not read.rows:
        raise LogError(
            f"{log}: none of its {len(files)} files can be read; {files[0].name}: {read.skipped[files[0].name]}"
        )
    return read


def read_events(log: str | os.PathLike[str], mapping: EventMap, salt: bytes = b"") -> tuple[pl.DataFrame, ImportReport]:
    """Reads a log that fits in memory.

    Args:
      log: file, folder or glob of CSV, TSV, JSONL or Parquet.
      mapping: its columns.
      salt: key of the users' hashes, where the mapping asks for them.

    Returns:
      events in `schema.EVENT_SCHEMA` sorted by user and time (equal times in the order of the log), and the report.

    Raises:
      LogError: one line with file, row, column and value, for what `convert` says stops the import.
    """
    frames: list[pl.DataFrame] = []
    read = read_log(str(log), make_rules(mapping, salt), frames.append)
    if not frames:
        raise LogError(f"{log}: the log is empty")
    events = read.settle(pl.concat(frames))
    span = (events["time"].min(), events["time"].max())
    return events, read.report(events.height, events["user_id"].n_unique(), span)
