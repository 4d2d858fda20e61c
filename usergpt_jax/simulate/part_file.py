"""Part files: the events, provenance and truth of a range of users, written in row groups of a fixed number of users.

Row groups do not follow batches, so that the bytes of a file do not depend on the batch size. Files get their names
when they are whole; `counts-<part>.json` comes last, and a part that has it is complete.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.simulate import emit, quality
from usergpt_jax.tags import HPR18

ROW_GROUP_USERS = 256
_TEXT = {
    "part": ("user_id", "source", "action", "title", "category", "item_id", "place"),
    "provenance": ("user_id", "tool", "cause", "need", "outcome"),
    "users": (),
}
_COUNTERS = {"part": ("time",), "provenance": ("event_index", "session"), "users": ()}
_SCHEMAS = {
    "part": emit.EVENT_COLUMNS,
    "provenance": emit.PROVENANCE_COLUMNS,
    "users": schema.truth_schema(HPR18.names),
}
# A dictionary page must hold the words of a whole row group, or Parquet falls back to plain text.
_DICTIONARY_BYTES = 64 << 20


def path_of(folder: pathlib.Path, kind: str, number: int) -> pathlib.Path:
    """Where a file of a part lies; `kind` is "part", "provenance" or "users"."""
    return folder / f"{kind}-{number:05d}.parquet"


def counts_of(folder: pathlib.Path, number: int) -> dict[str, Any] | None:
    """The counts of a complete part, else None."""
    path = folder / f"counts-{number:05d}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class PartWriter:
    """Writes one part. Call `add` for each batch in order, then `close`."""

    def __init__(self, folder: pathlib.Path, number: int, locale: str) -> None:
        self._folder, self._number, self._locale = folder, number, locale
        self._writers = {
            kind: pq.ParquetWriter(
                _unfinished(path_of(folder, kind, number)),
                columns,
                compression="zstd",
                use_dictionary=list(_TEXT[kind]),  # type: ignore[arg-type]
                column_encoding=dict.fromkeys(_COUNTERS[kind], "DELTA_BINARY_PACKED"),
                dictionary_pagesize_limit=_DICTIONARY_BYTES,
                store_schema=False,
            )
            for kind, columns in _SCHEMAS.items()
        }
        self._user_ids: list[str] = []
        self._events: list[emit.Events] = []
        self._truth: list[pa.Table] = []
        self._quality = quality.Counts()
        self._n_users, self._n_events, self._n_silent = 0, 0, 0

    def add(self, user_ids: list[str], events: emit.Events, truth: pa.Table, counts: quality.Counts) -> None:
        """Adds the users of a batch."""
        self._events.append(dataclasses.replace(events, user=events.user + len(self._user_ids)))
        self._user_ids += user_ids
        self._truth.append(truth)
        self._quality = self._quality + counts
        self._n_users += len(user_ids)
        self._n_events += len(events)
        self._n_silent += len(user_ids) - len(np.unique(events.user))
        if len(self._user_ids) >= ROW_GROUP_USERS:
            self._flush(len(self._user_ids) // ROW_GROUP_USERS * ROW_GROUP_USERS)

    def close(self) -> None:
        """Writes what is left, then names the files and the counts."""
        self._flush(len(self._user_ids))
        for kind, writer in self._writers.items():
            writer.close()
            path = path_of(self._folder, kind, self._number)
            os.replace(_unfinished(path), path)
        counts = {
            "users": self._n_users,
            "users_without_events": self._n_silent,
            "events": self._n_events,
            "quality": self._quality.to_json(),
        }
        path = self._folder / f"counts-{self._number:05d}.json"
        _unfinished(path).write_text(json.dumps(counts), encoding="utf-8")
        os.replace(_unfinished(path), path)

    def abandon(self) -> None:
        """Closes and removes the unfinished files."""
        for kind, writer in self._writers.items():
            writer.close()
            _unfinished(path_of(self._folder, kind, self._number)).unlink(missing_ok=True)

    def _flush(self, n_users: int) -> None:
        """Writes the first users in row groups and keeps the rest."""
        if not n_users:
            return
        events, truth = emit.concatenate(self._events), pa.concat_tables(self._truth)
        for first in range(0, n_users, ROW_GROUP_USERS):
            last = min(first + ROW_GROUP_USERS, n_users)
            low, high = np.searchsorted(events.user, [first, last])
            taken = events.take(slice(low, high))
            taken = dataclasses.replace(taken, user=taken.user - first)
            user_ids = self._user_ids[first:last]
            self._write("part", emit.event_table(taken, user_ids, self._locale))
            self._write("provenance", emit.provenance_table(taken, user_ids, self._locale))
            self._write("users", truth.slice(first, last - first))
        rest = events.take(slice(int(np.searchsorted(events.user, n_users)), None))
        self._user_ids = self._user_ids[n_users:]
        self._events = [dataclasses.replace(rest, user=rest.user - n_users)]
        self._truth = [truth.slice(n_users)]

    def _write(self, kind: str, table: pa.Table) -> None:
        if len(table):
            self._writers[kind].write_table(table, row_group_size=len(table))


def _unfinished(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".tmp")
