"""Reads what a run has made so far; a stage that is not complete is simply absent."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.metrics import read_metrics
from usergpt_jax.core.run_dir import Manifest
from usergpt_jax.report import palette
from usergpt_jax.report.examples import Example, choose
from usergpt_jax.schema import ACTIONS, SOURCES, Result, TagSchema

EVENTS, MUB, CURRICULUM = "1_events", "2_mub", "3_curriculum"
SFT, RL, BENCH = "4_sft", "5_rl", "6_bench"
# folder -> what the stage is called, in the order of the data flow.
STAGES = {
    EVENTS: "simulate",
    MUB: "semantize",
    CURRICULUM: "curriculum",
    SFT: "SFT",
    RL: "DF-GRPO",
    BENCH: "bench",
}
_SIZES = ("raw_chars", "mub_chars", "raw_tokens", "mub_tokens")


@dataclasses.dataclass(frozen=True)
class EventCounts:
    """The event log in figures.

    Attributes:
      by_source: source -> action -> events, only those that occur.
      weekly: columns week, source, events; weeks start on Monday.
      by_user: events of each user.
      n_events: all events.
    """

    by_source: Mapping[str, Mapping[str, int]]
    weekly: pl.DataFrame
    by_user: np.ndarray
    n_events: int

    @property
    def n_users(self) -> int:
        """Users with an event."""
        return len(self.by_user)


@dataclasses.dataclass(frozen=True)
class RunData:
    """All that the report shows.

    Attributes:
      name: of the run directory.
      manifests: by folder, of complete stages.
      events: of `1_events`.
      sizes: characters and tokens of each user's raw log and MUB.
      sft: metric lines by SFT stage.
      rl: metric lines of DF-GRPO.
      results: of the benchmark.
      examples: two of its users.
    """

    name: str
    manifests: Mapping[str, Manifest]
    events: EventCounts | None
    sizes: pl.DataFrame | None
    sft: Mapping[str, Sequence[Mapping[str, float]]]
    rl: Sequence[Mapping[str, float]]
    results: Sequence[Result]
    examples: Sequence[Example]

    def mean_sizes(self, unit: str) -> tuple[float, float] | None:
        """Mean size a user of raw log and MUB in "chars" or "tokens"; None before `2_mub` or without users."""
        if self.sizes is None or self.sizes.is_empty():
            return None
        raw, mub = (self.sizes[f"{name}_{unit}"].to_numpy().mean() for name in ("raw", "mub"))
        return float(raw), float(mub)


def read_run(path: pathlib.Path, schema: TagSchema) -> RunData:
    """Reads a run directory.

    Raises:
      InputError: there is no such directory, or a complete stage's file cannot be read.
    """
    if not path.is_dir():
        raise InputError(f"{path} is not a run directory: run the stages first, or correct config.run_dir")
    manifests = {
        name: run_dir.read_manifest(path, name) for name in STAGES if (path / name / run_dir.MANIFEST).exists()
    }
    results = read_results(path / BENCH / "results.jsonl") if BENCH in manifests else []
    measured = {result.model for result in results}
    last = next((model for model in reversed(palette.MODELS) if model in measured), "")
    return RunData(
        name=path.resolve().name,
        manifests=manifests,
        events=_count_events(path / EVENTS) if EVENTS in manifests else None,
        sizes=_sizes(path / MUB) if MUB in manifests else None,
        sft=_sft_metrics(path / SFT) if SFT in manifests else {},
        rl=read_metrics(path / RL / "metrics.jsonl") if RL in manifests else [],
        results=results,
        examples=choose(path, schema, last) if {EVENTS, MUB, BENCH} <= manifests.keys() else [],
    )


def read_results(path: pathlib.Path) -> list[Result]:
    """The benchmark's results.

    Raises:
      InputError: naming file and line of one that is no result.
    """
    results = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            results.append(Result(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: not a result: {error}") from None
    return results


def _sft_metrics(folder: pathlib.Path) -> dict[str, list[dict[str, float]]]:
    return {file.parent.name: read_metrics(file) for file in sorted(folder.glob("*/metrics.jsonl"))}


def _count_events(folder: pathlib.Path) -> EventCounts:
    log = pl.scan_parquet(_parts(folder))
    weekly, by_kind, users = pl.collect_all(
        [
            log.group_by(pl.col("time").dt.truncate("1w").dt.date().alias("week"), pl.col("source").cast(pl.String))
            .agg(pl.len().alias("events"))
            .sort("week", "source"),
            log.group_by(pl.col("source", "action").cast(pl.String)).agg(pl.len().alias("events")),
            log.group_by("user_id").agg(pl.len().alias("events")).select(pl.col("events").sort()),
        ]
    )
    counted = {(source, action): count for source, action, count in by_kind.iter_rows()}
    by_source = {
        source: {action: counted[source, action] for action in ACTIONS if (source, action) in counted}
        for source in SOURCES
        if any(key[0] == source for key in counted)
    }
    return EventCounts(by_source, weekly, users["events"].to_numpy(), sum(counted.values()))


def _sizes(folder: pathlib.Path) -> pl.DataFrame:
    return pl.scan_parquet(_parts(folder)).select(_SIZES).collect()


def _parts(folder: pathlib.Path) -> list[pathlib.Path]:
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"{folder} holds no part-*.parquet")
    return parts
