import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.models import tiny_bert
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import bert, bert_folder, text_encoder

TEXTS = ["umbrella", "wall art", "red wooden jigsaw puzzle", "tea cup", "a set of blue dog food cups", "umbrella"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(folder):
    return text_encoder.load_encoder(folder)


def changed(tmp_path, config=None, drop=(), add=None):
    weights = {name: value for name, value in tiny_bert.tensors().items() if name not in drop}
    return tiny_bert.write_bert(tmp_path / "m", {**tiny_bert.CONFIG, **(config or {})}, {**weights, **(add or {})})


def refusal(folder):
    with pytest.raises(InputError) as error:
        text_encoder.load_encoder(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_layer_norm_of_a_hand_computed_row():
    # mean 2, variance 1: (1 - 2) / 1 * 3 + 1 = -2 and (3 - 2) / 1 * 1 + 0 = 1
    norm = {"weight": jnp.array([3.0, 1.0]), "bias": jnp.array([1.0, 0.0])}
    np.testing.assert_allclose(bert.layer_norm(jnp.array([[1.0, 3.0]]), norm, 0.0), [[-2.0, 1.0]], atol=1e-6)


def test_pooling_of_hand_computed_rows():
    x = jnp.array([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[5.0, 5.0], [1.0, 1.0], [1.0, 1.0]]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_allclose(bert.mean_pool(x, mask), [[2.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(bert.cls_pool(x, mask), [[1.0, 2.0], [5.0, 5.0]])
    np.testing.assert_allclose(bert.unit(jnp.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]], atol=1e-6)


def test_padding_is_seen_by_no_token(encoder):
    tokens = jax.random.randint(jax.random.key(0), (1, 6), 4, 40)
    mask = jnp.arange(6)[None] < 4

    def total(words):
        return jnp.sum(bert.hidden({**encoder.params, "words": words}, encoder.config, tokens, mask)[:, :4])

    by_token = jnp.abs(jax.grad(total)(encoder.params["words"])).sum(axis=1)
    inside, outside = set(tokens[0, :4].tolist()), set(tokens[0, 4:].tolist())
    assert all(by_token[token] > 0 for token in inside)
    assert all(by_token[token] == 0 for token in outside - inside)
    longer = jnp.concatenate([tokens, jnp.full((1, 9), 7)], axis=1)
    wide = bert.hidden(encoder.params, encoder.config, longer, jnp.arange(15)[None] < 4)
    short = bert.hidden(encoder.params, encoder.config, tokens[:, :4], mask[:, :4])
    np.testing.assert_allclose(wide[:, :4], short, atol=1e-5)


def test_vectors_are_unit_in_order_and_equal_for_equal_texts(encoder):
    made = encoder(TEXTS)
    assert (made.shape, made.dtype) == ((6, 16), np.float32)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(made[0], made[5])
    np.testing.assert_array_equal(encoder(TEXTS[::-1])[::-1], made)
    assert not np.allclose(made[0], made[1], atol=1e-2)
    assert encoder([]).shape == (0, 16)


def test_a_text_is_read_alike_in_any_company(encoder):
    among = encoder([*TEXTS, *(f"{word} {other}" for word in tiny_bert.PRINTED.split() for other in TEXTS)])[:6]
    alone = np.concatenate([encoder([text]) for text in TEXTS])
    np.testing.assert_allclose(among, alone, atol=1e-5)


def test_a_bucket_compiles_once(encoder):
    lengths = list(range(1, encoder.max_tokens - 1))
    encoder([" ".join(["tea"] * n) for n in lengths])
    assert encoder.buckets == (16, 32, 40)
    before = text_encoder._vectors._cache_size()
    encoder([" ".join(["cup"] * n) for n in [*lengths, *lengths[::-1], *lengths]])
    encoder(["wall"])
    assert text_encoder._vectors._cache_size() == before


def test_a_text_that_is_too_long_is_cut(encoder):
    assert encoder.max_tokens == 40  # positions of the model
    long, cut = " ".join(["tea"] * 500), " ".join(["tea"] * 38)  # and two marks
    np.testing.assert_array_equal(encoder([long]), encoder([cut]))


def test_unit_vectors_are_zero_for_blank_texts_only(tmp_path):
    raw = text_encoder.load_encoder(tiny_bert.write_bert(tmp_path, pooling="mean_tokens", normalise=False))
    made = raw.unit_vectors(["tea", "", "  "])
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), [1, 0, 0], atol=1e-5)
    assert not raw.normalise
    assert np.linalg.norm(raw(["tea"])) != pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(("mode", "pooling"), [("mean_tokens", "mean"), ("cls_token", "cls")])
def test_the_folder_says_how_it_pools(tmp_path, mode, pooling):
    found = text_encoder.load_encoder(tiny_bert.write_bert(tmp_path, pooling=mode), pooling="mean")
    assert (found.pooling, found.normalise) == (pooling, True)
    ids = found.tokenizer(["tea cup"])["input_ids"]
    mask = jnp.ones((1, 4), bool)
    x = bert.hidden(found.params, found.config, jnp.array(ids), mask)
    np.testing.assert_allclose(found(["tea cup"]), bert.unit(bert.POOLING[pooling](x, mask)), atol=1e-5)


def test_without_these_files_the_caller_says(folder):
    cls = text_encoder.load_encoder(folder, pooling="cls", normalise=False)
    assert (cls.pooling, cls.normalise) == ("cls", False)
    assert cls.identity != text_encoder.load_encoder(folder).identity
    with pytest.raises(InputError, match="pooling: expected one of mean, cls, got 'max'"):
        text_encoder.load_encoder(folder, pooling="max")


def test_limit_and_case_are_those_of_the_folder(tmp_path):
    made = tiny_bert.write_bert(tmp_path)
    (made / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": true}')
    found = text_encoder.load_encoder(made)
    assert (found.max_tokens, found.buckets, found.lower) == (12, (12,), True)
    np.testing.assert_array_equal(found(["TEA"]), found(["tea"]))


def test_identity_follows_the_content(tmp_path):
    one, same = (text_encoder.load_encoder(tiny_bert.write_bert(tmp_path / name)) for name in "ab")
    other = tiny_bert.write_bert(tmp_path / "c", weights=tiny_bert.tensors(seed=1))
    assert one.identity == same.identity != text_encoder.load_encoder(other).identity


def test_the_output_of_a_larger_model_is_read_by_its_encoder(tmp_path, encoder):
    larger = {f"bert.{name}": value for name, value in tiny_bert.tensors().items()}
    extra = {"cls.predictions.bias": np.zeros(3, np.float32), "bert.embeddings.position_ids": np.arange(40)[None]}
    found = text_encoder.load_encoder(tiny_bert.write_bert(tmp_path, weights={**larger, **extra}))
    np.testing.assert_array_equal(found(TEXTS), encoder(TEXTS))


def test_what_published_folders_say_beside_the_shape_changes_nothing(tmp_path, encoder):
    said = {
        **{"_name_or_path": "x", "architectures": ["BertModel"], "torch_dtype": "float32", "transformers_version": "4"},
        **{"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "classifier_dropout": None},
        **{"gradient_checkpointing": False, "initializer_range": 0.02, "use_cache": True, "output_past": True},
        **{"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, "position_embedding_type": "absolute"},
        **{"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "directionality": "bidi"},
        **{"pooler_fc_size": 768, "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3},
        **{"pooler_size_per_head": 128, "pooler_type": "first_token_transform"},
    }
    np.testing.assert_array_equal(text_encoder.load_encoder(changed(tmp_path, said))(TEXTS), encoder(TEXTS))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "roberta"}, "model_type: expected one of bert, gte, got 'roberta'"),
        ({"model_type": "new"}, "model_type: expected one of bert, gte, got 'new'"),
        ({"hidden_act": "silu"}, "hidden_act: expected one of gelu, gelu_new, relu, got 'silu'"),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type: expected "absolute"'),
        ({"is_decoder": True}, "is_decoder: expected false, got True"),
        ({"logn_attention_scale": True}, "logn_attention_scale: expected false, got True"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: this field is not known here"),
        ({"pinyin_map_len": 32}, "pinyin_map_len: this field is not known here"),  # of a BERT with other embeddings
        ({"rope_theta": 1e6}, "rope_theta: this field is not known here"),
        ({"num_attention_heads": 3}, "num_attention_heads: 3 does not divide hidden_size 16"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: expected a whole number of at least 1, got 0"),
        ({"layer_norm_eps": None}, "layer_norm_eps: expected a number of at least 0, got None"),
        ({"hidden_size": 16.0}, "hidden_size: expected a whole number"),
        ({"type_vocab_size": True}, "type_vocab_size: expected a whole number"),
        ({"model_type": "gte", "rope_parameters": {"rope_type": "ntk"}}, "expected rope_type 'default'"),
        ({"model_type": "gte"}, "rope_theta: expected a number of at least 1, got None"),
        ({"vocab_size": 10}, "vocab_size: the tokenizer has"),
    ],
)
def test_a_config_of_another_model_is_refused_by_key(tmp_path, config, message):
    found = refusal(changed(tmp_path, config))
    assert message in found
    assert "config.json" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ["encoder.layer.1.output.dense.bias"]}, "'encoder.layer.1.output.dense.bias' is missing"),
        (
            {"config": {"num_hidden_layers": 3}},
            "'encoder.layer.2.attention.output.LayerNorm.bias' is missing (and 15 more)",
        ),
        ({"config": {"num_hidden_layers": 10**9}}, "expected the tensors of 1000000000 layers, got "),
        ({"config": {"num_hidden_layers": 1}}, "unexpected tensor 'encoder.layer.1."),
        ({"add": {"adapter.weight": np.zeros(2, np.float32)}}, "unexpected tensor 'adapter.weight'; config.json"),
        (
            {"add": {"embeddings.word_embeddings.weight": np.zeros((5, 16), np.float32)}},
            f"embeddings.word_embeddings.weight: expected shape [{len(tiny_bert.VOCAB)}, 16], got [5, 16]",
        ),
        ({"add": {"embeddings.LayerNorm.bias": np.full(16, np.nan, np.float32)}}, "LayerNorm.bias: expected finite"),
        ({"add": {"embeddings.LayerNorm.bias": np.zeros(16, np.int8)}}, "LayerNorm.bias: expected one of F32, BF16"),
        ({"add": {"bert.embeddings.LayerNorm.bias": np.zeros(16, np.float32)}}, "stands twice"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, message):
    found = refusal(changed(tmp_path, **change))
    assert message in found
    assert "model.safetensors" in found


def spoil_cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def spoil_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def spoil_shards(folder):
    (folder / "model.safetensors").rename(folder / "model.safetensors.index.json")


def spoil_module(folder):
    listed = json.loads((folder / "modules.json").read_text())
    listed[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(listed))


def spoil_pooling(folder):
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}')


def spoil_path(folder):
    text = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(text.replace('"path": ""', '"path": "0_Transformer"'))


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def remove(name):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_cut, "model.safetensors: damaged or cut off"),
        (write("model.safetensors", ""), "model.safetensors: damaged or cut off"),
        (spoil_pickle, "pytorch_model.bin: pickled weights are never loaded; expected model.safetensors"),
        (spoil_shards, "sharded weights; expected one model.safetensors"),
        (remove("model.safetensors"), "model.safetensors: no such file"),
        (remove("config.json"), "config.json: no such file"),
        (write("config.json", "{"), "config.json: cannot be read as JSON"),
        (write("config.json", "[]"), "config.json: expected a JSON object, got list"),
        (remove("tokenizer.json"), "no tokenizer here; expected tokenizer.json or vocab.txt"),
        (write("tokenizer.json", "{}"), "the tokenizer cannot be read"),
        (spoil_module, "expected Transformer, Pooling and perhaps Normalize, got Transformer, Pooling, Dense"),
        (spoil_path, "expected '', got '0_Transformer'"),
        (spoil_pooling, "to be true, got pooling_mode_mean_tokens, pooling_mode_max_tokens"),
        (write("1_Pooling/config.json", '{"pooling_mode": "lasttoken"}'), "expected one of mean, cls, got 'lasttoken'"),
        (remove("1_Pooling/config.json"), "if, and only if, 1_Pooling/config.json is there"),
        (write("config_sentence_transformers.json", '{"default_prompt_name": "query"}'), "expected null"),
        (write("sentence_bert_config.json", '{"max_seq_length": 0}'), "max_seq_length: expected a whole number"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path, spoil, message):
    folder = tiny_bert.write_bert(tmp_path / "m", pooling="mean_tokens")
    spoil(folder)
    assert message in refusal(folder)


def test_a_missing_folder_is_named(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none")


def test_an_encoder_is_alike_in_another_process(folder, encoder):
    code = (
        "from usergpt_jax.models import text_encoder\n"
        f"print(text_encoder.load_encoder({str(folder)!r})(['wall art']).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    again = np.frombuffer(bytes.fromhex(done.stdout.split()[-1]), np.float32)
    np.testing.assert_allclose(again, encoder(["wall art"])[0], atol=1e-6)


def test_files_of_gte_are_read(tmp_path):
    D, F = 16, 24
    config = {**tiny_bert.CONFIG, "model_type": "gte", "type_vocab_size": 0, "rope_theta": 100.0}
    shapes = {
        **{"attention.qkv_proj.weight": (3 * D, D), "attention.qkv_proj.bias": (3 * D,)},
        **{"attention.o_proj.weight": (D, D), "attention.o_proj.bias": (D,), "mlp.up_gate_proj.weight": (2 * F, D)},
        **{"mlp.down_proj.weight": (D, F), "mlp.down_proj.bias": (D,), "attn_ln.weight": (D,), "attn_ln.bias": (D,)},
        **{"mlp_ln.weight": (D,), "mlp_ln.bias": (D,)},
    }
    draw = np.random.default_rng(0)
    named = {f"encoder.layer.{i}.{name}": shape for i in range(2) for name, shape in shapes.items()}
    named |= {"embeddings.word_embeddings.weight": (config["vocab_size"], D)}
    named |= {"embeddings.LayerNorm.weight": (D,), "embeddings.LayerNorm.bias": (D,)}
    folder = tiny_bert.write_bert(
        tmp_path, config, {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in named.items()}
    )
    made = text_encoder.load_encoder(folder)(["tea cup", "cup tea"])
    assert np.isfinite(made).all()
    assert not np.allclose(made[0], made[1], atol=1e-4)  # by the rotary positions alone
    (folder / "model.safetensors").unlink()
    save_file(
        {name: np.zeros(shape, np.float32) for name, shape in named.items() if "up_gate" not in name},
        folder / "model.safetensors",
    )
    with pytest.raises(InputError, match="up_gate_proj"):
        bert_folder.read_params(folder, bert_folder.read_config(folder))
