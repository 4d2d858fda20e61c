"""The stage `semantize`: `1_events` to `2_mub`, part by part."""

import collections
import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import polars as pl
import pyarrow.parquet as pq
from tqdm import tqdm

from usergpt_jax import schema, tags
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import ConfigError, to_dataclass, to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer, train_sentencepiece
from usergpt_jax.semantize import aggregate, budget, increment, part_work, pipeline, salience, survey
from usergpt_jax.semantize.config import SemantizeConfig
from usergpt_jax.semantize.part_work import PartWork
from usergpt_jax.semantize.survey import Survey
from usergpt_jax.semantize.text_reader import TextReader, text_reader
from usergpt_jax.tasks.wording import wording

EVENTS, MUB = "1_events", "2_mub"
FORMAT = 3
T = TypeVar("T")
Executor = Callable[[Callable[[int], Any], Sequence[int]], Iterator[Any]]  # results of all numbers, in any order
_SAMPLE_USERS = 400  # the tokenizer learns from so many users' lines, spread over the log
_SAMPLE_TITLES = 500  # and from so many raw titles, so that raw text is not spelt in single letters
TOKENIZER_KINDS = ("sentencepiece", "huggingface")


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """The section `tokenizer`.

    Attributes:
      kind: one of `TOKENIZER_KINDS`: trained on this run's MUB and the tasks' wording, or read from `path`.
      path: folder of a Hugging Face tokenizer; "" for sentencepiece.
      vocab_size: ids of a trained one.
      max_piece_chars: longest piece of a trained one.
    """

    kind: str
    path: str
    vocab_size: int
    max_piece_chars: int

    def __post_init__(self):
        """Raises `ConfigError` for an unknown kind."""
        if self.kind not in TOKENIZER_KINDS:
            raise ConfigError(f"config.tokenizer.kind: expected one of {', '.join(TOKENIZER_KINDS)}, got {self.kind!r}")


def run(config: Any, on_change: str, executor: Executor | None = None) -> None:
    """Semantizes a run's event log.

    Args:
      config: the whole `ConfigDict`.
      on_change: "refuse" or "redo" a finished stage that another config made.
      executor: does the work on the parts; threads of this process by default. It decides speed, never results.

    Raises:
      InputError: config, events or tokenizer at fault.
    """
    section = to_dataclass(SemantizeConfig, config.semantize, "semantize")
    tokenizer_section = to_dataclass(TokenizerConfig, config.tokenizer, "tokenizer")
    reader = text_reader(config)
    plan = {
        **decides(section),
        **reader.decides,
        "tokenizer": to_plain(tokenizer_section),
        "tag_schema": config.tag_schema,
        "seed": config.seed,
    }
    stage = run_dir.open_stage(config.run_dir, MUB, config=plan, inputs=(EVENTS,), format=FORMAT, on_change=on_change)
    if stage is None:
        print(f"{config.run_dir}/{MUB}: reused")
        return
    stage.clear()
    reader.save(stage.path)
    work = _work(stage, section)
    execute = executor or functools.partial(side_by_side, workers=section.workers)
    numbers = range(len(work.parts))
    known, counted = _survey(work, execute, reader)
    tokenizer = _tokenizer(tokenizer_section, config, stage.path, lambda: _sample(work, known))
    counts: collections.Counter[str] = collections.Counter()
    for found in tqdm(execute(work.mub, numbers), desc="semantize", unit="part", total=len(numbers)):
        counts.update(found)
    if not counts["users"]:
        raise InputError(f"{stage.run / EVENTS}: no event before as_of {section.as_of or 'of its user'}, so no MUB")
    if section.keep_state:
        _keep_log_state(work, counts, counted)
    stage.finish({**counts, **reader.counts, "vocab_size": tokenizer.vocab_size, "titles": known.lexicon.titles.height})
    print(f"{config.run_dir}/{MUB}: {closing_line(counts)}")


def _work(stage: run_dir.Stage, section: SemantizeConfig) -> PartWork:
    """The work, with `as_of` by the config's date, else the truth's, else the day after the log's last event."""
    parts = event_parts(stage.run / EVENTS)
    truth, fixed = stage.run / EVENTS / "users.parquet", section.as_of_time()
    by_truth = fixed is None and truth.exists()
    if fixed is None and not by_truth:
        fixed = aggregate.midnight_after(pl.scan_parquet(parts).select(pl.col("time").max()).collect().item())
    return PartWork(
        parts=tuple(map(str, parts)),
        folder=str(stage.path),
        section=section,
        truth=str(truth) if by_truth else "",
        as_of=fixed.isoformat() if fixed else "",
    )


def _survey(work: PartWork, execute: Executor, reader: TextReader) -> tuple[Survey, survey.Tally]:
    """Surveys the log: its distinct texts are refined once, then prices and users are counted; and these counts."""
    numbers = range(len(work.parts))
    _exhaust(execute(work.texts, numbers))
    lexicon = reader.lexicon(work.merged_texts())
    part_work.write_lexicon(work.folder, lexicon)
    _exhaust(execute(work.tally, numbers))
    counted = work.merged_tally()
    known = survey.survey_of(lexicon, counted, min_band_purchases=work.section.min_band_purchases)
    part_work.write_statistics(work.folder, known)
    return known, counted


def _exhaust(results: Iterator[Any]) -> None:
    for _ in results:
        pass


def event_parts(folder: pathlib.Path) -> list[pathlib.Path]:
    """The parts of an event log, in order.

    Raises:
      InputError: there is none, or one has other columns.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"{folder}: no part-*.parquet; expected an event log")
    for part in parts:
        schema.check_columns(pq.read_schema(part), schema.EVENT_SCHEMA, str(part))
    return parts


def _keep_log_state(work: PartWork, counts: Mapping[str, int], counted: survey.Tally) -> None:
    as_of = work.users_as_of()
    times = as_of["as_of"].unique().to_list() if isinstance(as_of, pl.DataFrame) else [as_of]
    if len(times) > 1:
        raise InputError(f"config.semantize.keep_state: users have {len(times)} different as_of; expected one for all")
    if counts["events_after_as_of"]:
        raise InputError(
            f"config.semantize.keep_state: {counts['events_after_as_of']:,} events are not before as_of {times[0]}"
        )
    state = increment.LogState(times[0], len(work.parts), counted.prices, counted.spread)
    increment.write_log(pathlib.Path(work.folder) / increment.FOLDER, state)


def decides(section: SemantizeConfig) -> dict[str, Any]:
    """What of the section decides the stage's files."""
    return {"semantize": {key: value for key, value in to_plain(section).items() if key != "workers"}}


def side_by_side(make: Callable[[int], T], parts: Sequence[int], workers: int) -> Iterator[T]:
    """What `make` gives for each part, in order; at most two results a worker wait to be taken."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque[concurrent.futures.Future[T]] = collections.deque()
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def closing_line(counts: collections.Counter[str]) -> str:
    """Users, lines, and the compression by step in tokens and characters."""
    steps = [step for step in ("raw", "refined", "aggregated", "top_k", "mub") if f"{step}_chars" in counts]
    sizes = " -> ".join(f"{name} {counts[f'{name}_tokens']:,}" for name in steps)
    chars = " -> ".join(f"{counts[f'{name}_chars']:,}" for name in steps)
    users = max(counts["users"], 1)
    return (
        f"{counts['users']:,} users, {counts['events']:,} events, {counts['lines'] / users:.1f} lines and "
        f"{counts['mub_tokens'] / users:.0f} tokens a user; tokens {sizes}; chars {chars}"
    )


def _tokenizer(
    section: TokenizerConfig, config: Any, folder: pathlib.Path, sample: Callable[[], list[str]]
) -> Tokenizer:
    target = folder / part_work.TOKENIZER
    if section.kind == "huggingface":
        tokenizer = load_tokenizer(section.path)
        tokenizer.save(target)
        return tokenizer
    return train_sentencepiece(
        sample(),
        wording(tags.tag_schema(config.tag_schema)),
        target,
        vocab_size=section.vocab_size,
        max_piece_chars=section.max_piece_chars,
        seed=config.seed,
    )


def _sample(work: PartWork, known: Survey) -> list[str]:
    """MUBs before the budget of every n-th user, and every n-th raw title."""
    log = pl.scan_parquet(list(work.parts))
    users = log.select(pl.col("user_id").unique().sort()).collect().to_series()
    chosen = users.gather_every(max(1, -(-len(users) // _SAMPLE_USERS)))
    events = log.filter(pl.col("user_id").is_in(chosen.implode())).collect()
    events = events.sort("user_id", maintain_order=True)  # the tokenizer shall not depend on how the log is cut
    prepared = pipeline.prepare(events.to_arrow(), work.section, known, work.users_as_of())
    top = salience.top_k(prepared.slices, work.section.top_k, work.section.top_places)
    titles = known.lexicon.titles["title"]
    spread = titles.gather_every(max(1, -(-len(titles) // _SAMPLE_TITLES)))
    return [*budget.write_all(top)["mub"], *spread]
