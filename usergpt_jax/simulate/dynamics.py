"""A user's days: needs awaken, sessions walk idle -> browsing -> searching -> ordering, and leave events.

`simulate_user` scans over days; the state carried along is how engaged the user is and when each desire was last
satisfied. All draws of a day come from the user's key folded with the day.

Paper: §2.1 (Markov decision process over idle, browsing, searching, ordering).
"""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from usergpt_jax import schema
from usergpt_jax.simulate import calendar, catalog, evolution, noise, places, priors
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate.persona import Course
from usergpt_jax.tags import HPR18

SESSIONS_PER_DAY = 4
# Actions a session may take, in the order of time; bit b of a session's `actions` is STEPS[b].
STEPS = ("search", "click", "click", "favorite", "cart", "purchase", "visit")
SEARCH, CLICK, SECOND_CLICK, FAVORITE, CART, PURCHASE, VISIT = (1 << bit for bit in range(len(STEPS)))
RATE_SCALE = 0.42  # sessions a day for each session a year of need, times 1 / 365
AFFINITY_SIGMA = 0.75
_STALE_DAYS = 420
_ENGAGEMENT = jnp.array([0.25, 1.0, 2.4])  # dormant, normal, hot
_ENGAGEMENT_MOVE = jnp.array([[0.90, 0.985], [0.05, 0.93], [0.02, 0.25]])  # cumulative chance of dormant, normal

_RURAL_TIER = HPR18["city_tier"].values.index("rural")
_TAG = {name: number for number, name in enumerate(evolution.STATE_TAGS)}
_ZONE = {name: number for number, name in enumerate(priors.ZONES)}
_PLACE = {name: number for number, name in enumerate(needs_lib.PLACES)}

# Chances by source (ecommerce, delivery, travel, poi, other): a session goes beyond idle, on to searching, to ordering.
_LEAVES_IDLE = jnp.array([0.9, 0.95, 0.85, 1.0, 1.0])
_SEARCHES = jnp.array([0.68, 0.9, 0.8, 1.0, 1.0])
_ORDERS = jnp.array([0.55, 0.9, 0.7, 1.0, 1.0])
_SHOP, _DELIVERY, _POI, _OTHER = (schema.SOURCES.index(name) for name in ("ecommerce", "delivery", "poi", "other"))
_DAY_MARKS = ("double11", "618", "spring_festival", "weekend")
# Shopping on a sale day against a plain one, before the cap on sessions; measured uplift is x5-15.
_DOUBLE11_LOG_UPLIFT, _SALE_LOG_UPLIFT = float(np.log(10.0)), float(np.log(5.0))


class Tables(NamedTuple):
    """The library and catalogue as device arrays."""

    log_rate: Float[Array, " N"]
    state_weights: Float[Array, "F N"]
    calendar_weights: Float[Array, "C N"]
    triangle: Float[Array, "N N"]
    foreign_cdf: Float[Array, "R N"]
    source: Int[Array, " N"]
    kind_cause: Int[Array, " N"]
    place: Int[Array, " N"]
    cadence_days: Float[Array, " N"]
    staged: Int[Array, " N"]
    leaf_cdf: Float[Array, "N 6"]
    leaves: Int[Array, "N 6"]
    n_variants: Int[Array, " L"]
    steps: Int[Array, "L 5"]
    has_steps: Int[Array, " L"]
    hours_cdf: Float[Array, "5 24"]
    destination_cdf: Float[Array, "3 Z"]
    nearby_cdf: Float[Array, "31 Z"]
    province: Int[Array, " Y"]


class Sessions(NamedTuple):
    """What sessions left, [..., D, K]; `actions` 0 means that nothing was left."""

    actions: Int[Array, "..."]
    need: Int[Array, "..."]
    leaf: Int[Array, "..."]
    cause: Int[Array, "..."]
    second: Int[Array, "..."]  # of the day, when the session starts
    tier: Int[Array, "..."]
    second_tier: Int[Array, "..."]
    variant: Int[Array, "..."]
    shop: Int[Array, "..."]
    quantity: Int[Array, "..."]
    place: Int[Array, "..."]  # -1: none
    destination: Int[Array, "..."]


def tables() -> Tables:
    """Loads library and catalogue."""
    library, shelf = needs_lib.load(), catalog.load()
    n = len(library.names)
    stage_tags = [HPR18.names.index(name) for name in ("life_stage", "child_stage", "housing_tenure")]
    hours = np.array([priors.HOURS[source] for source in schema.SOURCES], np.float32)
    provinces = places.city_column("province")
    near = np.array([[float(p == q) for p in provinces] + [0.0] * len(places.ABROAD) for q in range(31)])
    near *= np.concatenate([places.city_column("population"), np.zeros(len(places.ABROAD))])
    split = needs_lib.N_STATE_FEATURES
    columns = {
        "log_rate": library.log_rate,
        "state_weights": library.weights[:split],
        "calendar_weights": library.weights[split:],
        "triangle": np.triu(np.ones((n, n), np.float32)),
        "foreign_cdf": noise.foreign_cdf(),
        "source": library.sources,
        "kind_cause": needs_lib.CAUSE_OF_KIND[library.kinds],
        "place": library.places,
        "cadence_days": np.maximum(library.cadence_days, 1.0),
        "staged": library.evidence[:, stage_tags].any(axis=1).astype(np.int32),
        "leaf_cdf": library.leaf_cdf,
        "leaves": library.leaves,
        "n_variants": shelf.n_variants,
        "steps": shelf.steps,
        "has_steps": shelf.has_steps.astype(np.int32),
        "hours_cdf": np.cumsum(hours / hours.sum(1, keepdims=True), axis=1),
        "destination_cdf": np.cumsum(places.destination_weights(), axis=1).astype(np.float32),
        "nearby_cdf": (np.cumsum(near, axis=1) / np.maximum(near.sum(1, keepdims=True), 1e-9)).astype(np.float32),
        "province": provinces.astype(np.int32),
    }
    return Tables(**{name: jnp.asarray(value) for name, value in columns.items()})


def simulate_user(
    key: Array, course: Course, days: Int[Array, " D"], day_features: Float[Array, "D C"], table: Tables
) -> Sessions:
    """One user's sessions on `days` (epoch days)."""
    affinity = jax.random.normal(jax.random.fold_in(key, 0), table.log_rate.shape) * AFFINITY_SIGMA
    avoided = course.avoided[table.source] * needs_lib.LOG_ZERO
    own_log_rate = table.log_rate + jnp.round(affinity * 64) / 64 - 0.25 + avoided

    def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]):
        engagement, last = carry
        day, marks = inputs
        day_key = jax.random.fold_in(key, day)
        draws = jax.random.uniform(day_key, (SESSIONS_PER_DAY + 1, 20))
        stale = draws[-1, 0] < course.noise[3]
        both_days = jnp.stack([day, jnp.where(stale, day - _STALE_DAYS, day)])
        both = jax.vmap(evolution.state_at, in_axes=(None, 0))(course, both_days)
        state, seen = (jax.tree.map(operator.itemgetter(row), both) for row in (0, 1))
        was_stale = jnp.any(seen.tags != state.tags)
        weights = _need_weights(own_log_rate, seen, marks, day - last, table)
        sessions = jax.vmap(_session, in_axes=(0, None, None, None, None, None, None, None))(
            draws[:-1], weights, course, engagement, state, was_stale, day_mark(marks), table
        )
        used = (sessions.actions & (PURCHASE | VISIT)) > 0
        last = last.at[jnp.where(used, sessions.need, table.log_rate.shape[0])].set(day, mode="drop")
        moved = jnp.sum(draws[-1, 1] >= _ENGAGEMENT_MOVE[engagement])
        return (moved.astype(jnp.int32), last), sessions

    start = (jnp.int32(1), jnp.full(table.log_rate.shape, -100_000, jnp.int32))
    return jax.lax.scan(step, start, (days, day_features))[1]


def day_mark(marks: Float[Array, " C"]) -> tuple[Array, Array, Array]:
    """Whether the day is a sale, a weekend, and in the Spring Festival."""
    double11, june, festival, weekend = (marks[calendar.FEATURES.index(name)] > 0 for name in _DAY_MARKS)
    return double11 | june, weekend, festival


def _need_weights(
    own_log_rate: Array, state: evolution.State, marks: Array, days_since: Array, table: Tables
) -> Float[Array, " N"]:
    """Cumulative integer weights of the user's own desires; 2048 units are one session a year."""
    hot = evolution.features(state)
    log_rate = own_log_rate + jnp.matmul(hot, table.state_weights, precision=jax.lax.Precision.HIGHEST)
    log_rate += jnp.matmul(marks, table.calendar_weights, precision=jax.lax.Precision.HIGHEST)
    sale, _, _ = day_mark(marks)
    uplift = jnp.where(marks[calendar.FEATURES.index("double11")] > 0, _DOUBLE11_LOG_UPLIFT, _SALE_LOG_UPLIFT)
    log_rate += jnp.where(sale & (table.source == _SHOP), uplift, 0.0)
    rested = jnp.clip(days_since / table.cadence_days, 0.0, 1.0)
    rate = jnp.exp(jnp.minimum(log_rate, 7.5)) * rested
    units = jnp.floor(rate * noise.WEIGHT_SCALE)
    return jnp.matmul(units, table.triangle, precision=jax.lax.Precision.HIGHEST)


def _session(
    u: Float[Array, " 20"],
    own_cdf: Float[Array, " N"],
    course: Course,
    engagement: Array,
    state: evolution.State,
    was_stale: Array,
    marks: tuple[Array, Array, Array],
    table: Tables,
) -> Sessions:
    """One session: whether it takes place, for which desire, how far it goes, and what it leaves."""
    sale, weekend, festival = marks
    per_day = own_cdf[-1] / noise.WEIGHT_SCALE / 365.0 * RATE_SCALE
    per_day *= jnp.exp(course.log_activity) * _ENGAGEMENT[engagement]
    happens = u[0] < jnp.minimum(per_day / SESSIONS_PER_DAY, 0.95)
    cause_draw = jnp.sum(u[1] >= jnp.cumsum(course.noise[:3]))  # 0 gift, 1 shared, 2 misclick, 3 own
    row = jnp.array([noise.GIFT_ROW, 0, noise.MISCLICK_ROW, 0])[cause_draw]
    row = jnp.where(cause_draw == 1, noise.FIRST_COMPANION_ROW + _companion(state, u[2]), row)
    cdf = jnp.where(cause_draw == 3, own_cdf, table.foreign_cdf[row])
    need = jnp.minimum(jnp.sum(cdf <= u[3] * cdf[-1]), cdf.shape[0] - 1)
    foreign = jnp.array([noise.GIFT, noise.SHARED, noise.MISCLICK])[jnp.minimum(cause_draw, 2)]
    own = jnp.where(was_stale & (table.staged[need] == 1), noise.STALE, table.kind_cause[need])
    cause = jnp.where(cause_draw == 3, own, foreign)
    source = table.source[need]
    happens &= course.avoided[source] == 0
    actions = _actions(u[4:11], source, cause, state, sale)
    leaf = table.leaves[need, jnp.sum(table.leaf_cdf[need] <= u[11])]
    variant = _variant(leaf, u[12], state, cause, table)
    level = jnp.where(cause_draw == 1, 2, course.consumption_level)
    normal = jax.scipy.special.ndtri(jnp.clip(u[13], 1e-4, 1 - 1e-4))
    tier = jnp.clip(jnp.round(0.6 + 0.95 * level + 1.1 * normal), 0, catalog.N_TIERS - 1)
    destination = _destination(table.place[need], course, state, u[14], table)
    hour = jnp.sum(table.hours_cdf[source] <= u[15])
    return Sessions(
        actions=jnp.where(happens, actions, 0).astype(jnp.int16),
        need=need.astype(jnp.int16),
        leaf=leaf.astype(jnp.int16),
        cause=cause.astype(jnp.int8),
        second=(jnp.minimum(hour, 23) * 3600 + jnp.floor(u[16] * 2400)).astype(jnp.int32),
        tier=tier.astype(jnp.int8),
        second_tier=jnp.floor(u[17] * catalog.N_TIERS).astype(jnp.int8),
        variant=variant.astype(jnp.int8),
        shop=jnp.floor(u[18] ** 1.6 * catalog.N_SHOPS).astype(jnp.int8),
        quantity=(1 + jnp.sum(u[19] >= jnp.array([0.8, 0.94]))).astype(jnp.int8),
        place=_place(need, source, course, state, weekend, festival, destination, u[14], table).astype(jnp.int32),
        destination=destination.astype(jnp.int16),
    )


def _companion(state: evolution.State, u: Array) -> Array:
    """Who shares the account: the spouse, a child at school, or a parent."""
    gender, marital, child = (state.tags[_TAG[name]] for name in ("gender", "marital_status", "child_stage"))
    spouse = jnp.where(gender == 0, 1, 0)
    has_child = (child >= 5) & (child <= 6)
    couple = (marital == 1) | (marital == 2)
    other = jnp.where(has_child & (u < 0.4), 2, jnp.where(couple, spouse, 3))
    return jnp.where(u > 0.85, 3, other)


def _actions(u: Float[Array, " 7"], source: Array, cause: Array, state: evolution.State, sale: Array) -> Array:
    """The walk idle -> browsing -> searching -> ordering, as bits of `STEPS`."""
    browsing = u[0] < _LEAVES_IDLE[source]
    searching = browsing & (u[1] < _SEARCHES[source])
    ordering = searching & (u[2] < _ORDERS[source] * jnp.where(sale, 1.25, 1.0))
    shop = source == _SHOP
    bits = jnp.where(searching & (u[3] < jnp.where(shop, 0.55, 0.15)), SEARCH, 0)
    bits |= jnp.where(browsing & (~ordering | (u[4] < jnp.where(shop, 0.8, 0.25))), CLICK, 0)
    bits |= jnp.where(browsing & shop & (u[5] < 0.25), SECOND_CLICK, 0)
    bits |= jnp.where(browsing & shop & (u[6] < 0.1), FAVORITE, 0)
    bits |= jnp.where(searching & shop & (u[6] > 0.8), CART, 0)
    bits |= jnp.where(ordering, PURCHASE, 0)
    bits = jnp.where(source == _OTHER, PURCHASE, bits)
    bits = jnp.where(cause == noise.MISCLICK, CLICK, bits)
    bits = jnp.where((cause == noise.GIFT) & shop & (bits > 0), bits | PURCHASE, bits)
    return jnp.where(source == _POI, VISIT, bits)


def _variant(leaf: Array, u: Array, state: evolution.State, cause: Array, table: Tables) -> Array:
    """By the child's age where the leaf grows with it (one step off at times), at random elsewhere."""
    n = table.n_variants[leaf]
    stepped = jnp.sum(state.child_months >= table.steps[leaf])
    stepped = jnp.where(u < 0.06, stepped - 1, jnp.where(u > 0.88, stepped + 1, stepped))
    by_age = (table.has_steps[leaf] == 1) & (cause != noise.GIFT) & (cause != noise.SHARED)
    return jnp.clip(jnp.where(by_age, stepped, jnp.floor(u * n)), 0, n - 1)


def _destination(place: Array, course: Course, state: evolution.State, u: Array, table: Tables) -> Array:
    """The city a trip goes to (number in `places.DESTINATIONS`); the home city where it is no trip."""
    trip = jnp.clip(place - _PLACE["dest_business"], 0, 2)
    away = jnp.sum(table.destination_cdf[trip] <= u)
    near = jnp.sum(table.nearby_cdf[table.province[state.city]] <= u)
    found = jnp.where(place == _PLACE["dest_near"], near, away)
    found = jnp.where(place == _PLACE["dest_home"], course.hometown_city, found)
    found = jnp.where(place < _PLACE["dest_home"], state.city, found)
    return jnp.clip(found, 0, len(places.DESTINATIONS) - 1)


def _place(
    need: Array,
    source: Array,
    course: Course,
    state: evolution.State,
    weekend: Array,
    festival: Array,
    destination: Array,
    u: Array,
    table: Tables,
) -> Array:
    """Number of the place an event happens at or is delivered to.

    Home deliveries go to the home's part of the city, lunches and working-day visits to the zone of the day; at
    Spring Festival those who travel home are there.
    """
    kind = table.place[need]
    zone, tenure = state.tags[_TAG["activity_zone"]], state.tags[_TAG["housing_tenure"]]
    goes_home = festival & (course.travel_pattern == 1) & (course.hometown_city != state.city)
    city = jnp.where(goes_home, course.hometown_city, state.city)
    work = jnp.asarray(places.ZONE_PART)[zone, course.work_draw]
    around = jnp.where(zone >= _ZONE["county_town"], zone, _ZONE["residential"])
    spread = jnp.asarray(places.ZONE_PART)[around, jnp.floor(u * 4).astype(jnp.int32)]
    home = jnp.asarray(places.HOME_PART)[tenure, course.home_draw]
    village = jnp.asarray(places.ZONE_PART)[_ZONE["rural"], course.work_draw]
    home = jnp.where(state.tags[_TAG["city_tier"]] == _RURAL_TIER, village, home)
    home = jnp.where(goes_home, 0, home)
    part = jnp.where(kind == _PLACE["home"], jnp.where(source == _SHOP, 0, home), spread)
    part = jnp.where((kind == _PLACE["work"]) & ~(weekend & (source == _DELIVERY)), work, part)
    part = jnp.where(kind >= _PLACE["dest_home"], 0, part)
    city = jnp.where(kind >= _PLACE["dest_home"], destination, city)
    return city * places.N_PARTS + part
