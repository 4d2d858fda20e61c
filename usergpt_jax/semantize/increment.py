"""Day by day: what must be kept of a log so that a new day can be added without reading the old days again.

Of the past only three things can still matter: events that a window keeps now or a return may take back later
(`events`), how long the rest was (`base`), and who had which texts and what was paid for them (`texts`, `prices`).
Windows only move forward, so what they have dropped stays dropped; a semantized day therefore equals the whole log
semantized again, and the tests hold it to that.
"""

import dataclasses
import datetime
import json
import pathlib
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import aggregate, sizes
from usergpt_jax.semantize.coded import Coded
from usergpt_jax.semantize.survey import Tally

FOLDER = "state"
SUMS = ("n_events", "raw_chars", "raw_tokens")
_PURCHASE = schema.ACTIONS.index("purchase")
_FILES = ("events", "users", "texts")


class PartState(NamedTuple):
    """What is kept of the users of a part.

    Attributes:
      events: events that may still matter, in `schema.EVENT_SCHEMA` with `event_index`, sorted by user and index.
      users: `user_id`, `n_rows` (events ever, the index of the next one), and of the events that are gone `n_events`,
        `raw_chars`, `raw_tokens`.
      texts: `user_id`, `text`: the distinct entities, cities and areas of each user.
    """

    events: pl.DataFrame
    users: pl.DataFrame
    texts: pl.DataFrame


@dataclasses.dataclass(frozen=True)
class LogState:
    """What is kept of a log beside its users.

    Attributes:
      as_of: the state knows every event before it.
      n_parts: files of users.
      prices: as in `survey.Tally`.
      spread: as in `survey.Tally`.
    """

    as_of: datetime.datetime
    n_parts: int
    prices: pl.DataFrame
    spread: pl.DataFrame

    @property
    def tally(self) -> Tally:
        """The counts over all users."""
        return Tally(self.prices, self.spread)


def keep(
    table: pa.Table,
    whole: Coded,
    log: Coded,
    windows: aggregate.Windows,
    distant_actions: tuple[str, ...],
    raw: sizes.Sizes,
    before: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`events` and `users` of a part's new state.

    Args:
      table: the events of the part's users.
      whole: the same, coded.
      log: of these, all but returns and what they took back.
      windows: of each user.
      distant_actions: see `aggregate.in_windows`.
      raw: size of each event of `log`.
      before: `users` of the state before.
    """

    def stays(of: Coded) -> np.ndarray:
        return aggregate.in_windows(of, windows, distant_actions) | (of.action == _PURCHASE)

    index = pa.array(whole.event_index, pa.int32())
    events = table.drop_columns("event_index") if "event_index" in table.column_names else table
    events = events.append_column("event_index", index).filter(pa.array(stays(whole)))
    n_users, lost = len(whole.users), ~stays(log)
    users = pl.DataFrame(
        {
            "user_id": whole.users,
            "n_rows": _last_index(whole, n_users) + 1,
            "n_events": np.bincount(log.user[lost], minlength=n_users),
            "raw_chars": np.bincount(log.user[lost], raw.chars[lost], n_users).astype(np.int64),
            "raw_tokens": np.bincount(log.user[lost], raw.tokens[lost], n_users).astype(np.int64),
        }
    )
    sums = [pl.col(name).sum() for name in SUMS]
    users = pl.concat([before, users]).group_by("user_id").agg(pl.col("n_rows").max(), *sums)
    plain = pl.DataFrame(events).with_columns(pl.col(pl.Categorical).cast(pl.String))
    return plain, users.sort("user_id")


def _last_index(log: Coded, n_users: int) -> np.ndarray:
    last = np.full(n_users, -1, np.int64)
    np.maximum.at(last, log.user, log.event_index)
    return last


def add_day(state: PartState, day: pl.DataFrame) -> pl.DataFrame:
    """The state's events and those of a day together, numbered on.

    Args:
      state: of the users.
      day: in `schema.EVENT_SCHEMA`, sorted by user and time, all of them later than the state.
    """
    n_rows = day.join(state.users, on="user_id", how="left", maintain_order="left")["n_rows"].fill_null(0)
    index = pl.int_range(pl.len(), dtype=pl.Int32).over("user_id") + n_rows.cast(pl.Int32)
    numbered = day.with_columns(index.alias("event_index"))
    return pl.concat([state.events, numbered], how="vertical_relaxed").sort("user_id", "event_index")


def check_day(day: pl.DataFrame, state_as_of: datetime.datetime, as_of: datetime.datetime) -> None:
    """Refuses events that the state should know already, or that are later than the new `as_of`.

    Raises:
      InputError: one line with the first such event.
    """
    for bad, problem in (
        (pl.col("time") < state_as_of, f"is before {state_as_of:%Y-%m-%d}, which the state already covers"),
        (pl.col("time") >= as_of, f"is not before as_of {as_of:%Y-%m-%d}"),
    ):
        found = day.filter(bad).head(1)
        if found.height:
            user, time = found.select("user_id", "time").row(0)
            raise InputError(f"the event of user {user!r} at {time} {problem}")


def empty_part() -> PartState:
    """The state of users who were never seen."""
    events = pl.DataFrame(schema.EVENT_SCHEMA.empty_table()).with_columns(pl.lit(None, pl.Int32).alias("event_index"))
    users = {"user_id": pl.String, "n_rows": pl.Int64, **dict.fromkeys(SUMS, pl.Int64)}
    return PartState(events, pl.DataFrame(schema=users), pl.DataFrame(schema={"user_id": pl.String, "text": pl.String}))


def write_part(folder: pathlib.Path, number: int, state: PartState) -> None:
    """Writes the state of a part."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in zip(_FILES, state, strict=True):
        frame.write_parquet(folder / f"{name}-{number:05d}.parquet", compression="zstd")


def read_part(folder: pathlib.Path, number: int) -> PartState:
    """Reads the state of a part."""
    return PartState(*(pl.read_parquet(folder / f"{name}-{number:05d}.parquet") for name in _FILES))


def read_users(folder: pathlib.Path, number: int) -> pl.DataFrame:
    """The ids of the users of a part."""
    return pl.read_parquet(folder / f"users-{number:05d}.parquet", columns=["user_id"])


def write_log(folder: pathlib.Path, state: LogState) -> None:
    """Writes what is kept beside the users."""
    folder.mkdir(parents=True, exist_ok=True)
    state.prices.write_parquet(folder / "prices.parquet", compression="zstd")
    state.spread.write_parquet(folder / "spread.parquet", compression="zstd")
    plain = {"as_of": state.as_of.isoformat(), "n_parts": state.n_parts}
    (folder / "state.json").write_text(json.dumps(plain) + "\n", encoding="utf-8")


def read_log(folder: pathlib.Path) -> LogState:
    """Reads what is kept beside the users.

    Raises:
      InputError: there is no state.
    """
    try:
        plain = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no state; it is kept by a run with config.semantize.keep_state = True") from None
    prices, spread = (pl.read_parquet(folder / f"{name}.parquet") for name in ("prices", "spread"))
    return LogState(datetime.datetime.fromisoformat(plain["as_of"]), plain["n_parts"], prices, spread)
