"""Returns: a purchase with a negative quantity takes back the latest one of the same item that still stands."""

import numpy as np

from usergpt_jax import schema
from usergpt_jax.semantize.coded import Coded

_PURCHASE = schema.ACTIONS.index("purchase")


def taken_back(log: Coded) -> np.ndarray:
    """Whether each event is a return or a purchase that one takes back, the whole of it for a part too [E].

    Args:
      log: sorted by user and time.
    """
    bought = log.action == _PURCHASE
    returned = bought & (log.quantity < 0)
    gone = returned.copy()
    rows = np.flatnonzero(bought)
    key = log.user[rows].astype(np.int64) << 32 | log.item[rows]
    came_back = np.isin(key, key[returned[rows]])  # few
    rows, key = rows[came_back], key[came_back]
    standing: dict[int, list[int]] = {}
    for row, item, back in zip(rows.tolist(), key.tolist(), (log.quantity[rows] <= 0).tolist(), strict=True):
        if not back:
            standing.setdefault(item, []).append(row)
        elif returned[row] and standing.get(item):
            gone[standing[item].pop()] = True
    return gone
