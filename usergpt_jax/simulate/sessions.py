"""One session each: what for, when, where, and the walk on the tool graph that it takes; and the items looked at.

Everything is elementwise over sessions [S] or events [E]; each session has a key of its own, so a session does not
depend on its neighbours.

Paper: §2.1 (specific intent: target platform, action, expected outcome; decision process on the tool graph).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import ndtri

from usergpt_jax import schema
from usergpt_jax.simulate import calendar, catalog, evolution, fixed, places, priors, tools
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate.fixed import Column

_MISCLICK, _GIFT, _PROXY, _SHARED = (
    schema.CAUSES.index(name) for name in ("misclick", "gift", "proxy", "shared_account")
)
_TAG = {name: number for number, name in enumerate(evolution.STATE_TAGS)}
_PLACE = {name: number for number, name in enumerate(needs_lib.PLACES)}
_ZONE = {name: number for number, name in enumerate(priors.ZONES)}
_SHOP, _DELIVERY, _POI = (schema.SOURCES.index(name) for name in ("ecommerce", "delivery", "poi"))
_RURAL_TIER = 6
_ORDERING = tools.REACHES.index("ordering")
# Seconds between two calls: half of them within 20 s, one in a hundred after more than four minutes.
_GAP_DRAWS = 64
_GAPS = np.round(np.exp(3.0 + 1.1 * ndtri((np.arange(_GAP_DRAWS) + 0.5) / _GAP_DRAWS))).astype(np.int32) + 2
_HABIT = 215  # chance out of 256 that a meal or a visit is at the usual venue
_SECOND_BRAND = 70  # chance out of 256 of the second brand of a price tier
_ZIPF_DRAWS = 256
# Variant by popularity: Zipf with exponent 1.5 over n variants, by draw: [n - 1, draws].
_VARIANT = np.stack(
    [fixed.sampler(np.arange(1.0, n + 1) ** -1.5, _ZIPF_DRAWS) for n in range(1, catalog.MAX_VARIANTS + 1)]
)
_SECOND_SHOP = 64  # chance out of 256 of the second listing of a product
_HALF_HOURS, _HALF_HOUR_SECONDS = 48, 1800
_MAX_OFFSET = 18_000  # seconds a session may last
_AFTER_SALT = 1 << 16  # words for what becomes of an item start here, above those of items
_SESSION_SALT = 1 << 20  # keys of sessions start here, above those of weeks
_FAVOURITE_SALT = 1 << 22


class Shelf(NamedTuple):
    """Catalogue, library and tools as device arrays."""

    leaves: Array  # [N, 6]
    leaf_cdf: Array  # [N, 6]
    source: Array  # [N]
    place: Array  # [N]
    n_variants: Array  # [L]
    steps: Array  # [L, MAX_STEPS]
    has_steps: Array  # [L]
    opens: Array  # [L] half hour
    closes: Array  # [L]
    hours_cdf: Array  # [3, 5, 49]
    next_call: Array  # [2, M, K, RESOLUTION]
    opening: Array  # [5]
    is_view: Array  # [K] 1: shows an item
    emits: Array  # [K] action number or -1
    away_cdf: Array  # [3, Z] for browsing without a plan
    zone_part: Array
    home_part: Array
    school_part: Array
    hometown_part: Array
    hotel_part: Array
    station_part: Array


class Sessions(NamedTuple):
    """Compacted sessions: arrays [S]."""

    user: Column  # row in the batch
    week: Column
    slot: Column
    day: Column  # of the log
    need: Column
    cause: Column
    reach: Column
    destination: Column
    profile: Column  # hour profile of the day
    tags: Column
    city: Column
    child_months: Column
    home_draw: Column
    work_draw: Column
    loyalty: Column
    hometown_city: Column


class Details(NamedTuple):
    """What a session turns out to be: arrays [S] and, for its calls, [S, MAX_CALLS]."""

    key: Column  # raw key words [S, 2]
    favourite: Column  # random words of the user and leaf [S, 2]
    leaf: Column
    variant: Column  # -1: drawn anew for each item
    habit: Column  # chance out of 256 of the favourite brand or venue
    goes_out: Column  # 1 for visits, 2 for meals: one venue for each price tier (and variant of a visit)
    base_tier: Column  # price tier in 1/64
    second: Column  # of the day at the first call
    place: Column
    destination: Column  # of travel titles
    calls: Column  # tool numbers, `close` (0) at the end
    offsets: Column  # seconds from `second`
    views: Column  # items looked at so far


def device_shelf(locale: str) -> Shelf:
    """Loads catalogue, library, hours and tools of a locale."""
    library, shelf, where = needs_lib.load(locale), catalog.load(locale), places.load(locale)
    graph = tools.load(locale)
    hours = np.concatenate([np.zeros((3, 5, 1)), np.cumsum(calendar.hours(locale), axis=2)], axis=2)
    hours_cdf = np.round(hours / hours[:, :, -1:] * fixed.CHANCE).astype(np.int32)
    click = schema.ACTIONS.index("click")
    shows = (graph.emits == click) | np.isin(np.array(graph.names), ("navigate", "open_service"))
    columns = {
        "leaves": library.leaves,
        "leaf_cdf": library.leaf_cdf,
        "source": library.sources,
        "place": library.places,
        "n_variants": shelf.n_variants,
        "steps": shelf.steps,
        "has_steps": shelf.has_steps.astype(np.int32),
        "opens": shelf.opens,
        "closes": shelf.closes,
        "hours_cdf": hours_cdf,
        "next_call": graph.next_call,
        "opening": graph.opening.astype(np.int32),
        "is_view": shows.astype(np.int32),
        "emits": graph.emits,
        "away_cdf": fixed.cumulative(where.destination_weights),
        "zone_part": where.zone_part,
        "home_part": where.home_part,
        "school_part": where.school_part,
        "hometown_part": where.hometown_part,
        "hotel_part": where.hotel_part,
        "station_part": where.station_part,
    }
    return Shelf(**{name: jnp.asarray(value) for name, value in columns.items()})


@functools.partial(jax.jit, static_argnames="n_parts")
def detail(keys: Array, s: Sessions, shelf: Shelf, n_parts: int) -> Details:
    """Leaf, time, place and walk of each session. `keys` are the users' keys [U]."""
    fold = jax.vmap(jax.random.fold_in)
    key = fold(fold(keys[s.user], _SESSION_SALT + s.week), s.slot)
    words = jax.vmap(lambda k: jax.random.bits(k, (4,), jnp.uint32))(key)
    source = shelf.source[s.need]
    u16 = (words & 0xFFFF).astype(jnp.int32)
    high16 = (words >> 16).astype(jnp.int32)
    leaf = shelf.leaves[s.need, jnp.sum(shelf.leaf_cdf[s.need] <= u16[:, :1], axis=1)]
    for_other = (s.cause == _GIFT) | (s.cause == _PROXY) | (s.cause == _SHARED)
    level = s.tags[:, _TAG["consumption_level"]].astype(jnp.int32)
    level = jnp.where(s.cause == _SHARED, 2, jnp.where(s.cause == _GIFT, jnp.maximum(level, 2), level))
    calls, offsets, views = _walk(key, s, source, shelf)
    half_hour, closing = _half_hour(u16[:, 1], s, source, leaf, shelf)
    second = half_hour * _HALF_HOUR_SECONDS + ((high16[:, 1] * _HALF_HOUR_SECONDS) >> 16)
    out = (source == _POI) | (source == _DELIVERY)
    return Details(
        key=jax.random.key_data(key),
        favourite=jax.random.key_data(fold(keys[s.user], _FAVOURITE_SALT + leaf)),
        leaf=leaf.astype(jnp.int16),
        variant=_age_variant(high16[:, 0], leaf, s.child_months.astype(jnp.int32), for_other, shelf).astype(jnp.int8),
        habit=jnp.where(out, _HABIT, s.loyalty).astype(jnp.int16),
        goes_out=(out.astype(jnp.int8) + (source == _DELIVERY)).astype(jnp.int8),
        base_tier=(38 + 61 * level).astype(jnp.int16),
        second=jnp.maximum(jnp.minimum(second, closing - 1 - offsets[:, -1].astype(jnp.int32)), 0),
        place=_place(s, source, u16[:, 2], n_parts, shelf),
        destination=_destination(s, high16[:, 2], shelf).astype(jnp.int16),
        calls=calls,
        offsets=offsets,
        views=views,
    )


def _half_hour(u16: Array, s: Sessions, source: Array, leaf: Array, shelf: Shelf) -> tuple[Array, Array]:
    """Half hour of the day by the platform's curve, within opening hours; and the second when these end."""
    cdf = shelf.hours_cdf[s.profile.astype(jnp.int32), source]
    opens, closes = shelf.opens[leaf], shelf.closes[leaf]

    def at(half_hour: Array) -> Array:
        return jnp.take_along_axis(cdf, half_hour[:, None], axis=1)[:, 0]

    low, night = at(opens), at(jnp.maximum(closes - _HALF_HOURS, 0))  # open past midnight: the early morning counts
    span = at(jnp.minimum(closes, _HALF_HOURS)) + night - low
    target = low + ((span * (u16 >> 1)) >> 15)
    early = target >= fixed.CHANCE
    found = jnp.sum(cdf[:, 1:] <= jnp.where(early, target - fixed.CHANCE, target)[:, None], axis=1)
    last = jnp.where(early, closes - _HALF_HOURS, jnp.minimum(closes, _HALF_HOURS))
    return jnp.clip(found, jnp.where(early, 0, opens), last - 1), last * _HALF_HOUR_SECONDS


def _age_variant(u16: Array, leaf: Array, child_months: Array, for_other: Array, shelf: Shelf) -> Array:
    """The variant that fits the child's age where the leaf grows with it (one step off at times); else -1."""
    stepped = jnp.sum(child_months[:, None] >= shelf.steps[leaf], axis=1)
    off = jnp.where(u16 < fixed.chance(0.06), -1, jnp.where(u16 >= fixed.chance(0.88), 1, 0))
    fits = jnp.clip(stepped + off, 0, shelf.n_variants[leaf] - 1)
    return jnp.where((shelf.has_steps[leaf] == 1) & ~for_other, fits, -1)


def _destination(s: Sessions, u16: Array, shelf: Shelf) -> Array:
    """Where a travel product leads: the plan's destination; without one, a place the user dreams of."""
    kind = jnp.clip(shelf.place[s.need] - _PLACE["dest_business"], 0, 2)
    dream = jnp.minimum(jnp.sum(shelf.away_cdf[kind] <= u16[:, None], axis=1), shelf.away_cdf.shape[1] - 1)
    return jnp.where(s.destination >= 0, s.destination.astype(jnp.int32), dream)


def _place(s: Sessions, source: Array, u16: Array, n_parts: int, shelf: Shelf) -> Array:
    """Number of the place an event happens at or is delivered to.

    Meals and visits are where the user is: the home's part of the city, the weekday's zone, the child's school, a
    station, or away, with the family in the hometown or at a hotel. Parcels go to the home city.
    """
    kind = shelf.place[s.need]
    zone, tenure, tier = (
        s.tags[:, _TAG[n]].astype(jnp.int32) for n in ("activity_zone", "housing_tenure", "city_tier")
    )
    work = shelf.zone_part[zone, s.work_draw]
    around = jnp.where(zone >= _ZONE["county_town"], zone, _ZONE["residential"])
    spread = shelf.zone_part[around, (u16 >> 14)]
    home = shelf.home_part[tenure, s.home_draw]
    home = jnp.where(tier == _RURAL_TIER, shelf.zone_part[_ZONE["rural"], s.work_draw], home)
    weekday_work = (kind == _PLACE["work"]) & ~((s.profile == 1) & (source == _DELIVERY))
    coin = (u16 >> 13) & 1
    child_years = s.child_months.astype(jnp.int32) // 12
    school = shelf.school_part[(child_years >= 6).astype(jnp.int32) + (child_years >= 12), coin]
    at = [kind == _PLACE["home"], weekday_work, kind == _PLACE["school"], kind == _PLACE["station"]]
    part = jnp.select(at, [home, work, school, shelf.station_part[coin]], spread)
    part = jnp.where((source == _SHOP) | (kind >= _PLACE["dest_home"]), 0, part)
    away = s.destination >= 0
    city = jnp.where(away, s.destination.astype(jnp.int32), s.city.astype(jnp.int32))
    staying = jnp.where(source == _DELIVERY, shelf.hotel_part[coin], 0)
    staying = jnp.where(city == s.hometown_city, shelf.hometown_part[coin], staying)
    staying = jnp.where(kind == _PLACE["station"], shelf.station_part[coin], staying)
    return city * n_parts + jnp.where(away & (kind < _PLACE["dest_home"]), staying, jnp.where(away, 0, part))


def _walk(key: Array, s: Sessions, source: Array, shelf: Shelf) -> tuple[Array, Array, Array]:
    """Calls, their offsets in seconds and the number of items seen: [S, MAX_CALLS] each."""
    mode = source * len(tools.REACHES) + s.reach.astype(jnp.int32)
    hurried = s.cause == _MISCLICK  # one wrong tap, and out again

    def four_calls(carry: tuple[Array, Array, Array], number: Array):
        bits = jax.random.key_data(jax.vmap(jax.random.fold_in, (0, None))(key, 64 + number))
        left = []
        for part in range(4):
            tool, offset, views = carry
            word = bits[:, part // 2] >> (16 * (part % 2))
            finish = hurried | (number * 4 + part >= tools.MAX_CALLS - 1 - tools.FINISH_CALLS)
            draw = (word & (tools.RESOLUTION - 1)).astype(jnp.int32)
            left.append((tool.astype(jnp.uint8), offset.astype(jnp.uint16), views.astype(jnp.uint8)))
            following = shelf.next_call[finish.astype(jnp.int32), mode, tool, draw].astype(jnp.int32)
            gap = jnp.asarray(_GAPS)[((word >> 10) & (_GAP_DRAWS - 1)).astype(jnp.int32)]
            silent = (shelf.emits[following] < 0) | (shelf.emits[tool] < 0)
            offset = jnp.minimum(offset + jnp.where(silent, 1 + (gap >> 3), gap), _MAX_OFFSET)
            carry = (following, jnp.where(following > 0, offset, carry[1]), views + shelf.is_view[following])
        return carry, [jnp.stack(column) for column in zip(*left, strict=True)]

    zero = jnp.zeros_like(mode)
    start = (shelf.opening[source], zero, zero)
    left = jax.lax.scan(four_calls, start, jnp.arange(tools.MAX_CALLS // 4))[1]
    calls, offsets, views = (jnp.moveaxis(column.reshape(tools.MAX_CALLS, -1), 0, 1) for column in left)
    return calls, offsets, views


class Items(NamedTuple):
    """The item of each event: arrays [E]."""

    brand: Column
    variant: Column
    shop: Column
    quantity: Column
    word: Column  # further random bits of the event, uint32


@jax.jit
def items(details: Details, n_variants: Array, row: Array, view: Array) -> Items:
    """The item each event is about: events of one view share it.

    Args:
      details: sessions [S].
      n_variants: of each leaf [L].
      row: session of each event [E].
      view: number of the view within the session [E].
    """
    key = jax.random.wrap_key_data(details.key[row])
    drawn = jax.random.key_data(jax.vmap(jax.random.fold_in)(key, 256 + view.astype(jnp.int32)))
    usual = (drawn[:, 0] >> 24).astype(jnp.int32) < details.habit[row]
    words = jnp.where(usual[:, None], details.favourite[row], drawn)
    normal = jnp.asarray(fixed.NORMAL)[(words[:, 0] & (fixed.NORMAL_DRAWS - 1)).astype(jnp.int32)]
    tier = (details.base_tier[row].astype(jnp.int32) + ((normal * 70) >> 6) + 32) >> 6
    tier = jnp.clip(tier, 0, catalog.N_TIERS - 1)
    shops = details.goes_out[row] == 0
    brand = 2 * tier + (shops & (((words[:, 0] >> 10) & 0xFF) < _SECOND_BRAND))
    n = n_variants[details.leaf[row].astype(jnp.int32)]
    dish = jnp.where(
        details.goes_out[row] == 2, drawn[:, 1], words[:, 1]
    )  # the usual venue, but not always the same meal
    popular = jnp.asarray(_VARIANT)[n - 1, (dish & (_ZIPF_DRAWS - 1)).astype(jnp.int32)]
    variant = details.variant[row].astype(jnp.int32)
    three = jnp.array([205, 241])  # of 256: one unit, two units
    return Items(
        brand=brand.astype(jnp.int8),
        variant=jnp.where(variant >= 0, variant, popular).astype(jnp.int8),
        shop=(shops & (((words[:, 1] >> 8) & 0xFF) < _SECOND_SHOP)).astype(jnp.int8),
        quantity=(1 + jnp.sum(((drawn[:, 1] >> 16) & 0xFF).astype(jnp.int32)[:, None] >= three, axis=1)).astype(
            jnp.int8
        ),
        word=jax.random.key_data(jax.vmap(jax.random.fold_in)(key, _AFTER_SALT + view.astype(jnp.int32)))[:, 0],
    )
