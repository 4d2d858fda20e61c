import datetime
from typing import Any

import jax
import numpy as np
import pytest

START, AS_OF = "2023-07-01", "2025-07-01"


@pytest.fixture(scope="session")
def days() -> tuple[int, int]:
    from usergpt_jax.simulate import calendar

    start, as_of = (calendar.epoch_day(datetime.date.fromisoformat(text)) for text in (START, AS_OF))
    return start, as_of


@pytest.fixture(scope="session")
def batch(days: tuple[int, int]) -> Any:
    """160 users over two years, simulated and checked once for all tests."""
    from usergpt_jax.simulate import engine

    return engine.Engine(locale="cn", seed=3, start_day=days[0], as_of_day=days[1]).simulate(np.arange(160))


@pytest.fixture(scope="session")
def crowd(days: tuple[int, int]) -> Any:
    """4000 life courses and their states at as_of, without logs."""
    from usergpt_jax.simulate import evolution, persona

    course = persona.sample_courses(persona.user_uniforms(1, np.arange(4000)), days[1], "cn")
    state = jax.vmap(evolution.state_at, in_axes=(0, None))(course, jax.numpy.int32(days[1]))
    return course, jax.tree.map(np.asarray, state)


@pytest.fixture(scope="session")
def leaf_names(batch: Any) -> np.ndarray:
    from usergpt_jax.simulate import catalog

    return np.array(catalog.load("cn").leaves)[batch.events.leaf]
