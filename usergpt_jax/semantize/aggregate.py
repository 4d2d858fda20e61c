"""Aggregation: events to slices of source x action x period, finer the more recent.

Paper: §2.3 stage 2. Differs from the paper: where "recent" ends is not published; ours is config.
"""

import polars as pl

SLICE = ("user_id", "source", "action", "period", "time_label")
PERIODS = ("day", "month", "year")


def place_in_time(
    events: pl.LazyFrame, *, recent_days: int, monthly_months: int, distant_actions: tuple[str, ...]
) -> pl.LazyFrame:
    """Gives each event its slice, and leaves out what the slices do not keep.

    Counting back from a user's `as_of`: `recent_days` keep every action by day; the `monthly_months` before keep
    `distant_actions` by calendar month; all before keeps them by year. An event at or after `as_of` is left out.

    Args:
      events: with `time`, `action` and `as_of`.
      recent_days: see above.
      monthly_months: see above.
      distant_actions: see above.

    Returns:
      the kept events with `period` (one of `PERIODS`) and `time_label`.
    """
    recent = pl.col("as_of").dt.offset_by(f"-{recent_days}d")
    monthly = recent.dt.offset_by(f"-{monthly_months}mo")
    time = pl.col("time")
    period = pl.when(time >= recent).then(pl.lit("day")).when(time >= monthly).then(pl.lit("month"))
    label = (
        pl.when(pl.col("period") == "day")
        .then(time.dt.strftime("%Y-%m-%d"))
        .when(pl.col("period") == "month")
        .then(time.dt.strftime("%Y-%m"))
        .otherwise(time.dt.strftime("%Y"))
    )
    kept = (pl.col("period") == "day") | pl.col("action").is_in(distant_actions)
    return (
        events.filter(time < pl.col("as_of"))
        .with_columns(period.otherwise(pl.lit("year")).alias("period"))
        .filter(kept)
        .with_columns(label.alias("time_label"))
    )
