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


def test_the_first_step_learns_and_the_rate_rises_to_its_peak():
    optimizer = make_optimizer(OptimizerConfig(1e-2, 0.5, 0.1, 0.0, 1.0), 4)
    params = {"w": jnp.ones(3)}
    state, steps = init_state(optimizer, params), []
    for _ in range(4):
        updates, state = optimizer.update({"w": jnp.ones(3)}, state, params)
        steps.append(-float(updates["w"][0]))
    # Adam moves by the rate when gradients are alike: 1/3, 2/3 and all of it, then on the way down to a tenth.
    np.testing.assert_allclose(steps[:3], [1e-2 / 3, 2e-2 / 3, 1e-2], rtol=1e-4)
    assert 1e-3 < steps[3] < 1e-2


def test_moments_of_parameters_with_one_last_name_are_told_apart():
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, fsdp=2))
    split, whole = (jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in (("fsdp",), ()))
    params = {"z": {"q": jax.device_put(jnp.ones((2, 3)), split)}, "q": jax.device_put(jnp.ones(3), whole)}
    (adam,) = [
        part
        for part in jax.tree.leaves(init_state(OPTIMIZER, params), is_leaf=lambda x: hasattr(x, "mu"))
        if hasattr(part, "mu")
    ]
    assert (adam.mu["z"]["q"].sharding, adam.mu["q"].sharding) == (split, whole)
