import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.optimizer import OptimizerConfig, init_state, make_optimizer, state_shapes
from usergpt_jax.models import qwen3

ONE = mesh_lib.MeshConfig(data=1, fsdp=1, tensor=1, context=1)
OPTIMIZER = make_optimizer(OptimizerConfig(1e-3, 0.1, 0.1, 0.01, 1.0), 10)


@pytest.mark.parametrize("change", [{}, {"fsdp": 4, "tensor": 2}], ids=["1", "4x2"])
def test_a_state_is_split_like_its_parameters(change):
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, **change))
    params = qwen3.init_sharded(tiny.CONFIG, tiny.VOCAB, jax.random.key(0), mesh)
    state, shapes = init_state(OPTIMIZER, params), state_shapes(OPTIMIZER, params)
    found, expected = ([leaf.sharding for leaf in jax.tree.leaves(tree)] for tree in (state, shapes))
    assert found == expected
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, jnp.zeros(leaf.shape)), state)
    (adam,) = [part for part in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(part, "mu")]
    for moments in (adam.mu, adam.nu):
        assert jax.tree.map(lambda leaf: leaf.sharding, moments) == jax.tree.map(lambda leaf: leaf.sharding, params)
    assert adam.count.sharding.is_fully_replicated
    assert adam.count.sharding.device_set == params["embed"].sharding.device_set


def test_parameters_without_a_mesh_have_a_state_beside_them():
    params = {"w": jnp.ones((2, 3))}
    state = init_state(OPTIMIZER, params)
    assert {leaf.sharding for leaf in jax.tree.leaves(state)} == {params["w"].sharding}
