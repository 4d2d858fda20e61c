import jax
import jax.numpy as jnp
import numpy as np
import pytest

from usergpt_jax.models import blockwise, splash

N, K, H = 4, 2, 128


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(splash, "INTERPRET", True)


def parts(B, T, key):
    keys = jax.random.split(jax.random.key(key), 3)
    return [0.3 * jax.random.normal(one, (B, T, n, H)) for one, n in zip(keys, (N, K, K), strict=True)]


def gradients(attend, lengths, weights, *arrays):
    return jax.jit(jax.grad(lambda *x: jnp.sum(weights * attend(*x, lengths)), range(len(arrays))))(*arrays)


def assert_close(got, want):
    np.testing.assert_allclose(got, want, atol=2e-6 * float(jnp.max(jnp.abs(want))))


def assert_same_gradients(name, lengths, weights, *arrays):
    found, expected = (gradients(getattr(path, name), lengths, weights, *arrays) for path in (splash, blockwise))
    for got, want in zip(found, expected, strict=True):
        assert_close(got, want)


def test_rows_and_their_gradients_are_those_of_the_blockwise_path():
    rows, lengths = parts(2, 150, 0), jnp.array([150, 77])
    valid = (jnp.arange(150) < lengths[:, None])[..., None, None]
    weights = valid * jax.random.normal(jax.random.key(9), rows[0].shape)
    assert_close(splash.attend_causal(*rows, lengths) * valid, blockwise.attend_causal(*rows, lengths) * valid)
    assert_same_gradients("attend_causal", lengths, weights, *rows)


def test_branches_and_their_gradients_are_those_of_the_blockwise_path():
    (_, *trunk), lengths = parts(2, 150, 1), jnp.array([150, 77])
    q, *own = (x.reshape(2, 3, 50, *x.shape[2:]) for x in parts(2, 150, 2))
    arrays = (q, *trunk, *own)
    assert_close(splash.attend_tree(*arrays, lengths), blockwise.attend_tree(*arrays, lengths))
    assert_same_gradients("attend_tree", lengths, jax.random.normal(jax.random.key(9), q.shape), *arrays)


def test_tokens_that_must_not_be_seen_may_hold_anything():
    (_, *trunk), lengths = parts(1, 150, 1), jnp.array([77])
    q, *own = (x.reshape(1, 3, 50, *x.shape[2:]) for x in parts(1, 150, 2))
    dirty_trunk = [x.at[:, 77:].set(1e6) for x in trunk]
    dirty_own = [x.at[:, 1].set(1e6).at[:, 0, 20:].set(1e6) for x in own]
    clean = splash.attend_tree(q, *trunk, *own, lengths)
    dirty = splash.attend_tree(q, *dirty_trunk, *dirty_own, lengths)
    np.testing.assert_array_equal(clean[:, 0, :20], dirty[:, 0, :20])
    np.testing.assert_array_equal(clean[:, 2], dirty[:, 2])
    assert not jnp.allclose(clean[:, 1], dirty[:, 1])
