"""The decoder against transformers' own, on random small models that transformers saved."""

import dataclasses
import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.models import adapter, hf_config, lora, qwen3, rotary, sampler, tree_attention, weights
from usergpt_jax.models.logprob import token_logprobs

torch = pytest.importorskip("torch", reason="parity needs the extra `parity`: torch")
transformers = pytest.importorskip("transformers")
# Their own complaints, about an old name in saved configs and about a factor that is stated twice.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

SIZES = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
CASES = {
    "untied, wide heads": {},
    "tied": {"tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    "biases, one kv head": {"attention_bias": True, "num_key_value_heads": 1, "head_dim": 8},
    "as many kv heads": {"num_key_value_heads": 4, "rms_norm_eps": 1e-3, "num_hidden_layers": 5},
    "yarn": {"rope_parameters": YARN},
    "yarn, every option": {
        "tie_word_embeddings": True,
        "attention_bias": True,
        "rope_parameters": {
            **YARN,
            **{"factor": 2.5, "beta_fast": 20.0, "beta_slow": 2.0, "mscale": 1.5, "mscale_all_dim": 0.5},
            "truncate": False,
        },
    },
    "yarn, stated factor": {"rope_parameters": {**YARN, "attention_factor": 1.3}},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e3, "factor": 3.0}, "num_hidden_layers": 1},
}
T = 48
QUICK = {"xla_backend_optimization_level": 0}  # halves the time of compilation
ONE = mesh_lib.MeshConfig(data=1, fsdp=1, tensor=1, context=1)


def make_peer(case, dtype=None):
    """The peer's model with weights far from their start."""
    torch.manual_seed(len(case))
    config = transformers.Qwen3Config(**{**SIZES, **CASES[case]})
    config._attn_implementation = "eager"
    model = transformers.Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.15 * torch.randn_like(weight))
    return model if dtype is None else model.to(dtype)


def read(folder, mesh_config=ONE, **kwargs):
    options = {"param_dtype": "float32", "compute_dtype": "float32", "remat": "none", **kwargs}
    model = hf_config.read(folder, **options)
    return model, weights.load(folder, model.config, model.vocab_size, mesh_lib.make_mesh(mesh_config))


@pytest.fixture(params=CASES, scope="module")
def saved(request, tmp_path_factory):
    """Peer, folder, and what we read from it."""
    peer, folder = make_peer(request.param), tmp_path_factory.mktemp("peer")
    peer.save_pretrained(folder, max_shard_size="40KB")
    return peer, folder, *read(folder)


def tokens():
    return np.random.default_rng(0).integers(0, SIZES["vocab_size"], (2, T))


def error(found, expected):
    """Largest difference as a share of the largest value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


@functools.partial(jax.jit, static_argnums=1, compiler_options=QUICK)
def our_logits(params, config, ids):
    hidden = tree_attention.forward_flat(params, config, ids, jnp.ones(ids.shape, bool))
    return hidden @ qwen3.head(params).T


@functools.partial(jax.jit, static_argnums=1, compiler_options=QUICK)
@functools.partial(jax.grad, has_aux=True)
def our_gradients(params, config, ids):
    """Gradients of the loss; the loss and the logits beside them."""
    hidden = tree_attention.forward_flat(params, config, ids, jnp.ones(ids.shape, bool))
    flat = hidden[:, :-1].reshape(-1, hidden.shape[-1])
    loss = -jnp.mean(token_logprobs(flat, qwen3.head(params), ids[:, 1:].reshape(-1), 32).logprob)
    return loss, (loss, hidden @ qwen3.head(params).T)


def test_logits_loss_and_all_gradients_agree(saved):
    peer, _, model, params = saved
    ids = tokens()
    out = peer(input_ids=torch.tensor(ids), labels=torch.tensor(ids))
    peer.zero_grad()
    out.loss.backward()
    grads, (loss, logits) = our_gradients(params, model.config, jnp.asarray(ids))
    assert error(logits, out.logits.detach()) < 1e-4
    assert abs(float(loss) - out.loss.item()) < 1e-4 * out.loss.item()
    theirs = {name: weight.grad.numpy() for name, weight in peer.named_parameters()}
    compared = set()
    for path, place in weights.layout(grads).items():
        array = functools.reduce(lambda inner, key: inner[key], path, grads)
        for row, name in enumerate(place.names):
            ours = weights.gathered(array, row if place.stacked else None, place.n_in)
            assert error(ours, theirs[name]) < 1e-4, name
            compared.add(name)
    assert compared == theirs.keys()


@pytest.mark.parametrize("saved", ["tied", "biases, one kv head", "yarn, every option"], indirect=True)
def test_greedy_generation_is_the_same_for_64_tokens(saved):
    peer, _, model, params = saved
    prompt = tokens()[:1, :12]
    settings = sampler.SamplingConfig(1, 64, 0.0, 0, 1.0, stop_token=SIZES["vocab_size"])  # never drawn
    found = jax.jit(sampler.sample, static_argnums=(1, 7), compiler_options=QUICK)(
        params,
        model.config,
        jnp.asarray(prompt[:, :8]),
        jnp.ones((1, 8), bool),
        jnp.asarray(prompt[:, None, 8:]),
        jnp.ones((1, 1, 4), bool),
        jax.random.split(jax.random.key(0), 1),
        settings,
    )
    expected = peer.generate(
        torch.tensor(prompt),
        attention_mask=torch.ones(prompt.shape, dtype=torch.long),
        max_new_tokens=64,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    assert found.tokens[0, 0, 0].tolist() == expected[0, 12:].tolist()


@pytest.mark.parametrize("case", ["tied", "biases, one kv head", "yarn, every option"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_import_and_export_keep_every_bit(tmp_path, case, dtype):
    peer = make_peer(case, getattr(torch, dtype))
    peer.save_pretrained(tmp_path / "in")
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "in", attn_implementation="eager")
    model, params = read(tmp_path / "in", param_dtype=dtype)
    (tmp_path / "out").mkdir()
    hf_config.write(tmp_path / "out", model, dtype)
    weights.save(tmp_path / "out", params, max_shard_bytes=30_000)
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 1
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    assert back.dtype == getattr(torch, dtype)
    assert type(back) is type(peer)
    assert back.state_dict().keys() == peer.state_dict().keys()
    for name, weight in peer.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name
    ids = torch.tensor(tokens())
    with torch.no_grad():
        expected, found = peer(ids).logits.float(), back(ids).logits.float()
    assert torch.equal(found, expected)
    reread, _ = read(tmp_path / "out", param_dtype=dtype)
    assert reread.config == model.config


@pytest.mark.parametrize(
    "change", [{"data": 8}, {"fsdp": 4, "tensor": 2}, {"data": 2, "fsdp": 2, "tensor": 2}], ids=str
)
def test_import_onto_a_mesh_equals_import_onto_one_device(tmp_path, change):
    make_peer("biases, one kv head" if "tensor" not in change else "as many kv heads").save_pretrained(
        tmp_path, max_shard_size="30KB"
    )
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    (_, expected), (_, found) = read(tmp_path), read(tmp_path, dataclasses.replace(ONE, **change))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), jax.device_get(expected))
    gate = found["layers"]["gate"]
    assert gate.addressable_shards[0].data.shape[1:] == (32 // change.get("fsdp", 1), 48 // change.get("tensor", 1))


def test_an_exported_adapter_gives_our_logits_when_applied_by_hand(tmp_path):
    peer = make_peer("biases, one kv head")
    peer.save_pretrained(tmp_path / "base")
    model, params = read(tmp_path / "base")
    terms = lora.LoraConfig(rank=3, alpha=5.0, targets=tuple(lora.TARGETS))
    params = lora.add(params, terms, jax.random.key(1))
    for weight in terms.targets:  # B starts at zero
        name = lora.names(weight)[1]
        params["layers"][name] = 0.1 * jax.random.normal(jax.random.key(2), params["layers"][name].shape)
    ours = our_logits(params, dataclasses.replace(model.config, lora=terms), jnp.asarray(tokens()))
    adapter.save(tmp_path / "adapter", params, terms, str(tmp_path / "base"))
    from safetensors.torch import load_file

    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    fields = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    linear = {name: module for name, module in peer.named_modules() if isinstance(module, torch.nn.Linear)}
    touched = {name for name in linear if name.split(".")[-1] in fields["target_modules"]}
    assert len(stored) == 2 * len(touched)
    with torch.no_grad():
        assert error(ours, peer(torch.tensor(tokens())).logits) > 1e-2
        for name in touched:
            a, b = (stored[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
            assert a.shape == (fields["r"], linear[name].in_features)
            linear[name].weight.add_(b @ a * fields["lora_alpha"] / fields["r"])
        assert error(ours, peer(torch.tensor(tokens())).logits) < 1e-4


@pytest.mark.parametrize("case", [name for name in CASES if "yarn" in name])
def test_yarn_frequencies_and_attention_factor_agree(saved_config, case):
    peer, config = saved_config(case)
    rope = peer.model.rotary_emb
    found = rotary.frequencies(config.rope_theta, config.head_dim, config.rope_scaling)
    np.testing.assert_allclose(found, rope.inv_freq.numpy(), rtol=1e-6)
    assert math.isclose(config.rope_scaling.attention_factor, rope.attention_scaling, rel_tol=1e-12)


@pytest.fixture
def saved_config(tmp_path):
    def make(case):
        peer = make_peer(case)
        peer.config.save_pretrained(tmp_path)
        return peer, hf_config.read(tmp_path, param_dtype="float32", compute_dtype="float32", remat="none").config

    return make
