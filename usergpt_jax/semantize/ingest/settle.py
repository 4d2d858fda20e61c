"""The last steps, which need all rows of a user at once: exact duplicates, cancellations, order in time."""

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.ingest import cancel
from usergpt_jax.semantize.ingest.log_files import LogFile
from usergpt_jax.semantize.ingest.rows import ORDER, Rows, Tally

_COLUMNS = tuple(schema.EVENT_SCHEMA.names)


def settle(frame: pl.DataFrame, files: list[LogFile], tally: Tally) -> pl.DataFrame:
    """Events of some users, sorted by user and time, equal times in the order of the log.

    Args:
      frame: all rows of these users from `convert`, in the order of the log.
      files: of the log.
      tally: to count into.
    """
    rows = Rows(frame, files, tally)
    rows.frame = rows.frame.with_columns(_repeated(rows.frame).alias("repeated"))
    rows.drop("exact duplicate of an earlier row", pl.col("repeated"), "title")
    if rows.frame["is_cancel"].any():
        _cancel(rows)
    return rows.frame.sort("user_id", "time", ORDER).select(_COLUMNS)


def _repeated(frame: pl.DataFrame) -> pl.Series:
    """Whether a row equals an earlier one; rows are compared only where their hashes are equal, to save memory."""
    compared = [*_COLUMNS, "is_cancel", "raw_quantity"]
    suspect = frame.select(compared).hash_rows(seed=0).is_duplicated()
    repeated = frame.filter(suspect).select(~pl.struct(compared).is_first_distinct()).to_series()
    return suspect.scatter(suspect.arg_true(), repeated)


def _cancel(rows: Rows) -> None:
    rows.frame = cancel.match(rows.frame)
    rows.drop("cancellation of a purchase", pl.col("is_cancel") & (pl.col("matched") > 0), "title")
    rows.drop("cancellation without a purchase", pl.col("is_cancel"), "title")
    rows.drop("purchase cancelled", (pl.col("matched") > 0) & (pl.col("matched") >= pl.col("amount")), "title")
    left = pl.when(pl.col("quantity").is_not_null()).then(pl.col("amount") - pl.col("matched")).cast(pl.Float32)
    rows.change("purchase cancelled in part", pl.col("matched") > 0, "title", left.alias("quantity"))
