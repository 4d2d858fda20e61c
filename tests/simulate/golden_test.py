"""The simulator's output as one number: equal on every machine, device count and version of jax.

A change of the simulator or its data changes the number on purpose; the failing test prints the new one. A change of
nothing but the machine, Python or jax must not.
"""

import dataclasses
import hashlib

import numpy as np
import pytest

from usergpt_jax.simulate import emit, engine

DIGESTS = {"cn": "92afc4ea9edbab6b", "us": "7941a3c6700316c5"}


@pytest.mark.parametrize("locale", sorted(DIGESTS))
def test_histories_are_the_same_everywhere(locale):
    batch = engine.Engine(locale=locale, seed=5, start_day=19_600, as_of_day=19_720).simulate(np.arange(16))
    digest = hashlib.sha256()
    for field in dataclasses.fields(emit.Events):
        digest.update(np.ascontiguousarray(getattr(batch.events, field.name)).astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == DIGESTS[locale]
