"""A user's weeks: needs press, sessions happen, tastes drift, trips are planned.

`simulate_user` scans over weeks. What it carries along: how engaged the user is, when each desire was last satisfied
and how often it came up, the intensity of each interest, the need left open by an abandoned session, and the trip
ahead. A week has SLOTS places for sessions: ordinary ones, then bookings of a planned trip, then visits away from home.
All draws come from the user's key folded with the week; all decisions are integer comparisons (see `fixed`).

Paper: §2.1 (decision process over idle, browsing, searching, ordering with state-dependent probabilities; event- and
behaviour-driven evolution). Differs from the paper: no language model takes part.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from usergpt_jax import schema
from usergpt_jax.simulate import evolution, fixed, noise, tools
from usergpt_jax.simulate.itinerary import AWAY_SLOTS, BOOKING_SLOTS, Column, Trip, no_trip, plan_trip, trip_sessions
from usergpt_jax.simulate.persona import Course
from usergpt_jax.simulate.week_tables import RECIPROCAL_BITS, WEEK_DAYS, Tables, Weeks

ORDINARY_SLOTS = 24
SLOTS = ORDINARY_SLOTS + BOOKING_SLOTS + AWAY_SLOTS
MONTH_WEEKS = 4
WARM_UP_WEEKS = 8  # simulated before the log begins, so that needs and trips are under way on its first day

RATE_SCALE = 0.42  # sessions for each session of need in the library: calibrates the events a user and month
_ENGAGEMENT = np.array([0.25, 1.0, 2.4], np.float32)  # dormant, normal, hot
_DAILY_MOVE = np.array([[0.90, 0.085, 0.015], [0.05, 0.88, 0.07], [0.02, 0.23, 0.75]])
_ENGAGEMENT_CDF = fixed.cumulative(np.linalg.matrix_power(_DAILY_MOVE, WEEK_DAYS))
_OUTLIVED = fixed.LOG_STEPS  # a nat: a need of the past that is this much less likely now is a stale one
_BLOCK = 16  # of cumulative sums
_EXACT = jax.lax.Precision.HIGHEST  # whole numbers below 2**24 stay exact in float32
_STALE_DAYS = np.array([120, 420])  # a stale week lives as the user did so many days ago, at least and at most

# Chance by source (ecommerce, delivery, travel, poi, other) that a session goes beyond browsing, and that it orders.
_SEARCHES = fixed.chance(np.array([0.66, 0.9, 0.6, 1.0, 1.0]))
_ORDERS = fixed.chance(np.array([0.30, 0.77, 0.40, 0.93, 1.0]))
_GIFT_ORDERS = fixed.chance(0.8)

# How a need presses by the time since it was satisfied, in eighths of its cadence; 256 is its usual rate.
_PRESSURE_CADENCES = 4
# Preferential return: each doubling of a desire's recent sessions lifts its log rate; an eighth is forgotten a month.
_RETURN_LIFT, _RETURN_BASE = 12, 28
_INERTIA = fixed.chance(0.3)  # a need left open is taken up again
AFFINITY_SIGMA = 0.7
_DAWN_SALT, _TASTE_SALT = 1 << 18, 1 << 19  # fold-in numbers above those of weeks

# Interests: intensity 0..1000; each month related sessions lift it and the others wear it down.
HELD, DROPPED = 400, 280  # taken up when it rises to the first, dropped when it falls below the second
_START_INTENSITY = 720
_LIFT_HELD, _LIFT_NEW = 60, 150  # by a session that is about a held interest, or about one that is not: novelty
_LIFT_SESSIONS = 4  # sessions a month that count
_WEAR, _WEAR_MOST = 2, 70  # for each session of any kind in the month, at most

_FOREIGN = np.array([schema.CAUSES.index(name) for name in noise.FOREIGN], np.int32)
_STALE, _HOT = schema.CAUSES.index("stale_stage"), schema.CAUSES.index("hot_topic")
_TAG = {name: number for number, name in enumerate(evolution.STATE_TAGS)}
_SHOP, _TRAVEL, _POI, _DELIVERY = (schema.SOURCES.index(n) for n in ("ecommerce", "travel", "poi", "delivery"))
_BROWSING, _SEARCHING, _ORDERING = range(len(tools.REACHES))


class Week(NamedTuple):
    """What a week left: its sessions [SLOTS] and the state they happened in."""

    happens: Column
    day: Column  # of the week
    need: Column
    cause: Column
    reach: Column  # number in tools.REACHES
    destination: Column  # where the user is or a booking leads to, -1: home
    tags: Column
    city: Column
    child_months: Column
    held: Column  # bit i: interest i is held
    plan: Trip  # planned this week


class _Carry(NamedTuple):
    engagement: Array
    last: Array  # [N] epoch day each desire was last satisfied
    visits: Array  # [N] recent sessions of each desire
    intensity: Array  # [I]
    held: Array  # [I]
    month: Array  # [I + 1] sessions of the month by interest; the last entry counts all
    open_need: Array  # -1: none
    trip: Trip  # under way or ahead
    following: Trip  # planned for a week after `trip` has ended


def simulate_user(key: Array, course: Course, weeks: Weeks, table: Tables) -> tuple[Week, Int[Array, " I"]]:
    """One user's weeks: arrays [W, ...]; and how strongly each interest is held in the end, 0 where it is not."""
    own_log_rate = _own_log_rate(key, course, table)
    n, n_interests = table.log_rate.shape[0], table.interest_weights.shape[0]
    held = jnp.any(course.interests[:, None] == jnp.arange(n_interests)[None, :], axis=0)
    dawn = _bits(key, _DAWN_SALT, (n_interests + n,))
    spare = (dawn[:n_interests] % 380).astype(jnp.int32)
    rested = weeks.day[0] - (dawn[n_interests:] % 1024).astype(jnp.int32) * table.cadence_days // 512
    start = _Carry(
        engagement=jnp.int32(1),
        last=rested,
        visits=jnp.zeros(n, jnp.int32),
        intensity=jnp.where(held, _START_INTENSITY, spare),
        held=held,
        month=jnp.zeros(n_interests + 1, jnp.int32),
        open_need=jnp.int32(-1),
        trip=no_trip(),
        following=no_trip(),
    )

    def step(carry: _Carry, week: Weeks) -> tuple[_Carry, Week]:
        return _week(key, course, own_log_rate, table, carry, week)

    end, left = jax.lax.scan(step, start, weeks)
    return left, jnp.where(end.held, end.intensity, 0)


def _bits(key: Array, number: Array | int, shape: tuple[int, ...]) -> Array:
    return jax.random.bits(jax.random.fold_in(key, number), shape, jnp.uint32)


def _own_log_rate(key: Array, course: Course, table: Tables) -> Int[Array, " N"]:
    """The rate of each desire by what does not change: taste, preferences, platforms never used."""
    draw = (_bits(key, _TASTE_SALT, table.log_rate.shape) >> 22).astype(jnp.int32)
    affinity = (jnp.asarray(fixed.NORMAL)[draw] * int(AFFINITY_SIGMA * 64)) >> 6
    drawn = jnp.stack([course.preferences == 1, course.preferences == -1]).astype(jnp.float32)
    liking = jnp.einsum("sp,spn->n", drawn, table.preference_weights, precision=_EXACT)
    avoided = course.avoided[table.source] * fixed.LOG_ZERO
    return table.log_rate + affinity - 16 + liking.astype(jnp.int32) + avoided


def _week(
    key: Array, course: Course, own_log_rate: Array, table: Tables, carry: _Carry, week: Weeks
) -> tuple[_Carry, Week]:
    bits = _bits(key, week.number, (SLOTS + 2, 4))
    stale = (bits[-1, 0] & 0xFFFF).astype(jnp.int32) < course.noise[5]
    lag = _STALE_DAYS[0] + (bits[-1, 1] % int(_STALE_DAYS[1] - _STALE_DAYS[0])).astype(jnp.int32)
    state = evolution.state_at(course, week.day)
    seen = jax.tree.map(
        lambda past, now: jnp.where(stale, past, now), evolution.state_at(course, week.day - lag), state
    )
    over = carry.trip.end_day < week.day
    trip = jax.tree.map(lambda following, now: jnp.where(over, following, now), carry.following, carry.trip)
    following = jax.tree.map(lambda none, planned: jnp.where(over, none, planned), no_trip(), carry.following)
    cdf, by_state = _need_cdf(own_log_rate, seen, carry, week, table)
    may = by_state > fixed.LOG_ZERO // 2
    happens, day, need, cause, reach = _ordinary(bits[:ORDINARY_SLOTS], course, state, carry, week, cdf, table)
    now = jnp.matmul(evolution.features(state).astype(jnp.float32), table.state_weights, precision=_EXACT)[need]
    outlived = by_state[need] - now.astype(jnp.int32) > _OUTLIVED  # much likelier for who the user was then
    cause = jnp.where((cause == table.kind_cause[need]) & outlived, _STALE, cause)
    place = jnp.full(ORDINARY_SLOTS, -1)
    away = (week.day + day >= trip.start_day) & (week.day + day <= trip.end_day)
    goes_out = (table.source[need] == _POI) | (table.source[need] == _DELIVERY)
    place = jnp.where(away & goes_out, trip.destination, place)
    happens &= ~(away & (table.fixed_place[need] == 1))
    plan = plan_trip(bits[-1], bits[-2], course, state, trip, following, week, table)
    forced = trip_sessions(bits[ORDINARY_SLOTS:-2], plan, trip, may, course, week, table)
    happens, day, need, cause, reach, place = (
        jnp.concatenate(pair) for pair in zip((happens, day, need, cause, reach, place), forced, strict=True)
    )
    left = Week(
        happens=happens,
        day=day.astype(jnp.int8),
        need=need.astype(jnp.int16),
        cause=cause.astype(jnp.int8),
        reach=reach.astype(jnp.int8),
        destination=place.astype(jnp.int16),
        tags=state.tags.astype(jnp.int8),
        city=state.city.astype(jnp.int16),
        child_months=state.child_months.astype(jnp.int16),
        held=jnp.sum(jnp.where(carry.held, 1 << jnp.arange(carry.held.shape[0]), 0)),
        plan=plan,
    )
    following = jax.tree.map(lambda new, old: jnp.where(plan.start_day >= 0, new, old), plan, following)
    carry = carry._replace(trip=trip, following=following)
    return _next(bits[-2, 0], carry, week, happens, day, need, cause, reach, table), left


def _need_cdf(
    own_log_rate: Array, seen: evolution.State, carry: _Carry, week: Weeks, table: Tables
) -> tuple[Int[Array, " N"], Int[Array, " N"]]:
    """Cumulative integer weights of the user's own desires this week, and the log factor that the state gives each.

    The weight fixed.UNIT is one session a year.
    """
    doublings = 32 - jax.lax.clz(carry.visits + 1)
    log_rate = own_log_rate + week.calendar_log + _RETURN_LIFT * doublings - _RETURN_BASE
    hot = evolution.features(seen).astype(jnp.float32)
    by_state = jnp.matmul(hot, table.state_weights, precision=_EXACT).astype(jnp.int32)
    log_rate += by_state
    log_rate += jnp.matmul(carry.held.astype(jnp.float32), table.interest_weights, precision=_EXACT).astype(jnp.int32)
    weights = jnp.asarray(fixed.WEIGHTS)[jnp.clip(log_rate, fixed.LOG_ZERO, fixed.LOG_TOP) - fixed.LOG_ZERO]
    since = jnp.clip(week.day + WEEK_DAYS // 2 - carry.last, 0, _PRESSURE_CADENCES * table.cadence_days)
    eighths = (since * table.eighths_a_day) >> RECIPROCAL_BITS
    pressure = jnp.minimum(4 * eighths**2, 256 + 5 * jnp.maximum(eighths - 8, 0))
    return _cumulative((weights * pressure) >> 8), by_state


def _cumulative(weights: Int[Array, " N"]) -> Int[Array, " N"]:
    """Cumulative sums: in blocks by doubling, then over blocks. A long scan of XLA's takes three times as long."""
    n = weights.shape[0]
    block = jnp.pad(weights, (0, -n % _BLOCK)).reshape(-1, _BLOCK)
    for step in (1 << np.arange(_BLOCK.bit_length() - 1)).tolist():
        block += jnp.pad(block[:, :-step], ((0, 0), (step, 0)))
    before = jnp.cumsum(block[:, -1]) - block[:, -1]
    return (block + before[:, None]).reshape(-1)[:n]


def _ordinary(
    bits: Array, course: Course, state: evolution.State, carry: _Carry, week: Weeks, cdf: Array, table: Tables
) -> tuple[Array, Array, Array, Array, Array]:
    """Ordinary sessions [ORDINARY_SLOTS]: whether each happens, its day, desire, cause and reach."""
    total = cdf[-1]
    # Expected sessions a slot: products only, so that every compiler rounds alike.
    chance = total.astype(jnp.float32) * np.float32(RATE_SCALE / fixed.UNIT**2 / 52.18 / ORDINARY_SLOTS * 2**24)
    activity = jnp.asarray(fixed.WEIGHTS)[course.log_activity - fixed.LOG_ZERO].astype(jnp.float32)
    chance = chance * activity * jnp.asarray(_ENGAGEMENT)[carry.engagement]
    happens = (bits[:, 0] >> 8).astype(jnp.float32) < chance
    u16 = (bits[:, 1] & 0xFFFF).astype(jnp.int32)
    chances = course.noise[:5].at[0].set((course.noise[0] * week.gift_factor) >> 4)
    kind = jnp.sum(u16[:, None] >= jnp.cumsum(chances)[None, :], axis=1)  # number in noise.FOREIGN, 5: own
    target = (bits[:, 2] >> 8).astype(jnp.float32) * (total.astype(jnp.float32) * np.float32(2.0**-24))
    target = jnp.minimum(target.astype(jnp.int32), total - 1)
    own = jnp.searchsorted(cdf, target, side="right", method="scan_unrolled").astype(jnp.int32)
    again = ((bits[:, 1] >> 16).astype(jnp.int32) < _INERTIA) & (jnp.arange(len(bits)) == 0)
    again &= (carry.open_need >= 0) & (
        cdf[carry.open_need] > jnp.where(carry.open_need > 0, cdf[carry.open_need - 1], 0)
    )
    own = jnp.where(again, carry.open_need, own)
    row = _foreign_row(kind, state, (bits[:, 0] & 0xFF).astype(jnp.int32))
    other = table.foreign[row, (bits[:, 2] & (noise.N_DRAWS - 1)).astype(jnp.int32)]
    need = jnp.clip(jnp.where(kind == 5, own, other), 0, cdf.shape[0] - 1)
    owed = (bits[:, 0] & 0xFFFF).astype(jnp.int32) < week.hot[need]
    cause = jnp.where(kind == 5, table.kind_cause[need], jnp.asarray(_FOREIGN)[jnp.minimum(kind, 4)])
    cause = jnp.where((kind == 5) & owed & (table.kind_cause[need] == 0), _HOT, cause)
    day = jnp.sum((bits[:, 3, None] >> 18).astype(jnp.int32) >= week.day_cdf[need].astype(jnp.int32), axis=1)
    day = jnp.minimum(day, WEEK_DAYS - 1)
    reach = _reach((bits[:, 3] & 0xFFFF).astype(jnp.int32), need, kind, week.order_factor[day], course, table)
    happens &= (total > 0) & (course.avoided[table.source[need]] == 0)
    slot = jnp.arange(len(bits))
    nowhere = jnp.int32(cdf.shape[0])
    orders = jnp.where(happens & (reach == _ORDERING) & (kind == 5), need, nowhere)
    first = jnp.full(cdf.shape, len(bits)).at[orders].min(slot, mode="drop")  # slot of the week's first order
    satisfied = (first[need] < slot) & (table.cadence_days[need] > WEEK_DAYS) & (kind == 5)
    return happens & ~satisfied, day, need, cause, reach


def _foreign_row(kind: Array, state: evolution.State, u8: Array) -> Array:
    """Row of the table of foreign desires: gift, whom one buys for, who shares the account, misclick, curiosity."""
    gender, age, marital, child = (state.tags[_TAG[n]] for n in ("gender", "age_band", "marital_status", "child_stage"))
    man, woman, small, elder = (noise.FIRST_COMPANION + n for n in range(4))
    spouse = jnp.where(gender == 0, woman, man)
    at_school = (child >= 5) & (child <= 6)
    couple = (marital == 1) | (marital == 2)
    shares = jnp.where(at_school & (u8 < 102), small, jnp.where(couple, spouse, elder))
    shares = jnp.where(u8 > 217, elder, shares)
    bought_for = jnp.where(couple & (u8 < 128), spouse, elder)
    curious = jnp.asarray(noise.EXPLORER_ROW)[age]
    return jnp.select([kind == 0, kind == 1, kind == 2, kind == 3], [0, bought_for, shares, 1], curious)


def _reach(u16: Array, need: Array, kind: Array, order_factor: Array, course: Course, table: Tables) -> Array:
    """How far each session gets: browsing, searching or ordering."""
    source = table.source[need]
    temper = 224 + (course.impulse >> 2)  # in 1/256: impulsive people order more readily
    orders = jnp.asarray(_ORDERS)[source]
    shopping = (((orders * temper) >> 8) * order_factor) >> 8
    orders = jnp.where(source == _SHOP, shopping, orders)
    for_other = (kind == 0) | (kind == 1)
    orders = jnp.where(for_other & (source == _SHOP), jnp.maximum(orders, _GIFT_ORDERS), orders)
    never = (kind == 3) | (kind == 4) | (table.browses[need] == 1) | (table.planned[need] == 1)
    orders = jnp.where(never, 0, orders)
    searches = jnp.where((kind == 3) | (kind == 4), 0, jnp.asarray(_SEARCHES)[source])
    return jnp.where(u16 < orders, _ORDERING, jnp.where(u16 < jnp.maximum(searches, orders), _SEARCHING, _BROWSING))


def _next(
    word: Array,
    carry: _Carry,
    week: Weeks,
    happens: Array,
    day: Array,
    need: Array,
    cause: Array,
    reach: Array,
    table: Tables,
) -> _Carry:
    """What the week leaves for the next: satisfied needs, drifted tastes, engagement."""
    n, n_interests = carry.last.shape[0], carry.intensity.shape[0]
    own = happens & ~jnp.any(cause[:, None] == jnp.asarray(_FOREIGN[:4])[None, :], axis=1)
    nowhere = jnp.int32(n)
    done = jnp.where(own & (reach == _ORDERING), need, nowhere)
    last = carry.last.at[done].max(week.day + day, mode="drop")
    visits = jnp.minimum(carry.visits.at[jnp.where(own, need, nowhere)].add(1, mode="drop"), 255)
    about = table.interest_of_need[need]
    month = carry.month.at[:n_interests].add(
        jnp.sum((about[:, None] == jnp.arange(n_interests)[None, :]) & own[:, None], axis=0)
    )
    month = month.at[n_interests].add(jnp.sum(own))
    lift = jnp.where(carry.held, _LIFT_HELD, _LIFT_NEW) * jnp.minimum(month[:-1], _LIFT_SESSIONS)
    drifted = jnp.clip(carry.intensity + lift - jnp.minimum(_WEAR * month[-1], _WEAR_MOST), 0, 1000)
    month_over = week.number % MONTH_WEEKS == MONTH_WEEKS - 1
    abandoned = own & (reach == _SEARCHING) & (table.source[need] == _SHOP) & (table.browses[need] == 0)
    latest = jnp.argmax(jnp.where(abandoned, day + 1, 0))
    moved = jnp.sum((word & 0xFFFF).astype(jnp.int32) >= jnp.asarray(_ENGAGEMENT_CDF)[carry.engagement])
    return carry._replace(
        engagement=jnp.minimum(moved, len(_ENGAGEMENT) - 1).astype(jnp.int32),
        last=last,
        visits=jnp.where(month_over, visits - (visits + 7 >> 3), visits),
        intensity=jnp.where(month_over, drifted, carry.intensity),
        held=jnp.where(month_over, (drifted >= HELD) | (carry.held & (drifted >= DROPPED)), carry.held),
        month=jnp.where(month_over, 0, month),
        open_need=jnp.where(jnp.any(abandoned), need[latest], -1),
    )
