import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models import tiny
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import qwen3, tree_attention


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 0}, "n_layers: expected a whole number above 0, got 0"),
        ({"norm_eps": float("inf")}, "norm_eps: expected above 0 and finite, got inf"),
        ({"rope_theta": float("nan")}, "rope_theta: expected above 1 and finite, got nan"),
        ({"d_model": -8}, "d_model"),
        ({"n_kv_heads": 3}, "3 does not divide n_heads = 4"),
        ({"head_dim": 5}, "even number, got 5"),
        ({"compute_dtype": "float64"}, "expected one of float32, bfloat16, got 'float64'"),
        ({"logits_dtype": "float16"}, "logits_dtype: expected one of float32, bfloat16 or None, got 'float16'"),
        ({"remat": "some"}, "expected one of none, full, offload, dots"),
    ],
)
def test_an_impossible_decoder_is_refused_by_key(change, message):
    with pytest.raises(InputError, match=message):
        qwen3.init(dataclasses.replace(tiny.CONFIG, **change), tiny.VOCAB, jax.random.key(0))


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(InputError, match="vocabulary"):
        qwen3.init(tiny.CONFIG, 1, jax.random.key(0))


def test_parameters_are_the_split_of_the_module():
    params = tiny.params()
    graph, state = nnx.split(nnx.eval_shape(lambda: qwen3.Qwen3(tiny.CONFIG, tiny.VOCAB, nnx.Rngs(0))))
    assert jax.tree.map(jnp.shape, nnx.to_pure_dict(state)) == jax.tree.map(jnp.shape, params)
    model = nnx.merge(graph, params)
    np.testing.assert_array_equal(model.layers.gate[...], params["layers"]["gate"])


def test_parameter_count_equals_the_formula():
    c, V = tiny.CONFIG, tiny.VOCAB
    # q and o: D N H each; k and v: D K H each; three D F; two norms of D, two of H
    layer = 16 * 4 * 4 * 2 + 16 * 2 * 4 * 2 + 3 * 16 * 32 + 2 * 16 + 2 * 4
    assert qwen3.n_params(qwen3.param_shapes(c, V)) == V * 16 + 3 * layer + 16
    untied = dataclasses.replace(c, tie_embeddings=False)
    assert qwen3.n_params(qwen3.param_shapes(untied, V)) == 2 * V * 16 + 3 * layer + 16


def test_every_parameter_has_one_axis_name_a_dimension():
    shapes, axes = (make(tiny.CONFIG, tiny.VOCAB) for make in (qwen3.param_shapes, qwen3.param_axes))
    jax.tree.map(lambda shape, names: np.testing.assert_equal(len(names), len(shape.shape)), shapes, axes)
    assert axes["layers"]["q"] == ("layers", "embed", "heads", "head_dim")


def test_rms_norm_of_a_hand_computed_row():
    # mean square of (3, 4) is 12.5
    found = qwen3.rms_norm(jnp.array([3.0, 4.0]), jnp.array([1.0, 2.0]), 0.0)
    np.testing.assert_allclose(found, [3 / np.sqrt(12.5), 8 / np.sqrt(12.5)], rtol=1e-6)


def test_rope_turns_a_pair_by_its_position():
    config = dataclasses.replace(tiny.CONFIG, head_dim=2)
    turned = qwen3.rope(jnp.array([[[1.0, 0.0]]]), qwen3.rotation(config, jnp.array([3]), 4))
    np.testing.assert_allclose(turned[0, 0], [np.cos(3), np.sin(3)], rtol=1e-6)


def test_rope_scores_depend_on_distance_only():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 4))

    def score(q_at, k_at):
        a = qwen3.rope(q, qwen3.rotation(tiny.CONFIG, jnp.array([q_at]), 40))
        b = qwen3.rope(k, qwen3.rotation(tiny.CONFIG, jnp.array([k_at]), 40))
        return jnp.vdot(a, b)

    np.testing.assert_allclose(score(7, 2), score(37, 32), rtol=1e-4)
    assert abs(score(7, 2) - score(7, 3)) > 1e-3


def test_an_untied_head_is_used_and_trained():
    config = dataclasses.replace(tiny.CONFIG, tie_embeddings=False)
    params = tiny.params(config)
    assert qwen3.head(params) is params["head"]
    trees = tiny.trees(batch=1)

    def total(p):
        return jnp.sum(tree_attention.forward_tree(p, config, *trees.values()) @ qwen3.head(p).T)

    grads = jax.jit(jax.grad(total))(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
