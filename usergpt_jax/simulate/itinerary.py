"""A user's trips: planned two weeks ahead, booked in the week of the plan, lived through at the destination.

Paper: §2.1 (environment: travel moves the user).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from usergpt_jax import schema
from usergpt_jax.simulate import evolution, fixed, noise, tools, travel
from usergpt_jax.simulate.fixed import Column
from usergpt_jax.simulate.persona import Course
from usergpt_jax.simulate.week_tables import WEEK_DAYS, Tables, Weeks
from usergpt_jax.tags import HPR18

BOOKING_SLOTS, AWAY_SLOTS = 2, 2
# Chance that each booking of a plan is made, and that each visit of a week away takes place.
_TAKEN = fixed.chance(np.array([1.0, 0.6, 0.85, 0.6]))
_NEVER = -100
_WEEK, _THURSDAY = 7, 3  # epoch day 0 was a Thursday, counted from Monday
_BUSINESS, _LEISURE, _NEAR = (travel.KINDS.index(name) for name in ("business", "leisure", "near"))
_TRAVEL = schema.SOURCES.index("travel")
_PATTERN, _AGE_BAND, _OCCUPATION = (
    evolution.STATE_TAGS.index(name) for name in ("travel_pattern", "age_band", "occupation")
)
_STUDENT = HPR18["occupation"].values.index("student")
_ORDERING = tools.REACHES.index("ordering")


class Trip(NamedTuple):
    """A trip: first and last epoch day, destination number, kind; days below 0 when there is none."""

    start_day: Column
    end_day: Column
    destination: Column
    kind: Column


def no_trip() -> Trip:
    """No trip at all."""
    return Trip(*(jnp.int32(value) for value in (_NEVER, _NEVER, 0, 0)))


def plan_trip(
    bits: Array,
    more: Array,
    course: Course,
    state: evolution.State,
    trip: Trip,
    following: Trip,
    week: Weeks,
    table: Tables,
) -> Trip:
    """The trip planned this week, if any: it starts LEAD_WEEKS later."""
    u = [(word & 0xFFFF).astype(jnp.int32) for word in (bits[2], bits[2] >> 16, bits[3], bits[3] >> 16, more[1])]
    pattern = state.tags[_PATTERN]
    first_week = week.day + travel.LEAD_WEEKS * WEEK_DAYS
    kind = _draw(table.kind_cdf[pattern], u[1])
    minor, student = state.tags[_AGE_BAND] == 0, state.tags[_OCCUPATION] == _STUDENT
    kind = jnp.where(minor & (kind > 0), _NEAR, kind)  # nobody under 18 travels far alone
    kind = jnp.where(student & (kind == _BUSINESS), _LEISURE, kind)
    at_home = course.hometown_city == state.city
    kind = jnp.where((kind == 0) & at_home, _NEAR, kind)
    away = _draw(table.away_cdf[jnp.clip(kind - 1, 0, 2)], u[2])
    near = _draw(table.near_cdf[table.city_province[state.city]], u[2])
    where = jnp.select([kind == 0, kind == _NEAR], [course.hometown_city, near], away)
    days = jnp.asarray(travel.DAYS)[kind]
    length = days[0] + (u[3] * (days[1] - days[0] + 1) >> 16)
    start = first_week + _draw(week.trip_day_cdf[pattern], u[4])
    to_monday = _WEEK - (start + _THURSDAY) % _WEEK
    start += jnp.where((kind == _BUSINESS) & (to_monday <= 2), to_monday, 0)  # no business trip starts on a weekend
    starts = (u[0] < week.trip_chance[pattern]) & (trip.end_day < first_week) & (where != state.city)
    starts &= (following.start_day < 0) & (course.avoided[_TRAVEL] == 0)
    nothing = jnp.int32(_NEVER)
    return Trip(
        start_day=jnp.where(starts, start, nothing),
        end_day=jnp.where(starts, start + length - 1, nothing),
        destination=where.astype(jnp.int32),
        kind=kind.astype(jnp.int32),
    )


def trip_sessions(
    bits: Array, plan: Trip, trip: Trip, may: Array, course: Course, week: Weeks, table: Tables
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Sessions that a trip brings: bookings in the week of the plan, visits on the days away."""
    draw = (bits[:, 0] & (noise.N_DRAWS - 1)).astype(jnp.int32)
    books = jnp.arange(len(bits)) < BOOKING_SLOTS
    need = jnp.where(books, table.booking[plan.kind, course.consumption_level, draw], table.visiting[draw])
    day = jnp.where(books, (bits[:, 1] % WEEK_DAYS).astype(jnp.int32), 0)
    low, high = (jnp.clip(edge - week.day, -1, WEEK_DAYS) for edge in (trip.start_day, trip.end_day))
    low, high = jnp.maximum(low, 0), jnp.minimum(high, WEEK_DAYS - 1)
    n_days = jnp.maximum(high - low + 1, 0)
    out = low + ((bits[:, 1] & 0xFFFF).astype(jnp.int32) * n_days >> 16)
    chosen = (bits[:, 2] & 0xFFFF).astype(jnp.int32) < _TAKEN
    happens = chosen & jnp.where(books, plan.start_day >= 0, n_days > 0)
    happens &= may[need] & (course.avoided[table.source[need]] == 0)
    return (
        happens,
        jnp.where(books, day, out),
        need,
        table.kind_cause[need],
        jnp.full(len(bits), _ORDERING),
        jnp.where(books, plan.destination, trip.destination),
    )


def _draw(cdf: Array, u16: Array) -> Array:
    return jnp.minimum(jnp.sum(cdf <= u16), cdf.shape[0] - 1).astype(jnp.int32)
