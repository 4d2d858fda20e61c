"""Batches of simulated users: life course, sessions, events and truth of user i from the seed and i alone.

Paper: §2.1.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from usergpt_jax.simulate import calendar, dynamics, emit, evolution, persona


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one batch of users left.

    Attributes:
      user_ids: ids, in order.
      course: life courses, arrays [U, ...].
      state: states at as_of, arrays [U, ...].
      events: the events of these users.
    """

    user_ids: list[str]
    course: persona.Course
    state: evolution.State
    events: emit.Events


def simulate_batches(
    *, n_users: int, users_per_batch: int, seed: int, start_day: int, as_of_day: int
) -> Iterator[Batch]:
    """Simulates users 0 to `n_users` - 1 over the epoch days [start_day, as_of_day), batch by batch.

    Args:
      n_users: at least 1.
      users_per_batch: decides memory, never results.
      seed: of the whole population.
      start_day: first epoch day of the log.
      as_of_day: epoch day after the last.
    """
    days = np.arange(start_day, as_of_day, dtype=np.int32)
    marks = calendar.day_features(start_day, len(days))
    discount = calendar.sale_discount(marks)
    table = dynamics.tables()
    simulate = _compiled()
    size = min(users_per_batch, n_users)
    for first in range(0, n_users, size):
        numbers = np.arange(first, first + size)  # the last batch is simulated in full and cut: one compilation
        count = min(size, n_users - first)
        made = simulate(jax.random.key(seed), jnp.asarray(numbers), jnp.asarray(days), jnp.asarray(marks), table)
        course, state, sessions = jax.tree.map(functools.partial(_first, count), made)
        user_ids = [f"u{number:07d}" for number in numbers[:count]]
        yield Batch(user_ids, course, state, emit.flatten(sessions, start_day, discount))


def _first(count: int, array: jax.Array) -> np.ndarray:
    return np.asarray(array)[:count]


@functools.cache
def _compiled() -> Any:
    def simulate(root: jax.Array, numbers: jax.Array, days: jax.Array, marks: jax.Array, table: dynamics.Tables):
        def one(number: jax.Array):
            course_key, log_key = jax.random.split(jax.random.fold_in(root, number))
            as_of_day = days[-1] + 1
            course = persona.sample_course(course_key, as_of_day)
            sessions = dynamics.simulate_user(log_key, course, days, marks, table)
            return course, evolution.state_at(course, as_of_day), sessions

        return jax.vmap(one)(numbers)

    return jax.jit(simulate)
