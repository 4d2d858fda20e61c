"""The import of a real log into a run directory: `1_events/` without truth, read by every later stage the same way."""

import hashlib
import pathlib

import polars as pl
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import to_plain
from usergpt_jax.semantize.event_map import load_map
from usergpt_jax.semantize.ingest import read_events
from usergpt_jax.semantize.log_file import LogError

EVENTS = "1_events"
REPORT = "import_report.json"
_FORMAT = 1
_EVENTS_PER_PART = 500_000


def run(log: str, map_path: str, run_path: str, on_change: str) -> None:
    """Imports a log.

    Raises:
      InputError: log or mapping at fault; nothing is left behind that looks complete.
    """
    mapping = load_map(map_path)
    config = {"log": {"name": pathlib.Path(log).name, "sha256": _sha256(pathlib.Path(log))}, "map": to_plain(mapping)}
    stage = run_dir.open_stage(run_path, EVENTS, config=config, format=_FORMAT, on_change=on_change)
    if stage is None:
        print(f"{run_path}/{EVENTS}: reused")
        return
    stage.clear()
    events, report = read_events(log, mapping)
    write_parts(events, stage.path)
    report.save(stage.path / REPORT)
    stage.finish({"events": report.events, "users": report.users, "rows_read": report.rows_read})
    print("\n".join(report.lines()))
    print(f"{run_path}/{EVENTS}: {report.events:,} events of {report.users:,} users")


def write_parts(events: pl.DataFrame, folder: pathlib.Path, events_per_part: int = _EVENTS_PER_PART) -> None:
    """Writes sorted events as parts of about `events_per_part` events; a user never spans parts."""
    first = pl.col("_row").min().over("user_id")
    numbered = events.with_row_index("_row").with_columns((first // events_per_part).alias("_part"))
    for i, (_, part) in enumerate(numbered.group_by("_part", maintain_order=True)):
        table = part.drop("_part", "_row").to_arrow().cast(schema.EVENT_SCHEMA)
        pq.write_table(table, folder / f"part-{i:05d}.parquet")


def _sha256(path: pathlib.Path) -> str:
    if not path.is_file():
        raise LogError(f"{path}: no such log file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
