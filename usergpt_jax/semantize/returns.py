"""Returns: a purchase row with a negative quantity takes back the latest purchase of the same item before it."""

import numpy as np
import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.coded import Coded

_PURCHASE = schema.ACTIONS.index("purchase")


def taken_back(log: Coded) -> np.ndarray:
    """Whether each event is a return or a purchase that one takes back, the whole of it for a part too [E].

    Args:
      log: sorted by user and time.
    """
    bought = log.action == _PURCHASE
    returned = np.flatnonzero(bought & (log.quantity < 0))
    gone = np.zeros(len(log), bool)
    if len(returned):
        gone[returned] = True
        purchases = np.flatnonzero(bought & ~(log.quantity <= 0))
        matched = _rows(log, returned).join_asof(
            _rows(log, purchases).rename({"row": "taken_back"}),
            on="second",
            by=["user", "item"],
            check_sortedness=False,
        )
        gone[matched["taken_back"].drop_nulls().to_numpy()] = True
    return gone


def _rows(log: Coded, rows: np.ndarray) -> pl.DataFrame:
    columns = {"user": log.user[rows], "item": log.item[rows], "second": log.second[rows], "row": rows}
    return pl.DataFrame(columns).sort("second", maintain_order=True)
