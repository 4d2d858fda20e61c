import jax
import jax.numpy as jnp
import numpy as np
import pytest

from usergpt_jax.models import logprob


def inputs(T=13, D=8, V=19):
    key = jax.random.key(0)
    hidden = 2.0 * jax.random.normal(key, (T, D))
    head = jax.random.normal(jax.random.fold_in(key, 1), (V, D))
    targets = jax.random.randint(jax.random.fold_in(key, 2), (T,), 0, V)
    weights = jax.random.normal(jax.random.fold_in(key, 3), (3, T))
    return hidden, head, targets, weights


@pytest.mark.parametrize("chunk_tokens", [1, 4, 13, 64])
def test_values_and_gradients_equal_those_of_full_logits(chunk_tokens):
    hidden, head, targets, weights = inputs()

    def chunked(hidden, head):
        out = logprob.token_logprobs(hidden, head, targets, chunk_tokens)
        return sum(jnp.vdot(w, part) for w, part in zip(weights, out, strict=True)), out

    def dense(hidden, head):
        out = logprob.token_logprobs_reference(hidden, head, targets)
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


def test_no_array_as_large_as_the_logits_is_made():
    T, D, V = 64, 4, 50
    hidden, head, targets, _ = inputs(T, D, V)
    step = jax.grad(lambda h, w: logprob.token_logprobs(h, w, targets, 8).logprob.sum(), (0, 1))
    text = jax.jit(step).lower(hidden, head).as_text()
    assert f"{8}x{V}xf32" in text
    assert f"{T}x{V}xf32" not in text
