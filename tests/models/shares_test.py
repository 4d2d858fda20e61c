"""A tree split over the mesh axis `context` gives what the whole tree gives, with less memory a device."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.compiled import collective_bytes, memory
from usergpt_jax.models import attention, blocks, blockwise, qwen3, shares, splash, tree_attention
from usergpt_jax.models.shares import Share
from usergpt_jax.sft.loss import sft_loss

CONFIG = dataclasses.replace(tiny.CONFIG, n_layers=2)
REFERENCE = dataclasses.replace(CONFIG, attention="reference")
WHOLE = [(1, 1, 1, 1), (8, 1, 1, 1), (2, 4, 1, 1), (2, 1, 4, 1), (2, 2, 2, 1)]  # data, fsdp, tensor, context
SPLIT = [(1, 1, 1, 2), (1, 2, 1, 4), (2, 1, 2, 2)]
CASES = [*((sizes, "blockwise") for sizes in WHOLE + SPLIT), (SPLIT[-1], "reference")]

params_of = functools.cache(tiny.params)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 8)
    monkeypatch.setattr(blocks, "KEYS", 4)
    monkeypatch.setattr(blocks, "CACHED", 3 * 8 * 4)
    monkeypatch.setattr(blocks, "CORES", 1)


def mesh_of(*sizes):
    return mesh_lib.make_mesh(mesh_lib.MeshConfig(*sizes))


def assert_close(a, b):
    assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(b)


def ragged_trees():
    """Eight trees whose trunk of 13 and 3 branches no mesh here divides; one branch is padding alone."""
    trees = tiny.trees(batch=8, trunk=13)
    trees["branch_mask"] = trees["branch_mask"].at[0, 1].set(False)
    return trees


def loss(params, trees, config):
    out = trees["branch_mask"]
    return sft_loss(params, config=config, **trees, output_mask=out, first_output=2, chunk_tokens=16)[0]


def loss_and_gradients(config, trees, mesh=None, scale=2.0):
    step, params = jax.jit(jax.value_and_grad(functools.partial(loss, config=config))), params_of(config, scale)
    if mesh is None:
        return jax.device_get(step(params, trees))
    with jax.set_mesh(mesh):
        params = jax.device_put(params, qwen3.param_shardings(config, tiny.VOCAB, mesh))
        return jax.device_get(step(params, mesh_lib.shard_batch(mesh, trees)))


@functools.cache
def expected(n_kv_heads):
    return loss_and_gradients(dataclasses.replace(REFERENCE, n_kv_heads=n_kv_heads), ragged_trees())


@pytest.mark.parametrize(("sizes", "path"), CASES, ids=["x".join(map(str, sizes)) + path for sizes, path in CASES])
def test_no_mesh_changes_loss_or_gradients(sizes, path):
    n_kv_heads = max(sizes[2], 2)
    config = dataclasses.replace(CONFIG, attention=path, n_kv_heads=n_kv_heads)
    found = loss_and_gradients(config, ragged_trees(), mesh_of(*sizes))
    jax.tree.map(assert_close, found, expected(n_kv_heads))


def test_scanned_layers_under_remat_are_split_too():
    # Weights as `init` gives them: over five layers of doubled ones rounding alone grows to 1e-4 on the newest jax.
    config = dataclasses.replace(tiny.DEEP, remat="full")
    found, whole = (loss_and_gradients(config, ragged_trees(), mesh, scale=1.0) for mesh in (mesh_of(1, 2, 1, 2), None))
    jax.tree.map(assert_close, found, whole)


def test_hidden_states_rows_and_caches_come_back_in_their_order():
    params, trees = params_of(CONFIG), ragged_trees()

    def both(params):
        rows = tree_attention.forward_flat(params, CONFIG, trees["trunk"], trees["trunk_mask"])
        return rows, tree_attention.prefill(params, CONFIG, **trees)

    whole = jax.jit(both)(params)
    with jax.set_mesh(mesh_of(1, 2, 1, 4)):
        split = jax.jit(both)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), jax.device_get(split), jax.device_get(whole))


def test_other_branches_and_padding_leave_a_branch_bitwise_unchanged():
    params, trees = params_of(CONFIG), ragged_trees()
    poisoned = dict(trees)
    poisoned["trunk"] = jnp.where(trees["trunk_mask"], trees["trunk"], 1)
    poisoned["branches"] = jnp.where(trees["branch_mask"], trees["branches"], 1).at[:, 1:].set(0)
    forward = jax.jit(lambda params, trees: tree_attention.forward_tree(params, CONFIG, **trees))
    with jax.set_mesh(mesh_of(1, 1, 1, 2)):
        clean, other = (forward(params, batch) for batch in (trees, poisoned))
    seen = trees["branch_mask"][:, 0, :, None]
    np.testing.assert_array_equal(jnp.where(seen, clean[:, 0], 0), jnp.where(seen, other[:, 0], 0))
    assert not jnp.allclose(clean[:, 2], other[:, 2])  # what may be seen is seen


def test_chunks_of_a_share_are_one_early_and_one_late():
    np.testing.assert_array_equal(shares.numbers(8, 2), [[0, 1, 6, 7], [2, 3, 4, 5]])
    every = jnp.arange(24.0)[None, shares.numbers(24, 4)]
    np.testing.assert_array_equal(shares.in_order(every[..., None])[0, :, 0], jnp.arange(24.0))


@pytest.mark.parametrize("n_shares", [2, 4])
@pytest.mark.parametrize("path", [splash, blockwise, attention], ids=["splash", "blockwise", "reference"])
def test_queries_of_a_share_attend_as_among_all(monkeypatch, path, n_shares):
    monkeypatch.setattr(splash, "INTERPRET", True)
    P, lengths = 520, jnp.array([520, 301])
    keys = jax.random.split(jax.random.key(0), 4)
    q, k, v, weights = (0.3 * jax.random.normal(key, (2, P, n, 128)) for key, n in zip(keys, (2, 1, 1, 2), strict=True))
    weights *= (jnp.arange(P) < lengths[:, None])[..., None, None]
    rows = shares.numbers(P, n_shares)

    def whole(q, k, v):
        out = weights * attention.attend_causal(q, k, v, lengths)
        return jnp.sum(out**2), out

    def split(q, k, v):
        out = [path.attend_causal(q[:, rows[i]], k, v, lengths, Share(i, n_shares)) for i in range(n_shares)]
        out = weights * jnp.zeros_like(q).at[:, rows.reshape(-1)].set(jnp.concatenate(out, axis=1))
        return jnp.sum(out**2), out

    found, expected = (jax.jit(jax.grad(run, (0, 1, 2), has_aux=True))(q, k, v) for run in (split, whole))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=4e-6 * float(jnp.abs(b).max())), found, expected)


def test_splash_on_a_mesh_changes_neither_loss_nor_gradients(monkeypatch):
    monkeypatch.setattr(splash, "INTERPRET", True)
    change = {"n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "head_dim": 128}
    trees = tiny.trees(batch=2, trunk=300)
    found, expected = (
        loss_and_gradients(dataclasses.replace(CONFIG, attention=path, **change), trees, mesh)
        for path, mesh in (("splash", mesh_of(1, 2, 1, 2)), ("reference", None))
    )
    jax.tree.map(assert_close, found, expected)


def test_rows_and_heads_of_a_mesh_attend_where_they_are():
    config, trees = dataclasses.replace(CONFIG, n_layers=1), tiny.trees(batch=8, trunk=64)
    mesh = mesh_of(4, 1, 2, 1)
    step = jax.jit(jax.value_and_grad(functools.partial(loss, config=config)))
    with jax.set_mesh(mesh):
        program = step.lower(
            qwen3.sharded_shapes(config, tiny.VOCAB, mesh), mesh_lib.shard_batch(mesh, trees)
        ).compile()
    assert collective_bytes(program.as_text()).keys() <= {"all-reduce", "collective-permute"}


def test_a_device_needs_memory_for_its_share_alone(monkeypatch):
    monkeypatch.undo()  # blocks of usual size
    config = dataclasses.replace(CONFIG, n_layers=6, remat="full")
    trees = jax.eval_shape(lambda: tiny.trees(batch=1, trunk=2048, branches=8, branch=64))

    def temporaries(context):
        mesh = mesh_of(1, 1, 1, context)
        step = jax.jit(jax.value_and_grad(functools.partial(loss, config=config)))
        with jax.set_mesh(mesh):
            return memory(step.lower(qwen3.sharded_shapes(config, tiny.VOCAB, mesh), trees).compile()).temporaries

    whole, split = temporaries(1), temporaries(4)
    assert split < whole / 2


def test_heads_that_the_mesh_does_not_divide_are_refused_in_one_line():
    params, trees = params_of(CONFIG), ragged_trees()
    with jax.set_mesh(mesh_of(1, 1, 4, 2)), pytest.raises(mesh_lib.MeshError) as error:
        jax.eval_shape(lambda: loss(params, trees, CONFIG))
    assert str(error.value) == "attention: dimension 'kv_heads' of size 2 is not divisible by mesh tensor = 4 devices"


def test_a_batch_that_the_mesh_does_not_divide_is_refused_in_one_line():
    params, trees = params_of(CONFIG), jax.tree.map(lambda x: x[:3], ragged_trees())
    with jax.set_mesh(mesh_of(1, 2, 1, 2)), pytest.raises(mesh_lib.MeshError) as error:
        jax.eval_shape(lambda: loss(params, trees, CONFIG))
    assert str(error.value) == "attention: dimension 'batch' of size 3 is not divisible by mesh data x fsdp = 2 devices"
