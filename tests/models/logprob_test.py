import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from usergpt_jax.core import mesh
from usergpt_jax.models import logprob


def inputs(T=13, D=8, V=19):
    key = jax.random.key(0)
    hidden = 2.0 * jax.random.normal(key, (T, D))
    head = jax.random.normal(jax.random.fold_in(key, 1), (V, D))
    targets = jax.random.randint(jax.random.fold_in(key, 2), (T,), 0, V)
    weights = jax.random.normal(jax.random.fold_in(key, 3), (3, T))
    return hidden, head, targets, weights


def through_full_logits(hidden, head, targets):
    logp = jax.nn.log_softmax(logits := logprob.logits(hidden, head), axis=-1)
    chosen = jnp.take_along_axis(logp, targets[:, None], axis=-1)[:, 0]
    return chosen, -jnp.sum(jnp.exp(logp) * logp, axis=-1), jax.nn.logsumexp(logits, axis=-1)


@pytest.mark.parametrize("chunk_tokens", [1, 4, 13, 64])
def test_values_and_gradients_equal_those_of_full_logits(chunk_tokens):
    hidden, head, targets, weights = inputs()

    def chunked(hidden, head):
        out = logprob.token_logprobs(hidden, head, targets, chunk_tokens)
        return sum(jnp.vdot(w, part) for w, part in zip(weights, out, strict=True)), out

    def dense(hidden, head):
        out = through_full_logits(hidden, head, targets)
        return sum(jnp.vdot(w, part) for w, part in zip(weights, out, strict=True)), out

    (_, found), found_grads = jax.value_and_grad(chunked, (0, 1), has_aux=True)(hidden, head)
    (_, expected), expected_grads = jax.value_and_grad(dense, (0, 1), has_aux=True)(hidden, head)
    for a, b in zip((*found, *found_grads), (*expected, *expected_grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_hand_computed_distribution():
    # logits ln 1, ln 2, ln 5: p = 1/8, 2/8, 5/8
    head = jnp.log(jnp.array([[1.0], [2.0], [5.0]]))
    out = logprob.token_logprobs(jnp.ones((1, 1)), head, jnp.array([2]), 16)
    np.testing.assert_allclose(out.logprob, np.log(5 / 8), rtol=1e-6)
    p = np.array([1, 2, 5]) / 8
    np.testing.assert_allclose(out.entropy, -(p * np.log(p)).sum(), rtol=1e-6)
    np.testing.assert_allclose(out.logsumexp, np.log(8), rtol=1e-6)


def test_large_logits_stay_finite():
    hidden, head, targets, _ = inputs()
    out, grads = jax.value_and_grad(lambda h: logprob.token_logprobs(h, head, targets, 4).logprob.sum())(hidden * 1e4)
    assert np.isfinite(out)
    assert np.isfinite(grads).all()


def planned_bytes(head_of, T, V, D=32):
    """What the compiler plans between arguments and results of the head with its gradients."""

    def loss(hidden, head, targets):
        return sum(jnp.sum(part) for part in head_of(hidden, head, targets))

    float_, int_ = (
        lambda *shape, dtype=dtype: jax.ShapeDtypeStruct(shape, dtype) for dtype in (jnp.float32, jnp.int32)
    )
    step = jax.jit(jax.value_and_grad(loss, (0, 1)))
    return step.lower(float_(T, D), float_(V, D), int_(T)).compile().memory_analysis().temp_size_in_bytes


def grows_like_the_logits(head_of, T=1024, V=4096, D=32):
    """Whether twice the tokens and twice the vocabulary add more than five arrays of [T, D] and of [V, D] do."""
    linear = 5 * 4 * D * (T + V)
    by_tokens = planned_bytes(head_of, 2 * T, V) - planned_bytes(head_of, T, V)
    by_both = planned_bytes(head_of, 2 * T, 2 * V) - planned_bytes(head_of, T, V)
    return by_tokens > linear, by_both > linear + CHUNK * V * 4 * 5


CHUNK = 32


def test_memory_does_not_grow_with_tokens_times_vocabulary():
    chunked = functools.partial(logprob.token_logprobs, chunk_tokens=CHUNK)
    assert grows_like_the_logits(chunked) == (False, False)
    assert grows_like_the_logits(through_full_logits) == (True, True)  # so the measure tells


def test_operands_of_bfloat16_are_summed_in_float32():
    hidden, head, targets, weights = inputs(T=64, D=256)

    def loss(hidden, head):
        out = logprob.token_logprobs(hidden.astype(jnp.bfloat16), head, targets, 16)
        return sum(jnp.vdot(w, part) for w, part in zip(weights, out, strict=True)), out

    rounded = [x.astype(jnp.bfloat16).astype(jnp.float32) for x in (hidden, head)]
    (_, found), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(hidden / 8, head)
    expected = through_full_logits(rounded[0] / 8, rounded[1], targets)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)

    def reference(hidden, head):
        out = through_full_logits(hidden, head, targets)
        return sum(jnp.vdot(w, part) for w, part in zip(weights, out, strict=True))

    for a, b in zip(grads, jax.grad(reference, (0, 1))(rounded[0] / 8, rounded[1]), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=1e-2 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("tokens", [64, 61])
def test_a_mesh_changes_no_figure(tokens):
    hidden, head, targets, weights = inputs(T=tokens, V=24)

    def loss(hidden, head):
        out = logprob.token_logprobs(hidden, head, targets, 16)
        return sum(jnp.vdot(w, part) for w, part in zip(weights, out, strict=True))

    expected = jax.value_and_grad(loss, (0, 1))(hidden, head)
    with jax.set_mesh(mesh.make_mesh(mesh.MeshConfig(data=1, fsdp=4, tensor=2, context=1))):
        found = jax.device_get(jax.jit(jax.value_and_grad(loss, (0, 1)))(hidden, head))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, jax.device_get(expected))
