import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import adapter, hf_config, lora, qwen3, tree_attention

ALL = lora.LoraConfig(rank=2, alpha=3.0, targets=tuple(lora.TARGETS))
ONE_LAYER = dataclasses.replace(tiny.CONFIG, n_layers=1)
forward_tree = jax.jit(tree_attention.forward_tree, static_argnums=1)


def with_terms(config=tiny.CONFIG, terms=ALL):
    """A decoder with terms that matter, and its config."""
    params = lora.add(tiny.params(config), terms, jax.random.key(3))
    for number, weight in enumerate(terms.targets):
        name = lora.names(weight)[1]
        shape = params["layers"][name].shape
        params["layers"][name] = 0.3 * jax.random.normal(jax.random.fold_in(jax.random.key(4), number), shape)
    return params, dataclasses.replace(config, lora=terms)


def run(params, config):
    return forward_tree(params, config, *tiny.trees(batch=2).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "rank: expected a whole number above 0, got 0"),
        ({"alpha": 0.0}, r"alpha: expected above 0 and finite, got 0\.0"),
        ({"targets": ()}, "targets: expected distinct names, at least one"),
        ({"targets": ("q", "q")}, "expected distinct names"),
        ({"targets": ("embed",)}, "among q, k, v, o, gate, up, down, got 'embed'"),
    ],
)
def test_impossible_terms_are_refused_by_key(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(tiny.CONFIG, lora=dataclasses.replace(ALL, **change)).check()


def test_new_terms_change_no_output_and_fit_the_decoder():
    params = lora.add(tiny.params(ONE_LAYER), ALL, jax.random.key(0))
    config = dataclasses.replace(ONE_LAYER, lora=ALL)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, qwen3.param_shapes(config, tiny.VOCAB))
    np.testing.assert_array_equal(run(params, config), run(tiny.params(ONE_LAYER), ONE_LAYER))
    assert all(np.abs(params["layers"][lora.names(name)[0]]).min() > 0 for name in ALL.targets)


def test_trained_terms_are_never_replaced():
    params = lora.add(tiny.params(ONE_LAYER), ALL, jax.random.key(0))
    with pytest.raises(InputError, match="expected weights without low-rank terms"):
        lora.add(params, ALL, jax.random.key(1))


@pytest.mark.parametrize("config", [ONE_LAYER, dataclasses.replace(tiny.DEEP, attention_bias=True)], ids=["1", "5"])
def test_merged_weights_give_the_same_output(config):
    params, adapted = with_terms(config)
    merged = lora.merge(params, ALL)
    assert jax.tree.structure(merged) == jax.tree.structure(tiny.params(config))
    found, expected = run(merged, config), run(params, adapted)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(expected - run(tiny.params(config), config)).max() > 0.1


def test_a_merged_entry_is_the_weight_plus_the_scaled_product():
    params, _ = with_terms()
    layers = params["layers"]
    # o [L, N, H, D]: entry [1, 2, 3, 5] gets 3 / 2 times row (2, 3) of A times column 5 of B
    added = 1.5 * layers["o_lora_a"][1, 2, 3] @ layers["o_lora_b"][1, :, 5]
    merged = lora.merge(params, ALL)["layers"]["o"]
    np.testing.assert_allclose(merged[1, 2, 3, 5], layers["o"][1, 2, 3, 5] + added, rtol=1e-6)


def test_only_the_terms_take_gradients_and_split_is_undone_by_join():
    params, config = with_terms(ONE_LAYER, lora.LoraConfig(2, 2.0, ("q", "down")))
    trained, frozen = lora.split(params)
    assert sorted(trained["layers"]) == ["down_lora_a", "down_lora_b", "q_lora_a", "q_lora_b"]
    grads = jax.jit(jax.grad(lambda part: jnp.sum(run(lora.join(part, frozen), config) ** 3)))(trained)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    assert jax.tree.structure(lora.join(trained, frozen)) == jax.tree.structure(params)
    plain = tiny.params()
    assert lora.split(plain) == (plain, {})


def test_terms_are_spread_like_their_weights():
    config = dataclasses.replace(tiny.CONFIG, lora=ALL)
    mesh = mesh_lib.make_mesh(mesh_lib.MeshConfig(data=1, fsdp=4, tensor=2, context=1))
    params = qwen3.init_sharded(config, tiny.VOCAB, jax.random.key(0), mesh)
    local = {name: leaf.addressable_shards[0].data.shape for name, leaf in params["layers"].items()}
    assert local["q_lora_a"] == (3, 4, 2)  # D over fsdp
    assert local["q_lora_b"] == (3, 2, 2, 4)  # N over tensor
    assert local["o_lora_a"] == (3, 2, 4, 2)
    assert local["o_lora_b"] == (3, 2, 4)


def test_an_adapter_folder_has_pefts_names_and_shapes(tmp_path):
    terms = lora.LoraConfig(2, 3.0, ("q", "o", "up"))
    params, _ = with_terms(terms=terms)
    adapter.save(tmp_path / "adapter", params, terms, "base/model")
    fields = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (fields["r"], fields["lora_alpha"], fields["peft_type"]) == (2, 3.0, "LORA")
    assert fields["target_modules"] == ["o_proj", "q_proj", "up_proj"]
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(stored) == 3 * 3 * 2
    prefix = "base_model.model.model.layers.2"
    assert stored[f"{prefix}.self_attn.q_proj.lora_A.weight"].shape == (2, 16)
    b = stored[f"{prefix}.self_attn.q_proj.lora_B.weight"]
    assert b.shape == (16, 2)
    np.testing.assert_array_equal(b[4 + 3, 1], params["layers"]["q_lora_b"][2, 1, 1, 3])
    a = stored[f"{prefix}.self_attn.o_proj.lora_A.weight"]
    np.testing.assert_array_equal(a[1, 2 * 4 + 3], params["layers"]["o_lora_a"][2, 2, 3, 1])
    with pytest.raises(InputError, match="exists already"):
        adapter.save(tmp_path / "adapter", params, terms, "base/model")


def test_a_config_with_terms_is_not_written_as_a_plain_model(tmp_path):
    config = dataclasses.replace(tiny.CONFIG, lora=ALL)
    with pytest.raises(InputError, match="merge the low-rank terms first"):
        hf_config.write(tmp_path, hf_config.HfModel(config, tiny.VOCAB, 64, {}), "float32")
