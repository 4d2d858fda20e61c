"""The stage `semantize` of a new day: `1_events` holds that day alone, an earlier run's state tells of those before.

The result, MUBs of all users and a new state, goes into `2_mub` of the run, as if the whole log had been there.
"""

import collections
import datetime
import pathlib
import shutil
from typing import Any

import polars as pl
import pyarrow as pa
from tqdm import tqdm

from usergpt_jax.core import run_dir
from usergpt_jax.core.config import to_dataclass, to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import aggregate, coded, increment, names, part_work, pipeline, run, survey
from usergpt_jax.semantize.config import SemantizeConfig
from usergpt_jax.semantize.survey import Survey
from usergpt_jax.semantize.text_reader import TextReader, text_reader

# Counts that would speak of the events that are still kept, not of the whole log.
_OF_EVENTS_READ = ("events", "refined_", "filtered_", "damped_")


def run_day(config: Any, after: str, on_change: str) -> None:
    """Semantizes a day on top of an earlier run.

    Args:
      config: the whole `ConfigDict`; `run_dir` holds the day's `1_events`.
      after: run directory whose `2_mub` was made with `keep_state`.
      on_change: "refuse" or "redo" a finished stage that another config made.

    Raises:
      InputError: the earlier run has no state or another config, or an event of the day is not later than it.
    """
    section = to_dataclass(SemantizeConfig, config.semantize, "semantize")
    if not section.keep_state:
        raise InputError("config.semantize.keep_state: expected True, for the day after needs the state too")
    if pathlib.Path(after).resolve() == pathlib.Path(config.run_dir).resolve():
        raise InputError(f"--after={after}: expected the run of the days before, got the run of the new day itself")
    earlier = run_dir.read_manifest(after, run.MUB)
    reader = text_reader(config)
    plan = {
        **run.decides(section),
        **reader.decides,
        "tag_schema": config.tag_schema,
        "seed": config.seed,
        "after": earlier.hash,
    }
    _check_same(earlier.config, plan)
    stage = run_dir.open_stage(
        config.run_dir, run.MUB, config=plan, inputs=(run.EVENTS,), format=run.FORMAT, on_change=on_change
    )
    if stage is None:
        print(f"{config.run_dir}/{run.MUB}: reused")
        return
    stage.clear()
    reader.save(stage.path)
    before = pathlib.Path(after) / run.MUB
    shutil.copytree(before / part_work.TOKENIZER, stage.path / part_work.TOKENIZER)
    log = _Log(before / increment.FOLDER, run.event_parts(stage.run / run.EVENTS), section)
    known, counted = log.survey(reader)
    counter = part_work.counter(str(stage.path))
    counts: collections.Counter[str] = collections.Counter()

    def semantize(number: int) -> dict[str, int]:
        state, _, table = log.part(number)
        prepared = pipeline.prepare(table, section, known, log.as_of)
        base = state.users.drop("n_rows").with_columns(pl.lit(log.as_of).cast(pl.Datetime("ms")).alias("as_of"))
        made = pipeline.finish(prepared, section, counter, base)
        part_work.write_mub(made.mub, stage.path / f"part-{number:05d}.parquet")
        part_work.write_state(str(stage.path), number, section, table, prepared, made, state)
        counted = {name: n for name, n in made.counts.items() if not name.startswith(_OF_EVENTS_READ)}
        return {**counted, "events": int(made.mub["n_events"].sum())}

    numbers = range(log.n_parts)
    made_of = run.side_by_side(semantize, numbers, section.workers)
    for found in tqdm(made_of, desc="semantize", unit="part", total=len(numbers)):
        counts.update(found)
    state = increment.LogState(log.as_of, log.n_parts, counted.prices, counted.spread)
    increment.write_log(stage.path / increment.FOLDER, state)
    stage.finish({**counts, **reader.counts, "titles": known.lexicon.titles.height})
    print(f"{config.run_dir}/{run.MUB}: {run.closing_line(counts)}")


class _Log:
    """The kept past and the new day, by the parts of the past; users never seen before are a part of their own."""

    def __init__(self, folder: pathlib.Path, day_parts: list[pathlib.Path], section: SemantizeConfig):
        self._folder, self._section = folder, section
        self._state = increment.read_log(folder)
        self._day = pl.read_parquet(day_parts).sort("user_id", "time", maintain_order=True)
        last = self._day["time"].max()
        if not isinstance(last, datetime.datetime):
            raise InputError(f"{day_parts[0].parent}: no event; expected those of a new day")
        self.as_of = section.as_of_time() or aggregate.midnight_after(last)
        increment.check_day(self._day, self._state.as_of, self.as_of)
        users = [increment.read_users(folder, number) for number in range(self._state.n_parts)]
        self._new = self._day.join(pl.concat(users), on="user_id", how="anti", maintain_order="left")
        self.n_parts = self._state.n_parts + (1 if self._new.height else 0)

    def part(self, number: int) -> tuple[increment.PartState, pl.DataFrame, pa.Table]:
        """The state of a part's users, their new events, and both kinds of events as one log."""
        if number == self._state.n_parts:
            state, day = increment.empty_part(), self._new
        else:
            state = increment.read_part(self._folder, number)
            day = self._day.join(state.users.select("user_id"), on="user_id", how="semi", maintain_order="left")
        return state, day, increment.add_day(state, day).to_arrow()

    def survey(self, reader: TextReader) -> tuple[Survey, survey.Tally]:
        """The survey of past and day together, and the counts it rests on."""

        def texts_of(number: int) -> survey.Texts:
            return survey.texts_of(self.part(number)[2])

        def tally_of(number: int) -> survey.Tally:
            state, day, _ = self.part(number)
            log = coded.code(day.to_arrow())
            return survey.tally(log, names.names_of(log, lexicon), known=state.texts)

        numbers, workers = range(self.n_parts), self._section.workers
        lexicon = reader.lexicon(survey.merge_texts(run.side_by_side(texts_of, numbers, workers)))
        counted = survey.merge_tallies([self._state.tally, *run.side_by_side(tally_of, numbers, workers)])
        return survey.survey_of(lexicon, counted, min_band_purchases=self._section.min_band_purchases), counted


def _check_same(earlier: Any, plan: dict[str, Any]) -> None:
    """Refuses a day under another config than the days before; only `as_of` moves on."""
    there, here = dict(earlier["semantize"]), dict(to_plain(plan["semantize"]))
    for key in sorted(set(there) | set(here)):
        if key != "as_of" and there.get(key) != here.get(key):
            raise InputError(
                f"config.semantize.{key}: {there.get(key)!r} in the run before, {here.get(key)!r} here; a day is "
                "semantized with the config of the days before"
            )
    for key in ("tag_schema", "refiner", "categories"):
        if earlier[key] != to_plain(plan[key]):
            raise InputError(f"config.{key}: {earlier[key]!r} in the run before, {plan[key]!r} here")
