"""The stage `semantize`: `1_events` to `2_mub`, part by part."""

import collections
import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import polars as pl
import pyarrow.parquet as pq
from tqdm import tqdm

from usergpt_jax import gazetteer, schema, tags
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import ConfigError, to_dataclass, to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer, train_sentencepiece
from usergpt_jax.semantize import aggregate, budget, coded, names, pipeline, salience, survey
from usergpt_jax.semantize.pipeline import AsOf, SemantizeConfig
from usergpt_jax.semantize.survey import Survey
from usergpt_jax.semantize.token_count import Counter
from usergpt_jax.tasks.wording import wording

EVENTS, MUB = "1_events", "2_mub"
_FORMAT = 1
T = TypeVar("T")
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


def run(config: Any, on_change: str) -> None:
    """Semantizes a run's event log.

    Args:
      config: the whole `ConfigDict`.
      on_change: "refuse" or "redo" a finished stage that another config made.

    Raises:
      InputError: config, events or tokenizer at fault.
    """
    section = to_dataclass(SemantizeConfig, config.semantize, "semantize")
    tokenizer_section = to_dataclass(TokenizerConfig, config.tokenizer, "tokenizer")
    plan = {
        "semantize": {key: value for key, value in to_plain(section).items() if key != "workers"},
        "tokenizer": to_plain(tokenizer_section),
        "tag_schema": config.tag_schema,
        "seed": config.seed,
    }
    stage = run_dir.open_stage(config.run_dir, MUB, config=plan, inputs=(EVENTS,), format=_FORMAT, on_change=on_change)
    if stage is None:
        print(f"{config.run_dir}/{MUB}: reused")
        return
    stage.clear()
    parts = event_parts(stage.run / EVENTS)
    as_of = _as_of(stage.run / EVENTS, parts, section)
    known = survey_parts(parts, section, tags.locale_of(config.tag_schema))
    tokenizer = _tokenizer(tokenizer_section, config, stage.path, lambda: _sample(parts, section, known, as_of))
    counter = Counter(tokenizer)

    def make(part: pathlib.Path) -> dict[str, int]:
        made = pipeline.finish(pipeline.prepare(coded.read(part), section, known, as_of), section, counter)
        write_mub(made.mub, stage.path / part.name)
        return made.counts

    counts: collections.Counter[str] = collections.Counter()
    for found in tqdm(side_by_side(make, parts, section.workers), desc="semantize", unit="part", total=len(parts)):
        counts.update(found)
    if not counts["users"]:
        raise InputError(f"{stage.run / EVENTS}: no event before as_of {section.as_of or 'of its user'}, so no MUB")
    stage.finish({**counts, "vocab_size": tokenizer.vocab_size, "titles": known.lexicon.titles.height})
    print(f"{config.run_dir}/{MUB}: {closing_line(counts)}")


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


def survey_parts(parts: Sequence[pathlib.Path], section: SemantizeConfig, locale: str = gazetteer.ANY) -> Survey:
    """Surveys a log part by part: its distinct texts are refined once, then prices and users are counted."""

    def texts(part: pathlib.Path) -> survey.Texts:
        return survey.texts_of(coded.read(part, survey.TEXT_COLUMNS))

    lexicon = survey.lexicon_of(survey.merge_texts(side_by_side(texts, parts, section.workers)), locale=locale)

    def tally(part: pathlib.Path) -> survey.Tally:
        log = coded.code(coded.read(part))
        return survey.tally(log, names.names_of(log, lexicon))

    counted = survey.merge_tallies(side_by_side(tally, parts, section.workers))
    return survey.survey_of(lexicon, counted, min_band_purchases=section.min_band_purchases)


def side_by_side(make: Callable[[pathlib.Path], T], parts: Sequence[pathlib.Path], workers: int) -> Iterator[T]:
    """What `make` gives for each part, in order; at most two results a worker wait to be taken."""
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque[concurrent.futures.Future[T]] = collections.deque()
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def write_mub(mub: pl.DataFrame, path: pathlib.Path) -> None:
    """Writes MUBs in exactly `schema.MUB_SCHEMA`."""
    pq.write_table(mub.to_arrow().cast(schema.MUB_SCHEMA), path)


def closing_line(counts: collections.Counter[str]) -> str:
    """Users, lines, and the compression by step in tokens and characters."""
    steps = ("raw", "refined", "aggregated", "top_k", "mub")
    sizes = " -> ".join(f"{name} {counts[f'{name}_tokens']:,}" for name in steps)
    chars = " -> ".join(f"{counts[f'{name}_chars']:,}" for name in steps)
    users = max(counts["users"], 1)
    return (
        f"{counts['users']:,} users, {counts['events']:,} events, {counts['lines'] / users:.1f} lines and "
        f"{counts['mub_tokens'] / users:.0f} tokens a user; tokens {sizes}; chars {chars}"
    )


def _as_of(folder: pathlib.Path, parts: Sequence[pathlib.Path], section: SemantizeConfig) -> AsOf:
    """The config's date, else the truth's time of each user, else the day after the log's last event."""
    truth, fixed = folder / "users.parquet", section.as_of_time()
    if fixed is not None:
        return fixed
    if truth.exists():
        return pl.read_parquet(truth, columns=["user_id", "as_of"])
    return aggregate.midnight_after(pl.scan_parquet(parts).select(pl.col("time").max()).collect().item())


def _tokenizer(
    section: TokenizerConfig, config: Any, folder: pathlib.Path, sample: Callable[[], list[str]]
) -> Tokenizer:
    target = folder / "tokenizer"
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


def _sample(parts: Sequence[pathlib.Path], section: SemantizeConfig, known: Survey, as_of: AsOf) -> list[str]:
    """MUBs before the budget of every n-th user, and every n-th raw title."""
    log = pl.scan_parquet(parts)
    users = log.select(pl.col("user_id").unique().sort()).collect().to_series()
    chosen = users.gather_every(max(1, -(-len(users) // _SAMPLE_USERS)))
    events = log.filter(pl.col("user_id").is_in(chosen.implode())).collect()
    prepared = pipeline.prepare(events.to_arrow(), section, known, as_of)
    top = salience.top_k(prepared.slices, section.top_k, section.top_places)
    titles = known.lexicon.titles["title"]
    spread = titles.gather_every(max(1, -(-len(titles) // _SAMPLE_TITLES)))
    return [*budget.write_all(top)["mub"], *spread]
