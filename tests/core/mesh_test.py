import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.compiled import collective_bytes
from usergpt_jax.models import logprob, qwen3, tree_attention

ONE = mesh_lib.MeshConfig(data=1, fsdp=1, tensor=1, context=1)


def loss(params, trees):
    hidden = tree_attention.forward_tree(params, tiny.CONFIG, **trees)
    flat = hidden[:, :, :-1].reshape(-1, tiny.CONFIG.d_model)
    out = logprob.token_logprobs(flat, qwen3.head(params), trees["branches"][:, :, 1:].reshape(-1), 16)
    return -jnp.mean(jnp.where(trees["branch_mask"][:, :, 1:].reshape(-1), out.logprob - 0.1 * out.entropy, 0.0))


@functools.cache
def step_on(config):
    """Loss and gradients of one step on a mesh, brought to the host."""
    mesh = mesh_lib.make_mesh(config)
    with jax.set_mesh(mesh):
        params = qwen3.init_sharded(tiny.CONFIG, tiny.VOCAB, jax.random.key(0), mesh)
        trees = mesh_lib.shard_batch(mesh, tiny.trees(batch=8))
        return jax.device_get(jax.jit(jax.value_and_grad(loss))(params, trees)), params


@pytest.mark.parametrize(
    "change",
    [{"data": 4, "fsdp": 2}, {"data": 2, "fsdp": 2, "tensor": 2}, {"tensor": 2, "context": 2}],
    ids=["4x2", "2x2x2", "tensor2_context2"],
)
def test_a_mesh_changes_neither_loss_nor_gradients(change):
    (expected, expected_grads), _ = step_on(ONE)
    (found, found_grads), params = step_on(dataclasses.replace(ONE, **change))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found_grads, expected_grads)
    gate = params["layers"]["gate"]  # [L, D, F] over (-, fsdp, tensor)
    split = gate.addressable_shards[0].data.shape
    assert split == (3, 16 // change.get("fsdp", 1), 32 // change.get("tensor", 1))


def test_initial_parameters_do_not_depend_on_the_mesh():
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, fsdp=4, tensor=2))
    sharded = qwen3.init_sharded(tiny.CONFIG, tiny.VOCAB, jax.random.key(0), mesh)
    plain = jax.jit(qwen3.init, static_argnums=(0, 1))(tiny.CONFIG, tiny.VOCAB, jax.random.key(0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), jax.device_get(sharded), plain)


def test_an_undivided_dimension_is_refused_by_name():
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, tensor=4))
    with pytest.raises(mesh_lib.MeshError, match=r"layers\.k: dimension 'kv_heads' of size 2 .* tensor = 4"):
        qwen3.param_shardings(tiny.CONFIG, tiny.VOCAB, mesh)


def test_an_undivided_batch_is_refused_by_name():
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, data=2, fsdp=2))
    with pytest.raises(mesh_lib.MeshError, match=r"trunk: dimension 'batch' of size 6"):
        mesh_lib.shard_batch(mesh, {"trunk": jnp.zeros((6, 2))})


def test_a_mesh_larger_than_the_machine_is_refused():
    with pytest.raises(mesh_lib.MeshError, match="needs 16 devices, this program sees 8"):
        mesh_lib.make_mesh(dataclasses.replace(ONE, data=16))


def test_an_axis_below_one_is_refused():
    with pytest.raises(mesh_lib.MeshError, match=r"config\.mesh\.fsdp: expected at least 1, got 0"):
        mesh_lib.make_mesh(dataclasses.replace(ONE, fsdp=0))


def test_devices_that_are_no_block_of_a_pod_are_refused_in_one_line(monkeypatch):
    def three_of_a_torus(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(mesh_lib.mesh_utils, "create_device_mesh", three_of_a_torus)
    with pytest.raises(mesh_lib.MeshError, match=r"fsdp 3 x .* does not fit 3 of 8 devices as they are wired"):
        mesh_lib.make_mesh(dataclasses.replace(ONE, fsdp=3))


def test_every_rule_names_mesh_axes():
    assert {axis for axes in mesh_lib.RULES.values() for axis in axes} <= set(mesh_lib.AXES)


def test_a_function_on_shards_sees_its_own_part_alone():
    def share(x):
        return x / x.sum()

    x = jnp.arange(1.0, 17.0).reshape(8, 2)
    apply = lambda: mesh_lib.on_shards(share, (("batch", None),), ("batch", None))(x)  # noqa: E731
    np.testing.assert_allclose(apply().sum(), 1.0, rtol=1e-6)  # without a mesh: the whole array
    with jax.set_mesh(mesh_lib.make_mesh(mesh_lib.MeshConfig(2, 2, 1, 1))):
        found = jax.jit(apply)()
    np.testing.assert_allclose(found, jax.vmap(share)(x.reshape(4, 2, 2)).reshape(8, 2), rtol=1e-6)


def test_merged_dimensions_stay_on_their_devices():
    x = jnp.arange(4 * 6 * 3.0).reshape(4, 6, 3)
    axes = ("batch", "sequence", None)
    assert mesh_lib.merge(x, axes).tolist() == x.reshape(-1).tolist()  # without a mesh: in their order
    mesh = mesh_lib.make_mesh(mesh_lib.MeshConfig(2, 1, 1, 2))
    with jax.set_mesh(mesh):
        x = jax.device_put(x, mesh_lib.sharding(mesh, x.shape, ("batch", "sequence", None), "x"))
        there = jax.jit(lambda x: mesh_lib.merge(x, axes))
        back = jax.jit(lambda x: mesh_lib.unmerge(mesh_lib.merge(x, axes), x.shape, axes))
        np.testing.assert_array_equal(there(x)[:18], np.asarray(x)[:2, :3].reshape(-1))
        np.testing.assert_array_equal(back(x), x)
        assert collective_bytes(there.lower(x).compile().as_text() or "") == {}


def test_what_runs_on_shards_refuses_an_undivided_dimension_by_name():
    with jax.set_mesh(mesh_lib.make_mesh(mesh_lib.MeshConfig(1, 1, 1, 4))):
        run = mesh_lib.on_shards(lambda x: x, (("sequence",),), ("sequence",), "rows")
        with pytest.raises(mesh_lib.MeshError, match=r"rows: dimension 'sequence' of size 6 .* context = 4 devices"):
            run(jnp.zeros(6))


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip of a TPU slice, as JAX places meshes on it."""

    id: int
    coords: tuple[int, int, int]
    platform: str = "tpu"
    device_kind: str = "TPU v6 lite"
    core_on_chip: int = 0
    process_index: int = 0
    slice_index: int = 0


def test_an_axis_may_take_a_part_of_a_row_of_chips():
    slice_8x8 = [Chip(8 * y + x, (x, y, 0)) for y in range(8) for x in range(8)]
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, fsdp=32, context=2), slice_8x8)
    pairs = mesh.devices.reshape(32, 2)
    assert len({chip.id for chip in mesh.devices.flat}) == 64
    for one, other in pairs:  # those that share a user's tokens are neighbours
        assert sum(abs(a - b) for a, b in zip(one.coords, other.coords, strict=True)) in (1, 7)
