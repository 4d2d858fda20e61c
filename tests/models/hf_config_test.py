import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import hf_config, qwen3, rotary
from usergpt_jax.models.qwen3_config import from_card
from usergpt_jax.models.rotary import RopeScaling

# What Qwen publishes with the 0.6B model.
PUBLISHED = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
OPTIONS = {"param_dtype": "bfloat16", "compute_dtype": "bfloat16", "remat": "full"}


def read(tmp_path, **changes):
    content = {key: value for key, value in {**PUBLISHED, **changes}.items() if value != "absent"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    return hf_config.read(tmp_path, **OPTIONS)


def test_the_published_config_is_the_decoder_of_596_million_parameters(tmp_path):
    model = read(tmp_path)
    assert model.config == qwen3.Qwen3Config(
        28, 1024, 3072, 16, 8, 128, 1e6, 1e-6, True, "bfloat16", "bfloat16", "full"
    )
    assert (model.vocab_size, model.max_positions) == (151936, 40960)
    assert model.generation == {"bos_token_id": 151643, "eos_token_id": 151645}
    assert qwen3.n_params(qwen3.param_shapes(model.config, model.vocab_size)) == 596_049_920


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type: expected 'qwen3', got 'llama'"),
        ({"architectures": ["Qwen3MoeForCausalLM"]}, "architectures: expected .*, got .'Qwen3Moe"),
        ({"hidden_act": "gelu"}, "hidden_act: expected 'silu', got 'gelu'"),
        ({"use_sliding_window": True}, "use_sliding_window: expected False, got True"),
        ({"layer_types": ["sliding_attention"] * 28}, "layer_types: expected 28 times 'full_attention'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: this field may change what the model computes"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping: this field may change"),
        ({"attention_dropout": 0.1}, r"attention_dropout: expected 0, got 0\.1"),
        ({"hidden_size": "absent"}, "hidden_size: expected a whole number above 0, got None"),
        ({"hidden_size": 1024.5}, r"hidden_size: expected a whole number above 0, got 1024\.5"),
        ({"num_hidden_layers": True}, "num_hidden_layers: expected a whole number above 0, got True"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps: expected a number above 0, got nan"),
        ({"tie_word_embeddings": "absent"}, "tie_word_embeddings: expected true or false, got None"),
        ({"num_key_value_heads": 5}, "5 does not divide n_heads = 16"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "expected default, linear or yarn, got 'llama3'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor: expected a number above 0, got None"),
        ({"rope_scaling": {**YARN, "factor": 0.5}}, "factor: expected at least 1 and finite, got 0.5"),
        ({"rope_scaling": {**YARN, "mrope_section": [1]}}, "rope_scaling.mrope_section: this field is not known here"),
        ({"rope_scaling": YARN, "rope_parameters": YARN}, "rope_parameters or the older rope_scaling, got both"),
        ({"rope_parameters": {"rope_theta": 5.0}}, "rope_theta: 1000000 outside rope_parameters, 5.0 inside"),
        ({"rope_parameters": {"full_attention": {}}}, "rope_parameters.full_attention: this field is not known"),
    ],
)
def test_what_the_decoder_does_not_compute_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, **changes)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), ("{", "cannot be read as JSON"), ("[]", "expected a JSON object")]
)
def test_a_broken_config_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        hf_config.read(tmp_path, **OPTIONS)


@pytest.mark.parametrize("old", [True, False])
def test_both_spellings_of_yarn_are_read(tmp_path, old):
    new = {"rope_theta": "absent", "rope_scaling": "absent", "rope_parameters": {**YARN, "rope_theta": 1e6}}
    config = read(tmp_path, **({"rope_scaling": {"type": "yarn", **YARN}} if old else new)).config
    assert config.rope_theta == 1e6
    # 0.1 ln 4 + 1
    assert config.rope_scaling == RopeScaling("yarn", 4.0, 32768, 32.0, 1.0, True, 0.1 * np.log(4.0) + 1)


def test_what_is_written_reads_back_equal(tmp_path):
    scalings = [
        None,
        RopeScaling("linear", 3.0, 40960, 32.0, 1.0, True, 1.0),
        RopeScaling("yarn", 4.0, 128, 20.0, 2.0, False, 1.3),
    ]
    for scaling in scalings:
        config = dataclasses.replace(tiny.CONFIG, attention_bias=True, rope_scaling=scaling)
        model = hf_config.HfModel(config, tiny.VOCAB, 40960, {"eos_token_id": [3, 5], "temperature": 0.6})
        hf_config.write(tmp_path, model, "float32")
        back = hf_config.read(tmp_path, param_dtype="float32", compute_dtype="float32", remat="none")
        assert back == model
        assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] == 3


def test_a_card_gives_back_its_config():
    scaling = RopeScaling("yarn", 4.0, 128, 32.0, 1.0, True, 1.1)
    config = dataclasses.replace(tiny.CONFIG, rope_scaling=scaling)
    assert from_card(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    old = dataclasses.asdict(tiny.CONFIG)
    for key in ("attention_bias", "rope_scaling", "lora", "logits_dtype"):
        del old[key]  # cards from before these options
    assert from_card(old) == tiny.CONFIG


def test_yarn_keeps_fast_frequencies_and_divides_slow_ones():
    scaling = RopeScaling("yarn", 4.0, 4096, 32.0, 1.0, True, 1.5)
    plain, scaled = (np.asarray(rotary.frequencies(1e4, 64, s)) for s in (None, scaling))
    # pair i turns 4096 * 1e4^(-i/32) / 2 pi times: 32 at i = 10.5, floored; 1 at i = 22.5, ceiled
    np.testing.assert_allclose(scaled[:11], plain[:11], rtol=1e-6)
    np.testing.assert_allclose(scaled[23:], plain[23:] / 4, rtol=1e-6)
    share = 4 / 13  # of pair 14 on the way from 10 to 23
    np.testing.assert_allclose(scaled[14], plain[14] * (1 - share) + plain[14] / 4 * share, rtol=1e-5)
    turned = rotary.rotation(1e4, 64, scaling, jnp.array([0]), 1)
    np.testing.assert_allclose(turned.cos, 1.5)


def test_linear_scaling_stretches_positions():
    scaling = RopeScaling("linear", 4.0, 0, 0.0, 0.0, True, 1.0)
    plain, scaled = (rotary.rotation(1e4, 8, s, jnp.array([p]), 13) for s, p in ((None, 3), (scaling, 12)))
    np.testing.assert_allclose(plain.sin, scaled.sin, rtol=1e-5)
