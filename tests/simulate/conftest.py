import datetime

import jax
import numpy as np
import pytest

from usergpt_jax.simulate import calendar, catalog, engine, evolution, persona

START, AS_OF = "2023-07-01", "2025-07-01"


@pytest.fixture(scope="session")
def days() -> tuple[int, int]:
    start, as_of = (calendar.epoch_day(datetime.date.fromisoformat(text)) for text in (START, AS_OF))
    return start, as_of


@pytest.fixture(scope="session")
def batch(days: tuple[int, int]) -> engine.Batch:
    """160 users over two years, simulated once for all tests."""
    start, as_of = days
    (made,) = engine.simulate_batches(n_users=160, users_per_batch=160, seed=3, start_day=start, as_of_day=as_of)
    return made


@pytest.fixture(scope="session")
def crowd(days: tuple[int, int]) -> tuple[persona.Course, evolution.State]:
    """4000 life courses and their states at as_of, without logs."""
    _, as_of = days

    def one(number: jax.Array):
        course = persona.sample_course(jax.random.fold_in(jax.random.key(1), number), jax.numpy.int32(as_of))
        return course, evolution.state_at(course, jax.numpy.int32(as_of))

    made = jax.jit(jax.vmap(one))(jax.numpy.arange(4000))
    return jax.tree.map(np.asarray, made)


@pytest.fixture(scope="session")
def leaf_names(batch: engine.Batch) -> np.ndarray:
    return np.array(catalog.load().leaves)[batch.events.leaf]
