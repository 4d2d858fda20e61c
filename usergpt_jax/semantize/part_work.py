"""The work on one part of a log, told by paths alone, so that a thread, a process or another machine can do it.

The survey is made of files: every part leaves its distinct texts, then its tally; the driver merges them.
"""

import dataclasses
import datetime
import functools
import os
import pathlib
import uuid

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.semantize import coded, increment, names, pipeline, survey
from usergpt_jax.semantize.config import SemantizeConfig
from usergpt_jax.semantize.names import Lexicon
from usergpt_jax.semantize.pipeline import AsOf
from usergpt_jax.semantize.survey import Survey, Tally, Texts
from usergpt_jax.semantize.token_count import Counter

SURVEY, TOKENIZER = "survey", "tokenizer"
_LEXICON = ("titles", "places")
_STATISTICS = ("bounds", "spread")


@dataclasses.dataclass(frozen=True)
class PartWork:
    """What to do with the parts of an event log.

    Attributes:
      parts: files of the log.
      folder: the stage's folder, which all workers see.
      section: the section `semantize`.
      truth: file that gives each user's `as_of`, or "".
      as_of: one `as_of` for all where there is no truth, ISO 8601.
    """

    parts: tuple[str, ...]
    folder: str
    section: SemantizeConfig
    truth: str
    as_of: str

    def texts(self, number: int) -> None:
        """Leaves the distinct texts of a part."""
        found = survey.texts_of(coded.read(self.parts[number], survey.TEXT_COLUMNS))
        self._leave("texts", number, found.titles)
        self._leave("places", number, found.places.to_frame("place"))

    def tally(self, number: int) -> None:
        """Leaves the tally of a part's events before `as_of`; the lexicon is there."""
        log = coded.code(coded.read(self.parts[number]))
        log = log.take(pipeline.before(log, self.users_as_of()))
        counted = survey.tally(log, names.names_of(log, read_lexicon(self.folder)))
        self._leave("prices", number, counted.prices)
        self._leave("spread", number, counted.spread)

    def mub(self, number: int) -> dict[str, int]:
        """Writes the MUBs of a part, and its state if it is to be kept; returns what was counted."""
        table = coded.read(self.parts[number])
        prepared = pipeline.prepare(table, self.section, read_survey(self.folder), self.users_as_of())
        made = pipeline.finish(prepared, self.section, counter(self.folder))
        write_mub(made.mub, pathlib.Path(self.folder) / f"part-{number:05d}.parquet")
        if self.section.keep_state:
            write_state(self.folder, number, self.section, table, prepared, made, increment.empty_part())
        return made.counts

    def users_as_of(self) -> AsOf:
        """`as_of` of each user, or one for all."""
        if self.truth:
            return pl.read_parquet(self.truth, columns=["user_id", "as_of"])
        return datetime.datetime.fromisoformat(self.as_of)

    def merged_texts(self) -> Texts:
        """The distinct texts that all parts left."""
        counted = pl.scan_parquet(self._left("texts")).group_by("title", "category").agg(pl.col("n").sum())
        titles = counted.sort("title", "category").collect(engine="streaming")
        places = pl.scan_parquet(self._left("places")).unique().sort("place").collect(engine="streaming")
        return Texts(titles, places["place"])

    def merged_tally(self) -> Tally:
        """The tallies that all parts left, together."""
        return survey.merge_tallies([Tally(*(pl.read_parquet(self._left(name)) for name in Tally._fields))])

    def _leave(self, name: str, number: int, frame: pl.DataFrame) -> None:
        folder = pathlib.Path(self.folder) / SURVEY
        folder.mkdir(parents=True, exist_ok=True)
        _write(frame.to_arrow(), folder / f"{name}-{number:05d}.part")

    def _left(self, name: str) -> list[pathlib.Path]:
        return sorted((pathlib.Path(self.folder) / SURVEY).glob(f"{name}-*.part"))


def write_lexicon(folder: str, lexicon: Lexicon) -> None:
    """Writes the refined texts where all workers see them."""
    for name, frame in zip(_LEXICON, lexicon, strict=True):
        _write(frame.to_arrow(), pathlib.Path(folder) / SURVEY / f"{name}.parquet")


def write_statistics(folder: str, known: Survey) -> None:
    """Writes the statistics beside the lexicon, and clears away what the parts left."""
    for name, frame in zip(_STATISTICS, known[1:], strict=True):
        _write(frame.to_arrow(), pathlib.Path(folder) / SURVEY / f"{name}.parquet")
    for left in (pathlib.Path(folder) / SURVEY).glob("*.part"):
        left.unlink()


def read_lexicon(folder: str) -> Lexicon:
    """The lexicon of a stage's folder, read once a process."""
    return _lexicon(folder, _stamp(f"{folder}/{SURVEY}/places.parquet"))


def read_survey(folder: str) -> Survey:
    """The survey of a stage's folder, read once a process."""
    return _survey(folder, _stamp(f"{folder}/{SURVEY}/spread.parquet"))


def counter(folder: str) -> Counter:
    """Counts with the tokenizer of a stage's folder; one a process, for it remembers."""
    return _counter(folder, _stamp(f"{folder}/{TOKENIZER}"))


@functools.lru_cache(maxsize=1)
def _lexicon(folder: str, stamp: tuple[int, int]) -> Lexicon:
    return Lexicon(*(pl.read_parquet(f"{folder}/{SURVEY}/{name}.parquet") for name in _LEXICON))


@functools.lru_cache(maxsize=1)
def _survey(folder: str, stamp: tuple[int, int]) -> Survey:
    statistics = (pl.read_parquet(f"{folder}/{SURVEY}/{name}.parquet") for name in _STATISTICS)
    return Survey(read_lexicon(folder), *statistics)


@functools.lru_cache(maxsize=1)
def _counter(folder: str, stamp: tuple[int, int]) -> Counter:
    return Counter(load_tokenizer(f"{folder}/{TOKENIZER}"))


def _stamp(path: str) -> tuple[int, int]:
    """Tells a file from another one that was written later under the same name."""
    found = pathlib.Path(path).stat()
    return found.st_mtime_ns, found.st_ino


def write_mub(mub: pl.DataFrame, path: pathlib.Path) -> None:
    """Writes MUBs in exactly `schema.MUB_SCHEMA`."""
    _write(mub.to_arrow().cast(schema.MUB_SCHEMA), path)


def _write(table: pa.Table, path: pathlib.Path) -> None:
    """Writes a file under another name first: two workers may be at the same part, and either result will do."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        pq.write_table(table, unfinished, compression="zstd")
    except OSError as error:
        error.filename = str(path)  # Arrow does not say which file
        raise
    os.replace(unfinished, path)


def write_state(
    folder: str,
    number: int,
    section: SemantizeConfig,
    table: pa.Table,
    prepared: pipeline.Prepared,
    made: pipeline.Semantized,
    before: increment.PartState,
) -> None:
    """Writes the state of a part into the stage's folder; see `increment`."""
    events, users = increment.keep(
        table, prepared.whole, prepared.log, prepared.windows, section.distant_actions, made.raw, before.users
    )
    texts = pl.concat([before.texts, survey.user_texts(prepared.whole, prepared.names)]).unique()
    increment.write_part(pathlib.Path(folder) / increment.FOLDER, number, increment.PartState(events, users, texts))
