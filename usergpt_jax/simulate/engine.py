"""Batches of simulated users: all that is made of user i follows from seed, locale, days of the log and i alone.

The host draws life courses; the device scans the weeks and walks the sessions; the host writes down what was left.

Paper: §2.1.
"""

import dataclasses
import datetime
import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from usergpt_jax.simulate import (
    calendar,
    dynamics,
    emit,
    evolution,
    itinerary,
    persona,
    places,
    sessions,
    tools,
    week_tables,
)
from usergpt_jax.simulate.week_tables import WEEK_DAYS

MAX_INTERESTS = 5
_SESSIONS_AT_ONCE, _EVENTS_AT_ONCE = 1 << 15, 1 << 16  # of one call on the device; decide speed, never results


@dataclasses.dataclass(frozen=True)
class Trips:
    """Trips of a batch, arrays over trips: user row, first day, first day back, destination and kind (travel.KINDS)."""

    user: np.ndarray
    start_day: np.ndarray
    end_day: np.ndarray
    destination: np.ndarray
    kind: np.ndarray


@dataclasses.dataclass(frozen=True)
class InterestChanges:
    """Interests taken up or dropped, arrays over changes: user row, epoch day, interest, and whether it was gained."""

    user: np.ndarray
    day: np.ndarray
    interest: np.ndarray
    gained: np.ndarray


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one batch of users left.

    Attributes:
      user_ids: ids, in order.
      course: life courses, arrays [U, ...].
      state: states at as_of, arrays [U, ...].
      interests: numbers of the interests held at as_of, strongest first, -1 where none [U, MAX_INTERESTS].
      trips: trips that begin before as_of.
      interest_changes: how interests changed.
      events: the events of these users.
    """

    user_ids: list[str]
    course: persona.Course
    state: evolution.State
    interests: np.ndarray
    trips: Trips
    interest_changes: InterestChanges
    events: emit.Events


class Engine:
    """Simulates users over the epoch days [start_day, as_of_day) of a locale.

    Args:
      locale: market.
      seed: of the whole population.
      start_day: first epoch day of the log.
      as_of_day: epoch day after the last.
      devices: to spread users over; all local devices by default. They decide speed, never results.
    """

    def __init__(
        self, *, locale: str, seed: int, start_day: int, as_of_day: int, devices: Sequence[Any] | None = None
    ) -> None:
        self._locale, self._seed = locale, seed
        self._start_day, self._as_of_day = start_day, as_of_day
        earliest = calendar.epoch_day(datetime.date(calendar.FIRST_YEAR, 1, 1))
        warm_up = min(dynamics.WARM_UP_WEEKS, (start_day - earliest) // WEEK_DAYS)
        self._first_day = start_day - WEEK_DAYS * warm_up
        days = calendar.load(locale, self._first_day, as_of_day - self._first_day)
        self._profile, self._discount = days.profile, days.discount
        mesh = jax.sharding.Mesh(np.array(devices or jax.local_devices()), ("users",))
        self._n_devices = mesh.size
        self._rows = NamedSharding(mesh, PartitionSpec("users"))
        same = NamedSharding(mesh, PartitionSpec())
        self._weeks = jax.device_put(week_tables.week_tables(locale, seed, self._first_day, as_of_day), same)
        self._table = jax.device_put(week_tables.device_tables(locale), same)
        self._shelf = jax.device_put(sessions.device_shelf(locale), same)

    def simulate(self, numbers: np.ndarray, pad_to: int = 0) -> Batch:
        """The users of these numbers; `pad_to` keeps the compiled shape of a full batch for a smaller one."""
        n_users = len(numbers)
        size = max(n_users, pad_to)
        size += -size % self._n_devices
        padded = np.pad(numbers, (0, size - n_users), mode="edge")
        course = persona.sample_courses(persona.user_uniforms(self._seed, padded), self._as_of_day, self._locale)
        keys = jax.device_put(_user_keys(self._seed, jnp.asarray(padded)), self._rows)
        on_device = jax.device_put(course, self._rows)
        week, intensity, state = _simulate()(keys, on_device, self._weeks, self._table, jnp.int32(self._as_of_day))
        course, week, intensity, state = _on_host((course, week, intensity, state), n_users)
        return Batch(
            user_ids=[f"u{number:07d}" for number in numbers],
            course=course,
            state=state,
            interests=_strongest(intensity),
            trips=self._trips(week.plan),
            interest_changes=self._interest_changes(week.held),
            events=self._events(keys, course, week),
        )

    def _events(self, keys: jax.Array, course: persona.Course, week: dynamics.Week) -> emit.Events:
        chosen = self._chosen(course, week)
        made = [self._walks(keys, part) for part in _slices(chosen, _SESSIONS_AT_ONCE)]
        details, of_session, call, item = _joined(made)
        before = np.arange(len(made)) * _SESSIONS_AT_ONCE
        return emit.make_events(
            chosen,
            details,
            of_session + np.repeat(before, [len(columns[1]) for columns in made]).astype(np.int32),
            call,
            item,
            start_day=self._first_day,
            as_of_day=self._as_of_day,
            discount=self._discount,
            locale=self._locale,
        )

    def _walks(
        self, keys: jax.Array, chosen: sessions.Sessions
    ) -> tuple[sessions.Details, np.ndarray, np.ndarray, sessions.Items]:
        """Sessions in detail; the session and the call of each of their events; and its item."""
        n_parts = places.load(self._locale).n_parts
        padded = jax.device_put(_padded(chosen, _SESSIONS_AT_ONCE, self._n_devices), self._rows)
        on_device = sessions.detail(keys, padded, self._shelf, n_parts)
        details = _on_host(on_device, len(chosen.user))
        emits = tools.load(self._locale).emits
        row, call = (values.astype(np.int32) for values in np.nonzero(emits[details.calls] >= 0))
        made = []
        for at in _slices((row, details.views[row, call]), _EVENTS_AT_ONCE):
            padded = jax.device_put(_padded(at, _EVENTS_AT_ONCE, self._n_devices), self._rows)
            item = sessions.items(on_device, self._shelf.n_variants, *padded)
            made.append(_on_host(item, len(at[0])))
        return details, row, call, _joined(made)

    def _chosen(self, course: persona.Course, week: dynamics.Week) -> sessions.Sessions:
        """The sessions that happen, by user and time to within a day."""
        day = self._first_day + np.arange(week.day.shape[1])[:, None] * WEEK_DAYS + week.day
        happens = week.happens & (day >= self._start_day) & (day < self._as_of_day)
        user, number, slot = np.nonzero(happens)
        day = number * WEEK_DAYS + week.day[user, number, slot]
        order = np.lexsort((day, user))
        user, number, slot, day = (values[order].astype(np.int32) for values in (user, number, slot, day))
        return sessions.Sessions(
            user=user,
            week=number,
            slot=slot,
            day=day,
            need=week.need[user, number, slot],
            cause=week.cause[user, number, slot],
            reach=week.reach[user, number, slot],
            destination=week.destination[user, number, slot],
            profile=self._profile[day].astype(np.int8),
            tags=week.tags[user, number],
            city=week.city[user, number],
            child_months=week.child_months[user, number],
            home_draw=course.home_draw[user],
            work_draw=course.work_draw[user],
            loyalty=course.loyalty[user],
            hometown_city=course.hometown_city[user],
        )

    def _trips(self, plan: itinerary.Trip) -> Trips:
        user, number = np.nonzero((plan.start_day >= 0) & (plan.start_day < self._as_of_day))
        start, end, destination, kind = (values[user, number] for values in plan)
        return Trips(user=user, start_day=start, end_day=end + 1, destination=destination, kind=kind)

    def _interest_changes(self, held: np.ndarray) -> InterestChanges:
        """From the bits of the interests held in each week [U, W]."""
        changed = held[:, 1:] ^ held[:, :-1]
        user, number = np.nonzero(changed)
        bits = (changed[user, number][:, None] >> np.arange(16)) & 1
        row, interest = np.nonzero(bits)
        user, number = user[row], number[row] + 1
        return InterestChanges(
            user=user,
            day=self._first_day + WEEK_DAYS * number,
            interest=interest,
            gained=((held[user, number] >> interest) & 1).astype(bool),
        )


@functools.cache
def _simulate() -> Any:
    def one(
        key: jax.Array,
        course: persona.Course,
        weeks: week_tables.Weeks,
        table: week_tables.Tables,
        as_of_day: jax.Array,
    ):
        week, intensity = dynamics.simulate_user(key, course, weeks, table)
        return week, intensity, evolution.state_at(course, as_of_day)

    return jax.jit(jax.vmap(one, in_axes=(0, 0, None, None, None)))


@functools.partial(jax.jit, static_argnums=0)
def _user_keys(seed: int, numbers: jax.Array) -> jax.Array:
    root = jax.random.fold_in(jax.random.key(seed), 1)  # life courses draw from the seed's own key
    return jax.vmap(functools.partial(jax.random.fold_in, root))(numbers)


def _strongest(intensity: np.ndarray) -> np.ndarray:
    """Numbers of the strongest interests with an intensity above 0 [U, MAX_INTERESTS], -1 where there are fewer."""
    order = np.argsort(-intensity, axis=1, kind="stable")[:, :MAX_INTERESTS]
    return np.where(np.take_along_axis(intensity, order, axis=1) > 0, order, -1)


def _slices(columns: Any, size: int) -> list[Any]:
    """Columns cut into slices of `size` rows, at least one."""
    n = len(jax.tree.leaves(columns)[0])
    return [jax.tree.map(operator.itemgetter(slice(at, at + size)), columns) for at in range(0, max(n, 1), size)]


def _padded(columns: Any, size: int, n_devices: int) -> Any:
    """Columns with zeros up to `size` rows and a multiple of the devices: one shape, so one compilation."""
    size += -size % n_devices

    def pad(values: np.ndarray) -> np.ndarray:
        return np.pad(values, [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1))

    return jax.tree.map(pad, columns)


def _on_host(columns: Any, n: int) -> Any:
    """The first rows as numpy arrays."""
    return jax.tree.map(lambda values: np.asarray(values)[:n], columns)


def _joined(parts: list[Any]) -> Any:
    """Columns of several parts, one after another."""
    return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)
