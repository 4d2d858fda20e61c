"""The import of a real log into a run directory: `1_events/` without truth, read by every later stage the same way.

Rows are read in batches, written to buckets by a hash of their user, and settled bucket by bucket; memory is bounded by
a bucket (about two million rows, or the longest user), not by the log. Parts are ordered by bucket and sorted by user
within one; a log of one bucket is sorted by user throughout. How many buckets there are depends on the log's size only.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil

import polars as pl
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest import buckets, log_files, read_log
from usergpt_jax.semantize.ingest.batches import BATCH_ROWS
from usergpt_jax.semantize.ingest.buckets import Buckets
from usergpt_jax.semantize.ingest.convert import Rules
from usergpt_jax.semantize.ingest.event_map import load_map
from usergpt_jax.semantize.ingest.report import ImportReport

EVENTS = "1_events"
REPORT = "import_report.json"
_SPILL = "spill"
_FORMAT = 2
_EVENTS_PER_PART = 500_000
_SALT_CHECK_BYTES = 4  # tells one salt from another, and gives nothing of it away


@dataclasses.dataclass(frozen=True)
class Limits:
    """Sizes of the work; the events of a user do not depend on them.

    Attributes:
      batch_rows: rows read at once.
      n_buckets: buckets to settle in; 0: as many as the log's size asks for.
      events_per_part: about how many events a part holds.
    """

    batch_rows: int = BATCH_ROWS
    n_buckets: int = 0
    events_per_part: int = _EVENTS_PER_PART


def run(
    log: str,
    map_path: str,
    run_path: str,
    on_change: str,
    *,
    salt_file: str = "",
    skip_bad_files: bool = False,
    limits: Limits | None = None,
) -> None:
    """Imports a log.

    Args:
      log: file, folder or glob.
      map_path: mapping file.
      run_path: run directory.
      on_change: see `run_dir.open_stage`.
      salt_file: file with the key of the users' hashes, where the mapping asks for them.
      skip_bad_files: import the other files when some cannot be read.
      limits: sizes of the work.

    Raises:
      InputError: log or mapping at fault, or the disk is full; nothing is left behind that looks complete.
    """
    mapping = load_map(map_path)
    rules = read_log.make_rules(mapping, read_log.load_salt(salt_file) if salt_file else b"")
    files, _ = log_files.find(log)
    config = {
        "log": {"name": pathlib.Path(log).name, "files": len(files), "sha256": log_files.digest(files)},
        "map": to_plain(mapping),
        "skip_bad_files": skip_bad_files,
        "salt_check": _salt_check(rules),
    }
    stage = run_dir.open_stage(run_path, EVENTS, config=config, format=_FORMAT, on_change=on_change)
    if stage is None:
        print(f"{run_path}/{EVENTS}: reused")
        return
    stage.clear()
    limits = limits or Limits()
    n_buckets = limits.n_buckets or buckets.count_for(log_files.estimate_rows(files))
    spill = Buckets(stage.path / _SPILL, n_buckets)
    try:
        report = _import(log, rules, stage.path, spill, limits, skip_bad_files)
        shutil.rmtree(stage.path / _SPILL)
        report.save(stage.path / REPORT)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        raise InputError(f"{stage.path}: cannot be written: {reason}") from None
    finally:
        if not (stage.path / REPORT).exists():
            shutil.rmtree(stage.path, ignore_errors=True)
    stage.finish({"events": report.events, "users": report.users, "rows_read": report.rows_read})
    print("\n".join(report.lines()))
    print(f"{run_path}/{EVENTS}: {report.events:,} events of {report.users:,} users")


def _import(
    log: str, rules: Rules, folder: pathlib.Path, spill: Buckets, limits: Limits, skip_bad_files: bool
) -> ImportReport:
    try:
        read = read_log.read_log(log, rules, spill.add, batch_rows=limits.batch_rows, skip_bad_files=skip_bad_files)
    finally:
        spill.close()
    n_events, n_users, n_parts, spans = 0, 0, 0, []
    for number in range(spill.n):
        rows = spill.take(number)
        if rows is None:
            continue
        events = read.settle(rows)
        del rows
        if events.height:
            n_parts += write_parts(events, folder, limits.events_per_part, n_parts)
            n_events, n_users = n_events + events.height, n_users + events["user_id"].n_unique()
            spans += [events["time"].min(), events["time"].max()]
    return read.report(n_events, n_users, (min(spans, default=""), max(spans, default="")))


def write_parts(
    events: pl.DataFrame, folder: pathlib.Path, events_per_part: int = _EVENTS_PER_PART, first_part: int = 0
) -> int:
    """Writes sorted events as parts of about `events_per_part` events, and says how many; a user never spans parts."""
    users = events["user_id"].rle().struct.unnest().with_columns(first=pl.col("len").cum_sum() - pl.col("len"))
    cuts = users.group_by(pl.col("first") // events_per_part, maintain_order=True).agg(pl.col("len").sum())["len"]
    start = 0
    for i, n_rows in enumerate(cuts):
        with pq.ParquetWriter(folder / f"part-{first_part + i:05d}.parquet", schema.EVENT_SCHEMA) as writer:
            for rows in events.slice(start, n_rows).iter_slices(_EVENTS_PER_PART):
                writer.write_table(rows.to_arrow().cast(schema.EVENT_SCHEMA))
        start += n_rows
    return len(cuts)


def _salt_check(rules: Rules) -> str:
    if not rules.salt:
        return ""
    return hashlib.blake2b(b"usergpt_jax salt check", key=rules.salt, digest_size=_SALT_CHECK_BYTES).hexdigest()
