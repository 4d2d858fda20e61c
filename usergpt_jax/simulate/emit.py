"""From what the device decided to rows: the event log and its provenance as Arrow tables."""

import dataclasses
import functools

import numpy as np
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.simulate import catalog, evolution, fixed, places, sessions, tools
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.tags import HPR18

SECONDS_PER_DAY = 86_400
_ACTION = {name: number for number, name in enumerate(schema.ACTIONS)}
_CAUSE = {name: number for number, name in enumerate(schema.CAUSES)}
_OUTCOME = {name: number for number, name in enumerate(schema.OUTCOMES)}
_SHOP, _DELIVERY = (schema.SOURCES.index(name) for name in ("ecommerce", "delivery"))
# Outcome of a session by (source, reach); an order on each platform has its own name.
OUTCOME = np.array(
    [
        [_OUTCOME["browsed"], _OUTCOME["abandoned"], _OUTCOME[done]]
        for done in ("ordered", "ordered", "booked", "visited", "recorded")
    ],
    np.int8,
)
RETURN_SHARE = {"Apparel": 0.14, "": 0.035}  # of purchases by level 1; "" stands for the others. Ours.
RETURN_DAYS = (2, 12)
_OWN = np.array([_CAUSE[name] for name in ("need", "routine")])


def _with_codes(columns: pa.Schema) -> pa.Schema:
    """The schema with dictionary-encoded text; in Parquet, that is the same schema."""
    coded = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([field.with_type(coded) if pa.types.is_string(field.type) else field for field in columns])


EVENT_COLUMNS, PROVENANCE_COLUMNS = _with_codes(schema.EVENT_SCHEMA), _with_codes(schema.PROVENANCE_SCHEMA)


@dataclasses.dataclass(frozen=True)
class Events:
    """Events of a batch, sorted by (user, time), as arrays [E].

    Attributes:
      user: row of the user in the batch.
      second: seconds from 1970-01-01, local time.
      session: number of the session within the user, by its first event.
      tool: number in the tool graph.
      action: number in `schema.ACTIONS`.
      leaf: leaf number.
      need: desire number.
      cause: number in `schema.CAUSES`.
      outcome: number in `schema.OUTCOMES`, of the session.
      title: number in the catalogue's titles.
      price: of one unit, NaN where nothing is sold.
      quantity: units, NaN where nothing is bought, negative for a return.
      place: place number, -1 for none.
    """

    user: np.ndarray
    second: np.ndarray
    session: np.ndarray
    tool: np.ndarray
    action: np.ndarray
    leaf: np.ndarray
    need: np.ndarray
    cause: np.ndarray
    outcome: np.ndarray
    title: np.ndarray
    price: np.ndarray
    quantity: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray | slice) -> "Events":
        """The events of some rows, given by numbers, a mask or a slice."""
        return Events(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})


def make_events(
    chosen: sessions.Sessions,
    details: sessions.Details,
    row: np.ndarray,
    call: np.ndarray,
    item: sessions.Items,
    *,
    start_day: int,
    as_of_day: int,
    discount: np.ndarray,
    locale: str,
) -> Events:
    """The events of calls that leave one.

    Args:
      chosen: sessions [S].
      details: their details [S].
      row: session of each event [E].
      call: number of the call within the session [E].
      item: items of the events [E].
      start_day: epoch day of day 0.
      as_of_day: epoch day after the last.
      discount: price factor of each day [D].
      locale: whose catalogue.
    """
    shelf, graph, library = catalog.load(locale), tools.load(locale), needs_lib.load(locale)
    tool = details.calls[row, call]
    action = graph.emits[tool].astype(np.int8)
    day, leaf, need = chosen.day[row], details.leaf[row], chosen.need[row]
    second = (start_day + day.astype(np.int64)) * SECONDS_PER_DAY + details.second[row] + details.offsets[row, call]
    brand, variant, shop = item.brand, item.variant, item.shop
    trip = variant.astype(np.int32) * len(places.load(locale).destinations) + details.destination[row]
    product = (brand.astype(np.int32) * shelf.n_variants[leaf] + variant) * catalog.N_SHOPS + shop
    title = shelf.title_start[leaf] + np.where(shelf.by_destination[leaf], trip, product)
    searched, bought, visited = (action == _ACTION[name] for name in ("search", "purchase", "visit"))
    title = np.where(searched, shelf.query_start[leaf] + variant, title).astype(np.int32)
    price = _title_prices(locale)[title] * discount[day]
    price = np.where(searched | visited, np.nan, np.maximum(np.round(price, 1), 0.1)).astype(np.float32)
    cause = _with_bait(chosen.cause[row], title, chosen.tags, row, shelf)
    user = chosen.user[row]
    n_sessions = np.bincount(chosen.user)  # of each user
    events = Events(
        user=user,
        second=second,
        session=row - (np.cumsum(n_sessions) - n_sessions).astype(np.int32)[user],
        tool=tool,
        action=action,
        leaf=leaf,
        need=need,
        cause=cause,
        outcome=OUTCOME[library.sources[need], chosen.reach[row]],
        title=title,
        price=price,
        quantity=np.where(bought, np.where(_comes_in_many(shelf)[leaf], item.quantity, 1), np.nan).astype(np.float32),
        place=np.where(bought | visited, details.place[row], -1),
    )
    returned = _returns(events, n_sessions, item.word, as_of_day, locale)
    return in_order(concatenate([events, returned]))


def _comes_in_many(shelf: catalog.Catalog) -> np.ndarray:
    """Which leaves people buy several units of at once: goods and meals of the cheaper half; not bills or trips [L]."""
    return np.isin(shelf.sources, (_SHOP, _DELIVERY)) & (
        shelf.price < np.nanmedian(shelf.price[shelf.sources == _SHOP])
    )


@functools.cache
def _title_prices(locale: str) -> np.ndarray:
    """Price of each title, NaN for what is not sold and for queries: float64 [titles]."""
    shelf = catalog.load(locale)
    prices = np.full(len(shelf.titles), np.nan)
    n_destinations = len(places.load(locale).destinations)
    for leaf, start in enumerate(shelf.title_start):
        n_variants = int(shelf.n_variants[leaf])
        if shelf.by_destination[leaf]:
            variant = np.repeat(np.arange(n_variants), n_destinations)
            brand = shop = np.zeros_like(variant)
        else:
            shape = (catalog.N_BRANDS, n_variants, catalog.N_SHOPS)
            brand, variant, shop = (grid.ravel() for grid in np.indices(shape))
        prices[start : start + len(variant)] = catalog.title_price(
            np.full(len(variant), leaf), brand, variant, shop, locale
        )
    return prices


def _with_bait(
    cause: np.ndarray, title: np.ndarray, tags: np.ndarray, row: np.ndarray, shelf: catalog.Catalog
) -> np.ndarray:
    """Marks own events whose title carries a bait word that is false about the user as bait."""
    baited = np.nonzero((shelf.bait[title] > 0) & np.isin(cause, _OWN))[0]
    word = shelf.bait[title[baited]]
    true = np.zeros(len(baited), bool)
    for number, (_, tag, values) in enumerate(catalog.BAITS):
        if number and tag in evolution.STATE_TAGS:
            chosen = word == number
            value = tags[row[baited[chosen]], evolution.STATE_TAGS.index(tag)]
            true[chosen] = np.isin(value, [HPR18[tag].values.index(name) for name in values])
    cause = cause.copy()
    cause[baited[~true]] = _CAUSE["bait"]
    return cause


def _returns(events: Events, n_sessions: np.ndarray, word: np.ndarray, as_of_day: int, locale: str) -> Events:
    """Returns of some purchases of goods, days later, each a session of its own."""
    shelf, graph = catalog.load(locale), tools.load(locale)
    shares = np.array([RETURN_SHARE.get(level, RETURN_SHARE[""]) for level in shelf.level1])
    limit = fixed.chance(shares * (shelf.sources == _SHOP))
    bought = np.nonzero(events.action == _ACTION["purchase"])[0]
    rows = bought[(word[bought] & 0xFFFF) < limit[events.leaf[bought]]]
    span = (RETURN_DAYS[1] - RETURN_DAYS[0]) * SECONDS_PER_DAY
    delay = (
        RETURN_DAYS[0] * SECONDS_PER_DAY + (word[rows].astype(np.uint64) >> np.uint64(16)) * np.uint64(span) // 65536
    )
    second = events.second[rows] + delay.astype(np.int64)
    daytime = np.clip(second % SECONDS_PER_DAY, 9 * 3600, 22 * 3600)
    second = second - second % SECONDS_PER_DAY + daytime
    inside = second < as_of_day * SECONDS_PER_DAY
    rows, second = rows[inside], second[inside]
    made = events.take(rows)
    return dataclasses.replace(
        made,
        second=second,
        session=n_sessions[made.user] + np.arange(len(rows)) - np.searchsorted(made.user, made.user),
        tool=np.full(len(rows), graph.number("request_refund"), made.tool.dtype),
        cause=np.full(len(rows), _CAUSE["return"], made.cause.dtype),
        outcome=np.full(len(rows), _OUTCOME["returned"], made.outcome.dtype),
        quantity=-made.quantity,
    )


def concatenate(parts: list[Events]) -> Events:
    """The events of all parts, one after another."""
    columns = [field.name for field in dataclasses.fields(Events)]
    return Events(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def in_order(events: Events) -> Events:
    """Events sorted by (user, time), sessions numbered anew within each user by their first event.

    Args:
      events: sorted by user; session numbers tell the sessions of one user apart.
    """
    key = (events.user.astype(np.int64) << 40) | events.second
    if (np.diff(key) < 0).any():
        events = events.take(np.argsort(key, kind="stable"))  # nearly sorted already: fast
    n = len(events)
    starts = np.flatnonzero(np.diff(events.user, prepend=-1))
    counts = np.diff(starts, append=n)
    n_sessions = np.maximum.reduceat(events.session, starts) + 1 if n else counts
    base = np.repeat(np.cumsum(n_sessions) - n_sessions, counts)
    session = events.session + base  # apart from those of other users
    first = np.zeros(int(n_sessions.sum()), np.int64)
    first[session[::-1]] = np.arange(n)[::-1]  # the last write is the earliest event
    begins = np.cumsum(first[session] == np.arange(n))  # sessions begun so far
    before = np.repeat(begins[starts] - 1, counts)
    return dataclasses.replace(events, session=(begins[first[session]] - 1 - before).astype(np.int32))


def event_table(events: Events, user_ids: list[str], locale: str) -> pa.Table:
    """The event log of a batch in `EVENT_COLUMNS`."""
    shelf = catalog.load(locale)
    searched = events.action == _ACTION["search"]
    columns = {
        "user_id": _coded(events.user, tuple(user_ids)),
        "time": pa.array(events.second.astype("datetime64[s]")),
        "source": _coded(shelf.sources[events.leaf], schema.SOURCES),
        "action": _coded(events.action, schema.ACTIONS),
        "title": _coded(events.title, shelf.titles),
        "category": _coded(events.leaf, shelf.leaves),
        "item_id": _coded(events.title, shelf.item_ids, absent=searched),
        "place": _coded(np.maximum(events.place, 0), place_names(locale), absent=events.place < 0),
        "price": pa.array(events.price, from_pandas=True),
        "quantity": pa.array(events.quantity, from_pandas=True),
    }
    return pa.table(columns, schema=EVENT_COLUMNS)


@functools.cache
def place_names(locale: str) -> tuple[str, ...]:
    """The name of each place number."""
    return tuple(places.load(locale).names())


def provenance_table(events: Events, user_ids: list[str], locale: str) -> pa.Table:
    """Why each event of a batch happened, in `PROVENANCE_COLUMNS`."""
    first = np.searchsorted(events.user, np.arange(len(user_ids)))[events.user]
    columns = {
        "user_id": _coded(events.user, tuple(user_ids)),
        "event_index": pa.array((np.arange(len(events)) - first).astype(np.int32)),
        "session": pa.array(events.session),
        "tool": _coded(events.tool, tools.load(locale).names),
        "cause": _coded(events.cause, schema.CAUSES),
        "need": _coded(events.need, needs_lib.load(locale).names),
        "outcome": _coded(events.outcome, schema.OUTCOMES),
    }
    return pa.table(columns, schema=PROVENANCE_COLUMNS)


def _coded(numbers: np.ndarray, words: tuple[str, ...], absent: np.ndarray | None = None) -> pa.Array:
    """Words by number as a dictionary that holds only the words in use, each once; null where `absent`."""
    distinct, code_of = _codebook(words)
    codes = code_of[numbers]
    used = np.zeros(len(distinct), bool)
    used[codes if absent is None else codes[~absent]] = True
    compact = np.cumsum(used, dtype=np.int32) - 1
    dictionary = distinct.take(pa.array(np.flatnonzero(used)))
    return pa.DictionaryArray.from_arrays(pa.array(np.maximum(compact[codes], 0), mask=absent), dictionary)


@functools.lru_cache(maxsize=32)
def _codebook(words: tuple[str, ...]) -> tuple[pa.Array, np.ndarray]:
    """The distinct words, and the number of each word among them: Parquet wants dictionaries without repeats."""
    encoded = pa.array(words, pa.string()).dictionary_encode()
    return encoded.dictionary, np.asarray(encoded.indices)
