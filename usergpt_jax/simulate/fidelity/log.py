"""An event log as arrays: the parts of `1_events/`, with provenance where the folder has it."""

import pathlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError

SECONDS_A_DAY = 86_400
_TEXT = ("user_id", "source", "action", "category", "item_id", "place")
_COLUMNS = (*_TEXT, "time", "price", "quantity")
_HIDDEN_TEXT = ("user_id", "tool", "cause", "outcome")


class Codes(NamedTuple):
    """A text column: the number of each row's value, -1 for null, and the values."""

    number: Int[np.ndarray, " E"]
    values: tuple[str, ...]

    def of(self, value: str) -> int:
        """The number of a value; -2, which no row has, where it does not occur."""
        return self.values.index(value) if value in self.values else -2


class Hidden(NamedTuple):
    """Provenance, row by row beside the events; `session` and `tool` are None in logs that have none."""

    cause: Codes
    session: Int[np.ndarray, " E"] | None
    tool: Codes | None


class Log(NamedTuple):
    """Events sorted by user and time.

    Attributes:
      user: user_id, numbered in the order of the file.
      second: local time, seconds from 1970-01-01.
      source: source of each event, numbered as `schema.SOURCES`.
      action: action of each event, numbered as `schema.ACTIONS`.
      category: category, null where the log has none.
      item: item_id, null for searches.
      place: place, null mostly.
      price: of one unit, NaN where null.
      quantity: NaN where null; below zero for a return.
      hidden: provenance, or None for a real log.
    """

    user: Codes
    second: Int[np.ndarray, " E"]
    source: Int[np.ndarray, " E"]
    action: Int[np.ndarray, " E"]
    category: Codes
    item: Codes
    place: Codes
    price: Float[np.ndarray, " E"]
    quantity: Float[np.ndarray, " E"]
    hidden: Hidden | None

    @property
    def n_users(self) -> int:
        """Users with at least one event."""
        return len(self.user.values)

    @property
    def day(self) -> np.ndarray:
        """Epoch day of each event [E]."""
        return self.second // SECONDS_A_DAY

    def where(self, source: str | None = None, action: str | None = None) -> np.ndarray:
        """Which events are of a source and an action: bool [E]; a purchase excludes returns."""
        chosen = np.ones(len(self.second), bool)
        if source is not None:
            chosen &= self.source == schema.SOURCES.index(source)
        if action is not None:
            chosen &= self.action == schema.ACTIONS.index(action)
        if action == "purchase":
            chosen &= ~(self.quantity < 0)
        return chosen


def read(folder: pathlib.Path) -> Log:
    """The log of a `1_events/` folder; provenance is read where there is any.

    Raises:
      InputError: the folder or its parts are missing, empty, lack a column, or are not sorted by user.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder: expected a run directory with 1_events/, made by launch/simulate.py"
        )
    table = _table(folder, "part", _COLUMNS, _TEXT)
    if not table.num_rows:
        raise InputError(f"{folder}/part-*.parquet: no events at all")
    columns = {name: _codes(table, name) for name in _TEXT}
    number = columns["user_id"].number
    if np.any(np.diff(number) < 0):
        row = int(np.argmax(np.diff(number) < 0)) + 1
        user = columns["user_id"].values[number[row]]
        raise InputError(f"{folder}/part-*.parquet: row {row} is of user {user!r} again; expected rows sorted by user")
    return Log(
        user=columns["user_id"],
        second=table["time"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy(),
        source=_as_declared(columns["source"], schema.SOURCES, f"{folder}: column source"),
        action=_as_declared(columns["action"], schema.ACTIONS, f"{folder}: column action"),
        category=columns["category"],
        item=columns["item_id"],
        place=columns["place"],
        price=_floats(table, "price"),
        quantity=_floats(table, "quantity"),
        hidden=_hidden(folder, table.num_rows),
    )


def subset(log: Log, chosen: np.ndarray) -> Log:
    """The events that `chosen` (bool [E]) marks; users are numbered anew, other values keep their numbers."""
    users, number = np.unique(log.user.number[chosen], return_inverse=True)
    hidden = None
    if log.hidden is not None:
        session = None if log.hidden.session is None else log.hidden.session[chosen]
        tool = None if log.hidden.tool is None else _pick(log.hidden.tool, chosen)
        hidden = Hidden(_pick(log.hidden.cause, chosen), session, tool)
    return log._replace(
        user=Codes(number.astype(np.int32), tuple(log.user.values[i] for i in users)),
        **{name: getattr(log, name)[chosen] for name in ("second", "source", "action", "price", "quantity")},
        **{name: _pick(getattr(log, name), chosen) for name in ("category", "item", "place")},
        hidden=hidden,
    )


def _pick(codes: Codes, chosen: np.ndarray) -> Codes:
    return Codes(codes.number[chosen], codes.values)


def _hidden(folder: pathlib.Path, n_rows: int) -> Hidden | None:
    """Provenance of all events, or None where the folder has none."""
    if not any(folder.glob("provenance-*.parquet")):
        return None
    table = _table(folder, "provenance", ("event_index", "session", "tool", "cause"), _HIDDEN_TEXT, ("session", "tool"))
    if table.num_rows != n_rows:
        raise InputError(f"{folder}: {table.num_rows} rows of provenance for {n_rows} events; expected one a row")
    held = table.column_names
    return Hidden(
        cause=_codes(table, "cause"),
        session=table["session"].to_numpy() if "session" in held else None,
        tool=_codes(table, "tool") if "tool" in held else None,
    )


def _table(
    folder: pathlib.Path, kind: str, columns: tuple[str, ...], text: tuple[str, ...], optional: tuple[str, ...] = ()
) -> pa.Table:
    """All parts of a kind, text columns dictionary encoded over all of them."""
    paths = sorted(folder.glob(f"{kind}-*.parquet"))
    if not paths:
        raise InputError(f"{folder} has no {kind}-*.parquet: expected the folder 1_events/ of a run")
    tables = []
    for path in paths:
        try:
            held = set(pq.read_schema(path).names)
            missing = [name for name in columns if name not in held and name not in optional]
            if missing:
                raise InputError(f"{path}: column {missing[0]!r} is missing; expected {', '.join(columns)}")
            chosen = [name for name in columns if name in held]
            tables.append(pq.read_table(path, columns=chosen, read_dictionary=[n for n in text if n in chosen]))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _codes(table: pa.Table, name: str) -> Codes:
    column = table[name]
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    number = array.indices.fill_null(-1).to_numpy().astype(np.int32)
    return Codes(number, tuple(array.dictionary.to_pylist()))


def _floats(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].cast(pa.float32())
    return column.to_numpy().astype(np.float32)


def _as_declared(codes: Codes, declared: tuple[str, ...], where: str) -> np.ndarray:
    """Numbers in the order of the schema: int8 [E]."""
    strangers = [value for value in codes.values if value not in declared]
    if strangers:
        raise InputError(f"{where}: {strangers[0]!r} is not one of {', '.join(declared)}")
    order = np.array([declared.index(value) for value in codes.values], np.int8)
    return order[codes.number]
