"""The encoder against transformers' own, on random small models that transformers saved."""

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from usergpt_jax.models import bert, bert_folder

torch = pytest.importorskip("torch", reason="parity needs the extra `parity`: torch")
transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 90, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 56}
LENGTHS = (23, 1, 9, 16, 2)
BERT = {
    "gelu": {"num_hidden_layers": 3, "max_position_embeddings": 40},
    "gelu_new, one head, one type": {
        **{"num_hidden_layers": 2, "max_position_embeddings": 23, "hidden_act": "gelu_new"},
        **{"num_attention_heads": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    },
    "relu, wide norm": {
        **{"num_hidden_layers": 1, "max_position_embeddings": 64, "hidden_act": "relu"},
        **{"layer_norm_eps": 0.1, "hidden_size": 24, "num_attention_heads": 8},
    },
    "deep": {"num_hidden_layers": 6, "max_position_embeddings": 30, "type_vocab_size": 3},
}
GTE = {
    "gte": {"num_hidden_layers": 3, "max_position_embeddings": 64},
    "gte without types, another base": {
        **{"num_hidden_layers": 2, "max_position_embeddings": 32, "type_vocab_size": 0, "hidden_act": "relu"},
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    },
}
CASES = [("Bert", name) for name in BERT] + [("Gte", name) for name in GTE]


@pytest.fixture(params=CASES, ids=lambda case: case[1])
def saved(request, tmp_path):
    """The peer's model with weights far from their start, and the folder it was saved to."""
    kind, name = request.param
    torch.manual_seed(len(name))
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **{**BERT, **GTE}[name]})
    model = getattr(transformers, f"{kind}Model")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(tmp_path)
    return model, tmp_path


def padded():
    draw = np.random.default_rng(0)
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    return np.where(mask, draw.integers(3, 90, mask.shape), 0).astype(np.int32), mask


def run_both(model, folder):
    tokens, mask = padded()
    with torch.no_grad():
        right = model(input_ids=torch.tensor(tokens).long(), attention_mask=torch.tensor(mask).long())
    config = bert_folder.read_config(folder)
    ours = bert.hidden(bert_folder.read_params(folder, config), config, jnp.asarray(tokens), jnp.asarray(mask))
    return right.last_hidden_state.numpy(), ours, mask


def assert_close(ours, right):
    assert np.abs(np.asarray(ours) - right).max() <= 1e-4 * np.abs(right).max()


def test_hidden_states_and_pooled_vectors_are_those_of_transformers(saved):
    right, ours, mask = run_both(*saved)
    assert_close(np.asarray(ours)[mask], right[mask])
    assert_close(bert.cls_pool(ours, jnp.asarray(mask)), right[:, 0])
    mean = (right * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    assert_close(bert.mean_pool(ours, jnp.asarray(mask)), mean)
    unit = torch.nn.functional.normalize(torch.tensor(mean), dim=-1).numpy()
    assert_close(bert.unit(bert.mean_pool(ours, jnp.asarray(mask))), unit)


def test_the_names_of_the_oldest_files_are_read_alike(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(**SIZES, **BERT["gelu"])
    model = transformers.BertForMaskedLM(config).eval()
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(file).items()
    }
    assert any(name.startswith("bert.") for name in old)
    assert any(name.startswith("cls.") for name in old)
    save_file(old, file)
    right, ours, mask = run_both(model.bert, tmp_path)
    assert_close(np.asarray(ours)[mask], right[mask])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_files_are_widened(tmp_path, dtype):
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(**SIZES, **BERT["gelu"])).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    right, ours, mask = run_both(model.float().eval(), tmp_path)
    assert_close(np.asarray(ours)[mask], right[mask])
