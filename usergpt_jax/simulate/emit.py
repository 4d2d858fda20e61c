"""From padded sessions [U, D, K] to rows: the event log and its provenance as Arrow tables."""

import dataclasses

import numpy as np
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.simulate import catalog, places
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate.dynamics import STEPS, Sessions

_SECONDS_PER_DAY = 86_400
# Seconds from the session's start to each step; the last still falls on the same day.
_STEP_SECONDS = np.array([0, 35, 90, 120, 150, 240, 0])
_ACTION_NUMBER = np.array([schema.ACTIONS.index(step) for step in STEPS])


@dataclasses.dataclass(frozen=True)
class Events:
    """Events of a batch, sorted by (user, time), as arrays [E].

    Attributes:
      user: row of the user in the batch.
      second: seconds from 1970-01-01, local time.
      action: number in `schema.ACTIONS`.
      leaf: leaf number.
      need: desire number.
      cause: number in `schema.CAUSES`.
      title: number in the catalogue's titles.
      price: of one unit, NaN where nothing is sold.
      quantity: units, NaN where nothing is bought.
      place: place number, -1 for none.
    """

    user: np.ndarray
    second: np.ndarray
    action: np.ndarray
    leaf: np.ndarray
    need: np.ndarray
    cause: np.ndarray
    title: np.ndarray
    price: np.ndarray
    quantity: np.ndarray
    place: np.ndarray


def flatten(sessions: Sessions, first_day: int, discount: np.ndarray) -> Events:
    """Expands each session's action bits into events.

    Args:
      sessions: arrays [U, D, K].
      first_day: epoch day of day 0.
      discount: price factor of each day [D].
    """
    actions = np.asarray(sessions.actions)
    where = np.nonzero(actions)
    user, day, _ = where
    picked = {name: np.asarray(array)[where] for name, array in sessions._asdict().items()}
    bits = (picked["actions"][:, None] >> np.arange(len(STEPS))) & 1
    row, step = np.nonzero(bits)
    second = (first_day + day[row].astype(np.int64)) * _SECONDS_PER_DAY + picked["second"][row] + _STEP_SECONDS[step]
    order = np.lexsort((step, second, user[row]))
    row, step, second = row[order], step[order], second[order]
    taken = {name: array[row].astype(np.int64) for name, array in picked.items()}
    searched, bought = step == 0, step == STEPS.index("purchase")
    visited = step == STEPS.index("visit")
    title, tier, shop = _titles(taken, step)
    price = _prices(taken["leaf"], tier, taken["variant"], shop) * discount[day[row]]
    return Events(
        user=user[row],
        second=second,
        action=_ACTION_NUMBER[step],
        leaf=taken["leaf"],
        need=taken["need"],
        cause=taken["cause"],
        title=title,
        price=np.where(searched | visited, np.nan, np.maximum(np.round(price, 1), 0.1)),
        quantity=np.where(bought, taken["quantity"], np.nan),
        place=np.where(bought | visited, taken["place"], -1),
    )


def _titles(taken: dict[str, np.ndarray], step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Title number, brand tier and shop of each event; a second click looks at another brand."""
    shelf = catalog.load()
    leaf, variant = taken["leaf"], taken["variant"]
    other = step == 2
    tier = np.where(other, taken["second_tier"], taken["tier"])
    shop = np.where(other, catalog.N_SHOPS - 1, taken["shop"])
    item = (tier * shelf.n_variants[leaf] + variant) * catalog.N_SHOPS + shop
    trip = variant * len(places.DESTINATIONS) + taken["destination"]
    title = shelf.title_start[leaf] + np.where(shelf.by_destination[leaf], trip, item)
    return np.where(step == 0, shelf.query_start[leaf] + variant, title), tier, shop


def _prices(leaf: np.ndarray, tier: np.ndarray, variant: np.ndarray, shop: np.ndarray) -> np.ndarray:
    shelf = catalog.load()
    log_factor = catalog.TIER_LOG_PRICE * (tier - 2.0) + 0.06 * variant + 0.04 * (shop - 1)
    return shelf.price[leaf] * np.exp(log_factor)


def event_table(events: Events, user_ids: list[str]) -> pa.Table:
    """The event log of a batch in `schema.EVENT_SCHEMA`, text dictionary-encoded."""
    shelf = catalog.load()
    columns = {
        "user_id": _coded(events.user, user_ids),
        "time": pa.array(events.second.astype("datetime64[s]")),
        "source": _coded(shelf.sources[events.leaf], list(schema.SOURCES)),
        "action": _coded(events.action, list(schema.ACTIONS)),
        "title": _coded(events.title, list(shelf.titles)),
        "category": _coded(events.leaf, list(shelf.leaves)),
        "item_id": _coded(events.title, list(shelf.item_ids), absent=events.action == 0),
        "place": _coded(np.maximum(events.place, 0), places.names(), absent=events.place < 0),
        "price": pa.array(events.price.astype(np.float32), from_pandas=True),
        "quantity": pa.array(events.quantity.astype(np.float32), from_pandas=True),
    }
    return pa.table(columns).cast(schema.EVENT_SCHEMA)


def provenance_table(events: Events, user_ids: list[str]) -> pa.Table:
    """Why each event of a batch happened, in `schema.PROVENANCE_SCHEMA`."""
    first = np.searchsorted(events.user, events.user, side="left")
    columns = {
        "user_id": _coded(events.user, user_ids),
        "event_index": pa.array((np.arange(len(events.user)) - first).astype(np.int32)),
        "cause": _coded(events.cause, list(schema.CAUSES)),
        "need": _coded(events.need, list(needs_lib.load().names)),
    }
    return pa.table(columns).cast(schema.PROVENANCE_SCHEMA)


def _coded(numbers: np.ndarray, words: list[str], absent: np.ndarray | None = None) -> pa.Array:
    """Words by number, by way of a dictionary; null where `absent`."""
    indices = pa.array(numbers.astype(np.int32), mask=absent)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string())).cast(pa.string())
