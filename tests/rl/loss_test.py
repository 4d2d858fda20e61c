import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from usergpt_jax.models import qwen3
from usergpt_jax.models.policy import branch_logprobs
from usergpt_jax.models.qwen3 import Qwen3Config
from usergpt_jax.rl.loss import PolicyBatch, policy_loss

CONFIG = Qwen3Config(2, 16, 32, 2, 1, 8, 1e4, 1e-6, True, "float32", "float32", "none")
V, B, G, P, R = 24, 2, 3, 5, 6


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(0)
    params = qwen3.init(CONFIG, V, jax.random.key(0))
    branches = rng.integers(2, V, (B, G, R)).astype(np.int32)
    mask = np.ones((B, G, R), bool)
    mask[:, 1, 4:] = False
    output = mask & (np.arange(R) >= 2)
    trunk, trunk_mask = rng.integers(2, V, (B, P)).astype(np.int32), np.ones((B, P), bool)
    tree = [jnp.asarray(array) for array in (trunk, trunk_mask, branches, mask)]
    logprob, _ = branch_logprobs(params, CONFIG, *tree, first=2, chunk_tokens=8)
    old = np.concatenate([np.zeros((B, G, 2), np.float32), np.asarray(logprob)], -1)
    advantage = np.array([[1.0, -1.0, 0.5], [0.2, 0.3, -0.5]], np.float32)
    batch = PolicyBatch(trunk, trunk_mask, branches, mask, output, old, advantage, np.ones((B, G), np.float32))
    return params, logprob, jax.tree.map(jnp.asarray, batch)


LOSS = functools.partial(policy_loss, config=CONFIG, first=2, chunk_tokens=8, clip_ratio=0.2, kl_weight=0.1)


def test_on_policy_the_loss_is_minus_the_mean_advantage_and_nothing_is_clipped(setting):
    params, reference, batch = setting
    loss, parts = LOSS(params, reference, batch)
    assert float(loss) == pytest.approx(-float(batch.advantage.mean()), abs=1e-5)
    assert float(parts.kl) == pytest.approx(0, abs=1e-6)
    assert float(parts.clip_frac) == 0
    assert float(parts.ratio_error) < 1e-4


def test_the_gradient_on_policy_is_the_policy_gradient(setting):
    params, reference, batch = setting

    def plain(params):  # -mean_i A_i mean_t log p
        logprob, _ = branch_logprobs(
            params, CONFIG, batch.trunk, batch.trunk_mask, batch.branches, batch.branch_mask, first=2, chunk_tokens=8
        )
        mask = batch.output_mask[:, :, 2:]
        return -(((logprob * mask).sum(-1) / mask.sum(-1)) * batch.advantage).mean()

    got = jax.grad(lambda p: LOSS(p, reference, batch)[0])(params)
    want = jax.grad(plain)(params)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_dropped_sample_does_not_matter(setting):
    params, reference, batch = setting
    weight = jnp.ones((B, G)).at[0, 1].set(0)
    other = batch.branches.at[0, 1, 3].set(2)
    values = [LOSS(params, reference, batch._replace(weight=weight, branches=b))[0] for b in (batch.branches, other)]
    assert float(values[0]) == float(values[1])


def test_all_samples_dropped_gives_a_zero_loss_and_no_nan(setting):
    params, reference, batch = setting
    empty = batch._replace(weight=jnp.zeros((B, G)), advantage=jnp.zeros((B, G)))
    grads = jax.grad(lambda p: LOSS(p, reference, empty)[0])(params)
    assert all(not np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(grads))


def test_a_ratio_beyond_the_clip_has_no_gradient_where_the_advantage_rewards_it(setting):
    params, reference, batch = setting
    raised = batch._replace(old_logprob=batch.old_logprob - 1.0, advantage=jnp.ones((B, G)))
    loss = functools.partial(policy_loss, config=CONFIG, first=2, chunk_tokens=8, clip_ratio=0.2, kl_weight=0.0)
    value, parts = loss(params, reference, raised)
    assert float(value) == pytest.approx(-1.2, abs=1e-5)
    assert float(parts.clip_frac) == 1
    grads = jax.grad(lambda p: loss(p, reference, raised)[0])(params)
    assert all(not np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(grads))


def test_kl_is_positive_away_from_the_reference(setting):
    params, reference, batch = setting
    _, parts = LOSS(params, reference + 0.3, batch)
    assert float(parts.kl) == pytest.approx(np.exp(0.3) - 0.3 - 1, abs=1e-4)
