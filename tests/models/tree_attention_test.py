import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.models import logprob, qwen3, tree_attention

forward_tree = jax.jit(tree_attention.forward_tree, static_argnums=1)
forward_flat = jax.jit(tree_attention.forward_flat, static_argnums=1)


def run_tree(params, config, trees, forward=forward_tree):
    return forward(params, config, trees["trunk"], trees["trunk_mask"], trees["branches"], trees["branch_mask"])


def flatten(trees):
    """Every branch as its own right-padded sequence, with the place of each branch token in it."""
    trees = {name: np.asarray(array) for name, array in trees.items()}
    B, P = trees["trunk"].shape
    _, G, R = trees["branches"].shape
    tokens, mask, place = np.zeros((B * G, P + R), int), np.zeros((B * G, P + R), bool), np.zeros((B, G, R), int)
    for b in range(B):
        trunk = trees["trunk"][b][trees["trunk_mask"][b]]
        for g in range(G):
            valid = trees["branch_mask"][b, g]
            row = np.concatenate([trunk, trees["branches"][b, g][valid]])
            tokens[b * G + g, : len(row)] = row
            mask[b * G + g, : len(row)] = True
            place[b, g] = len(trunk) + np.arange(R)
    return jnp.asarray(tokens), jnp.asarray(mask), jnp.asarray(place)


def run_flat(params, config, trees):
    """Hidden states of the branch tokens, from flat sequences."""
    tokens, mask, place = flatten(trees)
    hidden = forward_flat(params, config, tokens, mask)
    B, G, R = place.shape
    flat_place = jnp.minimum(place, tokens.shape[1] - 1).reshape(B * G, R, 1)
    return jnp.take_along_axis(hidden, flat_place, axis=1).reshape(B, G, R, -1)


def loss(params, config, trees, run):
    """Summed negative log-prob of each branch's tokens after its first, and their log-probs."""
    hidden = run(params, config, trees)
    valid = trees["branch_mask"][:, :, 1:]
    out = logprob.token_logprobs(
        hidden[:, :, :-1].reshape(-1, config.d_model), qwen3.head(params), trees["branches"][:, :, 1:].reshape(-1), 8
    )
    per_token = jnp.where(valid, out.logprob.reshape(valid.shape), 0.0)
    return -jnp.sum(per_token), per_token


def masked(hidden, trees):
    return np.where(np.asarray(trees["branch_mask"])[..., None], hidden, 0.0)


def assert_same_direction_and_size(a, b):
    assert np.linalg.norm(a - b) <= 1e-3 * np.linalg.norm(b)


@pytest.mark.parametrize("config", [tiny.CONFIG, tiny.DEEP], ids=["straight", "scanned"])
def test_tree_equals_flat_in_hidden_loss_logprobs_and_gradients(config):
    params, trees = tiny.params(config), tiny.trees()
    np.testing.assert_allclose(
        masked(run_tree(params, config, trees), trees), masked(run_flat(params, config, trees), trees), atol=1e-4
    )
    both = [
        jax.jit(jax.value_and_grad(lambda p, run=run: loss(p, config, trees, run), has_aux=True))(params)
        for run in (run_tree, run_flat)
    ]
    ((tree_loss, tree_logprobs), tree_grads), ((flat_loss, flat_logprobs), flat_grads) = both
    np.testing.assert_allclose(tree_loss, flat_loss, rtol=1e-6)
    np.testing.assert_allclose(tree_logprobs, flat_logprobs, atol=1e-4)
    jax.tree.map(assert_same_direction_and_size, tree_grads, flat_grads)


def test_attention_in_blocks_equals_attention_under_the_dense_mask():
    params, trees = tiny.params(), tiny.trees()
    dense = dataclasses.replace(tiny.CONFIG, attention="reference")
    found, expected = (run_tree(params, config, trees) for config in (tiny.CONFIG, dense))
    np.testing.assert_allclose(masked(found, trees), masked(expected, trees), atol=1e-4)


def test_scanned_layers_equal_straight_layers(monkeypatch):
    params, trees = tiny.params(tiny.DEEP), tiny.trees()
    scanned = run_tree(params, tiny.DEEP, trees)
    monkeypatch.setattr(tree_attention, "STRAIGHT_LAYERS", 99)
    straight = run_tree(params, tiny.DEEP, trees, jax.jit(tree_attention.forward_tree.__wrapped__, static_argnums=1))
    np.testing.assert_allclose(masked(scanned, trees), masked(straight, trees), atol=1e-4)


@pytest.mark.parametrize("remat", ["full", "offload", "dots"])
@pytest.mark.parametrize("config", [tiny.CONFIG, tiny.DEEP], ids=["straight", "scanned"])
def test_remat_changes_no_gradient(config, remat):
    again = dataclasses.replace(config, remat=remat)
    jax.tree.map(assert_same_direction_and_size, gradient_of(again), gradient_of(config))


@functools.cache
def gradient_of(config):
    trees = tiny.trees(batch=2)
    return jax.jit(jax.grad(lambda p: loss(p, config, trees, run_tree)[0]))(tiny.params(config))


def test_remat_computes_again_what_it_does_not_keep():
    def products(remat):
        config = dataclasses.replace(tiny.CONFIG, remat=remat)
        gradient = jax.grad(lambda p: loss(p, config, trees, run_tree)[0])
        traced = jax.make_jaxpr(gradient)(tiny.params(config))
        return sum(equation.primitive.name == "dot_general" for equation in tiny.equations(traced.jaxpr))

    trees = tiny.trees(batch=2)
    none, dots, full = (products(remat) for remat in ("none", "dots", "full"))
    assert none < dots  # attention
    assert full - dots == 6 * tiny.CONFIG.n_layers  # q, k, v, o, gate and up; nothing needs the result of down


def embeddings_gradient(trees, branch, position):
    """Norm of d hidden[0, branch, position] / d (embedding of every token of tree 0)."""
    params = tiny.params()
    P = trees["trunk"].shape[1]
    _, G, R = trees["branches"].shape
    # Every place gets its own row of the embedding table, so a row's gradient is the place's gradient.
    T = P + G * R
    places = jnp.arange(T)
    tokens = jnp.concatenate([trees["trunk"][0], trees["branches"][0].reshape(-1)])
    table = params["embed"][tokens]
    one = {
        "trunk": places[:P][None],
        "branches": places[P:].reshape(1, G, R),
        "trunk_mask": trees["trunk_mask"][:1],
        "branch_mask": trees["branch_mask"][:1],
    }

    def out(table):
        # A sum of the normed state is nearly constant, so weigh its features.
        hidden = run_tree({**params, "embed": table}, tiny.CONFIG, one)[0, branch, position]
        return jnp.sum(hidden * jnp.arange(hidden.shape[0]))

    norms = jnp.linalg.norm(jax.jit(jax.grad(out))(table), axis=-1)
    return np.asarray(norms[:P]), np.asarray(norms[P:].reshape(G, R))


def test_a_branch_token_depends_on_its_whole_trunk_and_its_own_past_only():
    trees = tiny.trees(batch=1)
    trees["trunk_mask"] = jnp.arange(7)[None] < 4  # tokens 4..6 are padding
    trees["branch_mask"] = jnp.ones((1, 3, 5), bool)
    trunk, branches = embeddings_gradient(trees, branch=1, position=2)
    assert (trunk[:4] > 1e-6).all()
    assert (trunk[4:] == 0).all()
    assert (branches[1, :3] > 1e-6).all()
    assert (branches[1, 3:] == 0).all()
    assert (branches[[0, 2]] == 0).all()


def test_flat_forward_is_causal():
    params = tiny.params()
    tokens = jax.random.randint(jax.random.key(2), (1, 6), 2, tiny.VOCAB)
    changed = tokens.at[0, 4].set((tokens[0, 4] + 1) % tiny.VOCAB)
    mask = jnp.ones((1, 6), bool)
    a, b = (forward_flat(params, tiny.CONFIG, row, mask) for row in (tokens, changed))
    np.testing.assert_array_equal(a[0, :4], b[0, :4])
    assert np.abs(a[0, 4:] - b[0, 4:]).max() > 1e-3


def test_other_branches_and_padding_leave_a_branch_bitwise_unchanged():
    params, trees = tiny.params(), tiny.trees()
    poisoned = dict(trees)
    poisoned["trunk"] = jnp.where(trees["trunk_mask"], trees["trunk"], 1)
    poisoned["branches"] = jnp.where(trees["branch_mask"], trees["branches"], 1).at[:, 1:].set(0)
    clean, other = run_tree(params, tiny.CONFIG, trees), run_tree(params, tiny.CONFIG, poisoned)
    np.testing.assert_array_equal(masked(clean, trees)[:, 0], masked(other, trees)[:, 0])


def test_padding_takes_no_gradient():
    params, trees = tiny.params(), tiny.trees()
    poison = tiny.VOCAB - 1
    for name in ("trunk", "branches"):
        valid = trees["trunk_mask" if name == "trunk" else "branch_mask"]
        trees[name] = jnp.where(valid, jnp.minimum(trees[name], poison - 1), poison)
    untied = dict(params, head=params["embed"])

    def total(p):
        return jnp.sum(jnp.where(trees["branch_mask"][..., None], run_tree(p, tiny.CONFIG, trees), 0.0) ** 3)

    gradient = jax.jit(jax.grad(total))(untied)["embed"]
    assert np.abs(gradient[:poison]).max() > 1e-3
    np.testing.assert_array_equal(gradient[poison], 0.0)


def test_a_user_without_trunk_or_with_an_empty_branch_stays_finite():
    params, trees = tiny.params(), tiny.trees()
    trees["trunk_mask"] = trees["trunk_mask"].at[0].set(False)
    trees["branch_mask"] = trees["branch_mask"].at[0, 0].set(False)
    value, grads = jax.jit(jax.value_and_grad(lambda p: loss(p, tiny.CONFIG, trees, run_tree)[0]))(params)
    assert all(np.isfinite(leaf).all() for leaf in [value, *jax.tree.leaves(grads)])


def test_bfloat16_stays_near_float32():
    config = dataclasses.replace(tiny.CONFIG, compute_dtype="bfloat16")
    params, trees = tiny.params(), tiny.trees()
    exact, rounded = run_tree(params, tiny.CONFIG, trees), run_tree(params, config, trees)
    assert rounded.dtype == jnp.bfloat16
    assert np.abs(masked(rounded.astype(jnp.float32) - exact, trees)).mean() < 0.05
