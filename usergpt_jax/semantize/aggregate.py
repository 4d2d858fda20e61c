"""Aggregation: events to slices of source x action x period, finer the more recent.

Paper: §2.3 stage 2. Differs from the paper: where "recent" ends is not published; ours is config.
"""

import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.semantize.coded import Coded

PERIODS = ("day", "month", "year")
SECONDS_PER_DAY = 86_400
_EPOCH_YEAR = 1970
_BUCKET_OFFSET = 1 << 23  # days before 1970 are negative


class Windows(NamedTuple):
    """Where each user's windows begin and end, in seconds from 1970-01-01 [U].

    Attributes:
      as_of: events at or after it do not count.
      recent: from here on every action is kept, one slice a day.
      monthly: from here to `recent`, actions that last are kept, one slice a month; before, one slice a year.
    """

    as_of: np.ndarray
    recent: np.ndarray
    monthly: np.ndarray


def windows(as_of: pl.Series, *, recent_days: int, monthly_months: int) -> Windows:
    """The windows that end at each user's `as_of` (a time), counting back by days and then by calendar months."""
    days, months = f"-{recent_days}d", f"-{monthly_months}mo"
    recent = as_of.dt.offset_by(days)
    return Windows(*(one.dt.epoch("s").to_numpy() for one in (as_of, recent, recent.dt.offset_by(months))))


def in_windows(log: Coded, windows: Windows, distant_actions: tuple[str, ...]) -> np.ndarray:
    """Whether each event before `as_of` is kept: all recent ones, and of the others those whose action lasts [E]."""
    lasting = np.isin(np.arange(len(schema.ACTIONS)), [schema.ACTIONS.index(name) for name in distant_actions])
    return (log.second < windows.as_of[log.user]) & ((log.second >= windows.recent[log.user]) | lasting[log.action])


def slices(log: Coded, windows: Windows) -> tuple[np.ndarray, pl.DataFrame]:
    """The slice of each event, and the slices.

    Args:
      log: events that the windows keep.
      windows: see above.

    Returns:
      slice of each event [E]; and a table whose row is the slice: `user`, `source`, `action` (numbers), `period`
      (number in `PERIODS`), `bucket` (days or months from 1970-01, or the year), `count` (its events), `refs` (their
      `event_index`, ascending).
    """
    period = np.where(
        log.second >= windows.recent[log.user], 0, np.where(log.second >= windows.monthly[log.user], 1, 2)
    )
    day = log.second // SECONDS_PER_DAY
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    bucket = np.choose(period, [day, month, month // 12 + _EPOCH_YEAR])
    kind = (log.source.astype(np.int64) * len(schema.ACTIONS) + log.action) * len(PERIODS) + period
    key = (log.user.astype(np.int64) << 32 | kind << 24) + bucket + _BUCKET_OFFSET
    keys, of_event, count = np.unique(key, return_inverse=True, return_counts=True)
    order = np.argsort(of_event, kind="stable")
    kinds = keys >> 24 & 0xFF
    table = pl.DataFrame(
        {
            "slice": np.arange(len(keys), dtype=np.uint32),
            "user": (keys >> 32).astype(np.int32),
            "source": (kinds // len(PERIODS) // len(schema.ACTIONS)).astype(np.int8),
            "action": (kinds // len(PERIODS) % len(schema.ACTIONS)).astype(np.int8),
            "period": (kinds % len(PERIODS)).astype(np.int8),
            "bucket": ((keys & 0xFFFFFF) - _BUCKET_OFFSET).astype(np.int32),
            "count": count.astype(np.int32),
            "refs": lists(log.event_index[order], count),
        }
    )
    return of_event.astype(np.uint32), table


def lists(values: np.ndarray, lengths: np.ndarray) -> pl.Series:
    """Consecutive values as lists of the given lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values)))


def time_label() -> pl.Expr:
    """`period` and `bucket` as "2025-01-31", "2025-01" or "2025"."""
    bucket = pl.col("bucket")
    day = bucket.cast(pl.Date).dt.strftime("%Y-%m-%d")
    month = pl.date(_EPOCH_YEAR + bucket // 12, bucket % 12 + 1, 1).dt.strftime("%Y-%m")
    year = bucket.cast(pl.String).str.zfill(4)
    return pl.when(pl.col("period") == 0).then(day).when(pl.col("period") == 1).then(month).otherwise(year)


def midnight_after(last: datetime.datetime) -> datetime.datetime:
    """Midnight after the last event of a log."""
    return datetime.datetime.combine(last.date(), datetime.time()) + datetime.timedelta(days=1)
