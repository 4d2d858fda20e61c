"""What events are judged against: who the users are, where they live, when they travel, and their state of any day."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from usergpt_jax.simulate import evolution, persona
from usergpt_jax.simulate.engine import Trips

_FIRST_BUCKET = 1024

# Which of `evolution.features` hold for users [M] on epoch days [M]: int [M, F].
FeaturesAt = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class World:
    """What the events of a batch are judged against.

    Attributes:
      start_day: first epoch day of the log; the dynamics' weeks start here.
      as_of_day: epoch day after the last.
      birth_day: of each user [U].
      cities: city numbers before, between and after the moves [U, M + 1].
      move_days: [U, M].
      avoided: 1 for each source that the user never uses [U, 5].
      trips: of all users.
      features_at: the state of users on days.
    """

    start_day: int
    as_of_day: int
    birth_day: np.ndarray
    cities: np.ndarray
    move_days: np.ndarray
    avoided: np.ndarray
    trips: Trips
    features_at: FeaturesAt


def world_of(course: persona.Course, trips: Trips, start_day: int, as_of_day: int) -> World:
    """The world of a batch of life courses and their trips."""
    return World(
        start_day=start_day,
        as_of_day=as_of_day,
        birth_day=np.asarray(course.birth_day),
        cities=np.asarray(course.cities),
        move_days=np.asarray(course.move_days),
        avoided=np.asarray(course.avoided),
        trips=trips,
        features_at=features_of(course),
    )


def features_of(course: persona.Course) -> FeaturesAt:
    """Looks states up in life courses; rows are padded to powers of two, so that few shapes are ever compiled."""

    def look_up(user: np.ndarray, day: np.ndarray) -> np.ndarray:
        n_rows = len(user)
        size = max(_FIRST_BUCKET, 1 << (n_rows - 1).bit_length()) if n_rows else _FIRST_BUCKET
        rows, days = np.zeros((2, size), np.int32)
        rows[:n_rows], days[:n_rows] = user, day
        return np.asarray(_features()(course, rows, days))[:n_rows]

    return look_up


@functools.cache
def _features() -> Any:
    def look_up(course: persona.Course, rows: jax.Array, days: jax.Array) -> jax.Array:
        chosen = jax.tree.map(lambda values: jnp.asarray(values)[rows], course)
        return jax.vmap(lambda one, day: evolution.features(evolution.state_at(one, day)))(chosen, days)

    return jax.jit(look_up)
