import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.models import attention, blocks, blockwise

# B, P, G, R, N, K, H: trunks and branches that fill blocks, and that do not; grouped heads, and not.
SHAPES = [(2, 13, 3, 5, 4, 2, 8), (3, 9, 2, 1, 4, 4, 4), (1, 1, 2, 7, 2, 1, 4), (2, 16, 1, 16, 6, 2, 8)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 8)
    monkeypatch.setattr(blocks, "KEYS", 4)
    monkeypatch.setattr(blocks, "CACHED", 3 * 8 * 4)
    monkeypatch.setattr(blocks, "CORES", 1)


def inputs(B, P, G, R, N, K, H, dtype=jnp.float32):
    """q, k, v of the trunk and of the branches, the trunks' lengths, and weights for a scalar loss."""
    keys = iter(jax.random.split(jax.random.key(B + P), 8))
    trunk = [jax.random.normal(next(keys), (B, P, n, H), dtype) for n in (N, K, K)]
    branch = [jax.random.normal(next(keys), (B, G, R, n, H), dtype) for n in (N, K, K)]
    lengths = jnp.array([P, P // 2 + 1, max(P - 3, 1)])[:B]
    return trunk, branch, lengths, jax.random.normal(next(keys), (B, G, R, N, H))


def assert_close(got, want, tolerance):
    scale = float(jnp.max(jnp.abs(want)))
    np.testing.assert_allclose(got.astype(jnp.float32) / scale, want.astype(jnp.float32) / scale, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_branches_attend_as_under_the_dense_mask_and_so_do_their_gradients(shape):
    (_, *trunk), (q, *own), lengths, weights = inputs(*shape)
    arrays = (q, *trunk, *own)

    def loss(attend, *arrays):
        return jnp.sum(weights * attend(*arrays, lengths))

    assert_close(blockwise.attend_tree(*arrays, lengths), attention.attend_tree(*arrays, lengths), 2e-6)
    got, want = (
        jax.jit(jax.grad(functools.partial(loss, attend), argnums=range(5)))(*arrays)
        for attend in (blockwise.attend_tree, attention.attend_tree)
    )
    for one, other in zip(got, want, strict=True):
        assert_close(one, other, 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_attend_causally_and_so_do_their_gradients(shape):
    (q, k, v), _, lengths, _ = inputs(*shape)
    valid = (jnp.arange(q.shape[1]) < lengths[:, None])[..., None, None]
    weights = jax.random.normal(jax.random.key(1), q.shape) * valid

    dense = attention.attend_causal
    assert_close(blockwise.attend_causal(q, k, v, lengths) * valid, dense(q, k, v, lengths) * valid, 2e-6)
    got, want = (
        jax.jit(jax.grad(lambda q, k, v, attend=attend: jnp.sum(weights * attend(q, k, v, lengths)), (0, 1, 2)))(
            q, k, v
        )
        for attend in (blockwise.attend_causal, dense)
    )
    for one, other in zip(got, want, strict=True):
        assert_close(one, other, 1e-5)


def test_half_precision_inputs_are_summed_in_single():
    (_, *trunk), (q, *own), lengths, _ = inputs(*SHAPES[0], dtype=jnp.bfloat16)
    arrays = (q, *trunk, *own)
    wide = [x.astype(jnp.float32) for x in arrays]
    assert blockwise.attend_tree(*arrays, lengths).dtype == jnp.bfloat16
    assert_close(blockwise.attend_tree(*arrays, lengths), attention.attend_tree(*wide, lengths), 1e-2)


def test_gradients_of_half_precision_inputs_are_near_those_of_single():
    (_, *trunk), (q, *own), lengths, weights = inputs(*SHAPES[0], dtype=jnp.bfloat16)
    arrays = (q, *trunk, *own)

    def gradients(attend, arrays):
        return jax.jit(jax.grad(lambda *arrays: jnp.sum(weights * attend(*arrays, lengths)), range(5)))(*arrays)

    got = gradients(blockwise.attend_tree, arrays)
    want = gradients(attention.attend_tree, [x.astype(jnp.float32) for x in arrays])
    for one, other in zip(got, want, strict=True):
        assert one.dtype == jnp.bfloat16
        assert_close(one, other, 2e-2)


def test_without_a_trunk_a_branch_attends_to_itself():
    _, (q, *own), _, _ = inputs(*SHAPES[0])
    B, G, R, K, H = own[0].shape
    trunk = [jnp.zeros((B, 0, K, H))] * 2
    out = blockwise.attend_tree(q, *trunk, *own, jnp.zeros(B, int))
    alone = [x.reshape(B * G, R, *x.shape[3:]) for x in (q, *own)]
    assert_close(out.reshape(alone[0].shape), attention.attend_causal(*alone, jnp.full(B * G, R)), 2e-6)


def test_tokens_that_must_not_be_seen_may_hold_anything():
    (_, *trunk), (q, *own), lengths, _ = inputs(*SHAPES[0])
    poison = jnp.float32(1e6)
    beyond = (jnp.arange(trunk[0].shape[1]) >= lengths[:, None])[..., None, None]
    poisoned_trunk = [jnp.where(beyond, poison, x) for x in trunk]
    poisoned_own = [x.at[:, 1].set(poison) for x in own]  # another branch
    poisoned_own = [x.at[:, 0, 3:].set(poison) for x in poisoned_own]  # later tokens of this branch
    clean = blockwise.attend_tree(q, *trunk, *own, lengths)
    dirty = blockwise.attend_tree(q, *poisoned_trunk, *poisoned_own, lengths)
    np.testing.assert_array_equal(clean[:, 0, :3], dirty[:, 0, :3])
    np.testing.assert_array_equal(clean[:, 2], dirty[:, 2])
    assert not jnp.allclose(clean[:, 1], dirty[:, 1])  # what may be seen is seen


def test_blocks_that_nobody_sees_are_not_even_read():
    (q, k, v), _, _, _ = inputs(*SHAPES[3])
    lengths = jnp.array([5, 8])
    nothing = jnp.where((jnp.arange(k.shape[1]) >= 8)[:, None, None], jnp.nan, 0.0)
    out = blockwise.attend_causal(q, k + nothing, v + nothing, lengths)
    assert jnp.all(jnp.isfinite(out))
    gradient = jax.grad(lambda k: jnp.sum(blockwise.attend_causal(q, k, v, lengths)))(k + nothing)
    np.testing.assert_array_equal(gradient[:, 8:], 0.0)


def test_no_array_holds_every_pair_of_tokens():
    (_, *trunk), (q, *own), lengths, _ = inputs(1, 64, 2, 32, 2, 1, 4)
    arrays = (q, *trunk, *own)

    def loss(attend, *arrays):
        return jnp.sum(attend(*arrays, lengths) ** 2)

    def biggest_of(attend):
        traced = jax.make_jaxpr(jax.grad(functools.partial(loss, attend), range(5)))(*arrays)
        return max(out.aval.size for equation in tiny.equations(traced.jaxpr) for out in equation.outvars)

    biggest = {attend: biggest_of(attend) for attend in (blockwise.attend_tree, attention.attend_tree)}
    pairs = 2 * 32 * 64 * 2  # branch tokens x trunk tokens x heads
    assert biggest[attention.attend_tree] >= pairs
    assert biggest[blockwise.attend_tree] < pairs / 2
