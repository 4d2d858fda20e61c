"""Event logs as numbers: text columns become codes, so that millions of events are arrays and not strings.

Parquet stores text as dictionaries; they are read as they are and no string is made for an event.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from usergpt_jax import schema

_TEXT = ("user_id", "source", "action", "title", "category", "item_id", "place")
NONE = -1  # code of a null


@dataclasses.dataclass(frozen=True)
class Coded:
    """The events of some users [E], sorted by user and time.

    Attributes:
      user: number in `users` [E].
      event_index: of the user's log from its first event [E].
      second: local time in seconds from 1970-01-01 [E].
      source: number in `schema.SOURCES` [E].
      action: number in `schema.ACTIONS` [E].
      title: row of `titles` [E].
      item: code of the item id, else of the title [E]; two events with one code are about one item.
      place: number in `places`, NONE for null [E].
      price: NaN for null [E].
      quantity: NaN for null [E].
      users: user ids, in the order of the log.
      titles: `title`, `category`: the distinct pairs.
      places: distinct places.
    """

    user: np.ndarray
    event_index: np.ndarray
    second: np.ndarray
    source: np.ndarray
    action: np.ndarray
    title: np.ndarray
    item: np.ndarray
    place: np.ndarray
    price: np.ndarray
    quantity: np.ndarray
    users: pl.Series
    titles: pl.DataFrame
    places: pl.Series

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Coded":
        """The same log with some of its events, given by a mask or numbers in order."""
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return dataclasses.replace(self, **columns)


_COLUMNS = tuple(field.name for field in dataclasses.fields(Coded) if field.type is np.ndarray)


def read(path: str | pathlib.Path, columns: Sequence[str] = tuple(schema.EVENT_SCHEMA.names)) -> pa.Table:
    """Reads a part of an event log with its text as dictionaries."""
    return pq.read_table(path, columns=list(columns), read_dictionary=[name for name in columns if name in _TEXT])


def code(table: pa.Table) -> Coded:
    """Codes an event log.

    Args:
      table: in `schema.EVENT_SCHEMA`, sorted by user and time; its text may be dictionary-encoded. Where it has a
        column `event_index`, that is kept; else a user's events are numbered from 0.
    """
    user, users = _codes(table["user_id"])
    title, titles = _codes(table["title"])
    category, categories = _codes(table["category"])
    pair, pairs = _pairs(title, category, titles, categories)
    place, places = _codes(table["place"])
    item, items = _codes(table["item_id"])
    if "event_index" in table.column_names:
        index = _numbers(table["event_index"], np.int32)
    else:
        starts = np.flatnonzero(np.diff(user, prepend=-1))
        index = np.arange(len(user), dtype=np.int32) - np.repeat(starts, np.diff(starts, append=len(user))).astype(
            np.int32
        )
    return Coded(
        user=user,
        event_index=index,
        second=_numbers(table["time"].cast(pa.timestamp("s")).cast(pa.int64()), np.int64),
        source=_of_words(table["source"], schema.SOURCES),
        action=_of_words(table["action"], schema.ACTIONS),
        title=pair,
        item=np.where(item >= 0, item, len(items) + title).astype(np.int32),
        place=place,
        price=_numbers(table["price"], np.float32),
        quantity=_numbers(table["quantity"], np.float32),
        users=users,
        titles=pairs,
        places=places,
    )


def distinct_titles(table: pa.Table) -> pl.DataFrame:
    """The distinct pairs `title`, `category` of a table with these columns, and `n`, the events of each."""
    title, titles = _codes(table["title"])
    category, categories = _codes(table["category"])
    pair, pairs = _pairs(title, category, titles, categories)
    counted = pairs.with_columns(pl.Series("n", np.bincount(pair, minlength=pairs.height)))
    return counted.filter(pl.col("n") > 0)


def distinct(column: pa.ChunkedArray) -> pl.Series:
    """The distinct values of a text column without nulls."""
    codes, words = _codes(column)
    return words.filter(pl.Series(np.bincount(codes[codes >= 0], minlength=len(words)) > 0))


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pl.Series]:
    """Code of each value (NONE for null) and the values by code; codes follow the first appearance."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return np.zeros(0, np.int32), pl.Series([], dtype=pl.String)
    indices = pa.chunked_array([chunk.indices for chunk in column.chunks])
    words = pl.Series(pc.cast(column.chunk(0).dictionary, pa.string()), dtype=pl.String)
    return _numbers(indices.cast(pa.int32()), np.int32, NONE), words


def _numbers(column: pa.ChunkedArray, dtype: type, null: float = np.nan) -> np.ndarray:
    """A column of numbers; null as `null`."""
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(null, column.type))
    return column.to_numpy().astype(dtype, copy=False)


def _of_words(column: pa.ChunkedArray, words: tuple[str, ...]) -> np.ndarray:
    codes, found = _codes(column)
    number = np.array([words.index(word) for word in found], np.int8)
    return number[codes] if len(number) else np.zeros(0, np.int8)


def _pairs(
    title: np.ndarray, category: np.ndarray, titles: pl.Series, categories: pl.Series
) -> tuple[np.ndarray, pl.DataFrame]:
    """Number of the pair of title and category of each event, and the pairs; most titles have one category."""
    usual = np.full(len(titles), NONE, np.int32)
    usual[title] = category
    others = np.flatnonzero(usual[title] != category)
    keys = title[others].astype(np.int64) << 32 | (category[others] + 1)
    extra, inverse = np.unique(keys, return_inverse=True)
    pair = title.copy()
    pair[others] = len(titles) + inverse
    of_title = np.concatenate([np.arange(len(titles)), extra >> 32]).astype(np.int32)
    of_category = np.concatenate([usual, (extra & 0xFFFFFFFF) - 1]).astype(np.int32)
    known = pl.Series("category", of_category).set(pl.Series(of_category == NONE), None)
    return pair, pl.DataFrame({"title": titles.gather(of_title), "category": categories.gather(known)})
