import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import decoding, qwen3, sampler, sampling, tree_attention

SAMPLING = sampler.SamplingConfig(n_samples=3, max_new_tokens=5, temperature=0.8, top_k=0, top_p=1.0, stop_token=1)
GREEDY = dataclasses.replace(SAMPLING, temperature=0.0, n_samples=1)
sample = jax.jit(sampler.sample, static_argnums=(1, 7))


def run(settings, trees=None, config=tiny.CONFIG, seed=0, function=sample):
    trees = tiny.trees() if trees is None else trees
    keys = jax.random.split(jax.random.key(seed), trees["trunk"].shape[0])
    return function(
        tiny.params(config),
        config,
        trees["trunk"],
        trees["trunk_mask"],
        trees["branches"],
        trees["branch_mask"],
        keys,
        settings,
    )


def valid_rows(trees):
    """Trunk + prefix of every branch, without padding."""
    for b, g in np.ndindex(trees["branches"].shape[:2]):
        trunk = np.asarray(trees["trunk"][b])[np.asarray(trees["trunk_mask"][b])]
        branch = np.asarray(trees["branches"][b, g])[np.asarray(trees["branch_mask"][b, g])]
        yield b, g, [*trunk.tolist(), *branch.tolist()]


@functools.partial(jax.jit, static_argnums=1)
def next_logprobs(params, config, tokens, length):
    """Log-probs after the first `length` tokens of one padded sequence."""
    hidden = tree_attention.forward_flat(params, config, tokens, jnp.arange(tokens.shape[1])[None] < length)
    logits = hidden[0, length - 1] @ qwen3.head(params).T
    return jax.nn.log_softmax(logits)


def pad(row, size=24):
    return jnp.asarray([row + [0] * (size - len(row))])


@pytest.mark.parametrize("config", [tiny.CONFIG, tiny.DEEP], ids=["straight", "scanned"])
def test_greedy_tree_samples_equal_a_loop_without_cache(config):
    trees, params = tiny.trees(), tiny.params(config)
    found = run(GREEDY, trees, config)
    for b, g, row in valid_rows(trees):
        expected = []
        for _ in range(GREEDY.max_new_tokens):
            logprobs = next_logprobs(params, config, pad(row + expected), len(row + expected))
            expected.append(int(jnp.argmax(logprobs)))
            np.testing.assert_allclose(found.policy_logprob[b, g, 0, len(expected) - 1], logprobs.max(), atol=1e-4)
            if expected[-1] == GREEDY.stop_token:
                break
        assert found.lengths[b, g, 0] == len(expected)
        assert found.tokens[b, g, 0, : len(expected)].tolist() == expected
        assert not found.tokens[b, g, 0, len(expected) :].any()
        assert bool(found.truncated[b, g, 0]) == (expected[-1] != GREEDY.stop_token)


def test_reported_logprobs_are_those_of_the_tempered_and_the_plain_policy():
    trees, params = tiny.trees(batch=2), tiny.params()
    found = run(SAMPLING, trees)
    for b, g, row in valid_rows(trees):
        for c in range(SAMPLING.n_samples):
            answer = found.tokens[b, g, c, : int(found.lengths[b, g, c])].tolist()
            for i, token in enumerate(answer):
                policy = next_logprobs(params, tiny.CONFIG, pad(row + answer[:i]), len(row) + i)
                tempered = jax.nn.log_softmax(policy / SAMPLING.temperature)
                np.testing.assert_allclose(found.policy_logprob[b, g, c, i], policy[token], atol=1e-4)
                np.testing.assert_allclose(found.sampled_logprob[b, g, c, i], tempered[token], atol=1e-4)


def test_samples_end_at_the_stop_token_or_the_limit():
    found = run(dataclasses.replace(SAMPLING, n_samples=20, max_new_tokens=8, temperature=2.0))
    assert 0 < int(found.truncated.sum()) < found.truncated.size
    for index in np.ndindex(found.lengths.shape):
        tokens, length = found.tokens[index], int(found.lengths[index])
        assert 1 not in tokens[: length - 1].tolist()
        assert not tokens[length:].any()
        assert not found.policy_logprob[index][length:].any()
        assert bool(found.truncated[index]) == (tokens[length - 1] != 1)
        assert length == 8 or not found.truncated[index]


def test_the_same_keys_give_the_same_samples_and_others_give_others():
    a, b, other = run(SAMPLING), run(SAMPLING), run(SAMPLING, seed=1)
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert (a.tokens != other.tokens).any()


def test_samples_of_a_question_differ():
    tokens = np.asarray(run(dataclasses.replace(SAMPLING, temperature=2.0)).tokens)
    assert (tokens[:, :, 0] != tokens[:, :, 1]).any()


@pytest.mark.parametrize("settings", [SAMPLING, dataclasses.replace(SAMPLING, top_k=8, top_p=0.9)])
def test_a_sample_depends_on_neither_neighbours_nor_batch_nor_the_limit(settings):
    trees = tiny.trees()
    full = run(settings, trees)
    poisoned = {
        "trunk": trees["trunk"].at[1:].set(5),
        "trunk_mask": trees["trunk_mask"].at[1:].set(True),
        "branches": trees["branches"].at[:, 1:].set(7),
        "branch_mask": trees["branch_mask"],
    }
    np.testing.assert_array_equal(full.tokens[0, 0], run(settings, poisoned).tokens[0, 0])
    keys = jax.random.split(jax.random.key(0), 4)
    alone = sample(
        tiny.params(),
        tiny.CONFIG,
        *(trees[name][:1] for name in ("trunk", "trunk_mask", "branches", "branch_mask")),
        keys[:1],
        settings,
    )
    np.testing.assert_array_equal(full.tokens[0], alone.tokens[0])
    longer = run(dataclasses.replace(settings, max_new_tokens=7, n_samples=4), trees)
    np.testing.assert_array_equal(full.tokens[:, :, :, 0], longer.tokens[:, :, :3, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": jax.random.split(jax.random.key(0), 3)}, r"keys: expected shape \(4,\) beside .*, got \(3,\)"),
        ({"keys": jax.random.key(0)}, r"keys: expected shape \(4,\) beside .*, got \(\)"),
        ({"keys": jax.random.PRNGKey(0)}, r"keys: expected shape \(4, 2\) beside .*, got \(2,\)"),
        ({"trunk_mask": jnp.ones((4, 6), bool)}, r"trunk_mask: expected shape \(4, 7\)"),
        ({"limits": jnp.ones((3, 3), int)}, r"limits: expected shape \(4, 3\)"),
        ({"questions": jnp.zeros((4, 0, 5), int)}, "questions: expected at least one user, question and token"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused_by_name(change, message):
    keys, limits = jax.random.split(jax.random.key(0), 4), jnp.ones((4, 3), int)
    prompts = decoding.Prompts(*tiny.trees().values(), keys, limits, limits[..., None])
    prompts.check()
    with pytest.raises(InputError, match=message):
        prompts._replace(**change).check()


def test_keys_are_one_a_user():
    given = *tiny.trees().values(), jax.random.split(jax.random.key(0), 3)
    with pytest.raises(InputError, match="keys"):
        jax.eval_shape(lambda: sample(tiny.params(), tiny.CONFIG, *given, SAMPLING))


def test_nothing_recompiles_for_the_same_shapes():
    traces = []

    def traced(*args):
        traces.append(args)
        return sampler.sample(*args)

    compiled = jax.jit(traced, static_argnums=(1, 7))
    for seed in range(3):
        run(SAMPLING, seed=seed, function=compiled)
    assert len(traces) == 1


P = jnp.array([[0.5, 0.2, 0.15, 0.1, 0.05]])


def kept(top_k, top_p, temperature=1.0, logits=None):
    """Probabilities of tokens 0..4 after adjustment."""
    adjusted = sampling.adjust_logits(
        jnp.log(P) if logits is None else logits, sampling.Drawing(temperature, top_k, top_p)
    )
    probability = jax.nn.softmax(adjusted.logits, axis=-1)[0]
    tokens = range(5) if adjusted.tokens is None else adjusted.tokens[0].tolist()
    return [dict(zip(tokens, probability.tolist(), strict=True)).get(token, 0.0) for token in range(5)]


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (0, 1.0, [0.5, 0.2, 0.15, 0.1, 0.05]),
        (2, 1.0, [5 / 7, 2 / 7, 0, 0, 0]),
        (0, 0.4, [1, 0, 0, 0, 0]),  # the first holds 0.5 >= 0.4
        (0, 0.6, [5 / 7, 2 / 7, 0, 0, 0]),  # 0.5 < 0.6 <= 0.7
        (0, 0.8, [50 / 85, 20 / 85, 15 / 85, 0, 0]),  # 0.7 < 0.8 <= 0.85
        (3, 0.8, [5 / 7, 2 / 7, 0, 0, 0]),  # after top-3: 0.588, 0.235, 0.176; 0.588 < 0.8 <= 0.823
        (9, 0.8, [50 / 85, 20 / 85, 15 / 85, 0, 0]),  # k above the vocabulary is off
    ],
)
def test_top_k_then_top_p_keep_what_arithmetic_says(top_k, top_p, expected):
    np.testing.assert_allclose(kept(top_k, top_p), expected, atol=1e-6)


def test_temperature_comes_before_top_p():
    # Halving the temperature squares: 0.25, 0.04, 0.0225, 0.01, 0.0025 of 0.325; the first holds 0.769 >= 0.7.
    np.testing.assert_allclose(kept(0, 0.7, temperature=0.5), [1, 0, 0, 0, 0], atol=1e-6)


def test_nucleus_equals_a_sorted_cumulative_sum():
    probability = jax.nn.softmax(3 * jax.random.normal(jax.random.key(0), (50, 64)), axis=-1)
    found = np.asarray(sampling.nucleus(probability, 0.9))
    for row, keep in zip(np.asarray(probability), found, strict=True):
        order = np.argsort(-row)
        before = np.cumsum(row[order]) - row[order]
        expected = np.zeros(64, bool)
        expected[order[before < 0.9]] = True
        np.testing.assert_array_equal(keep, expected)


def test_draws_follow_the_adjusted_distribution():
    keys = jax.random.split(jax.random.key(0), 20_000)
    logits = jnp.broadcast_to(jnp.log(P), (20_000, 5))
    for top_k in (0, 3):
        adjusted = sampling.adjust_logits(logits, sampling.Drawing(1.0, top_k, 0.8))
        tokens, logprob = sampling.sample_token(adjusted, keys, greedy=False)
        counts = collections.Counter(tokens.tolist())
        expected = kept(top_k, 0.8)
        # Standard error of a share is at most sqrt(0.25 / 20000) = 0.0035; 4 of them.
        np.testing.assert_allclose([counts[i] / 20_000 for i in range(5)], expected, atol=0.0142)
        np.testing.assert_allclose(np.exp(logprob), np.asarray(expected)[np.asarray(tokens)], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(change, name):
    with pytest.raises(InputError, match=rf"sampling\.{name}"):
        dataclasses.replace(SAMPLING, **change).check()
