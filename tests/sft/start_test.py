import dataclasses
import functools

import jax
import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from configs import qwen3_8b
from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import HuggingFaceTokenizer, train_sentencepiece
from usergpt_jax.models import hf_config, lora, qwen3, weights
from usergpt_jax.sft.start import start_params

MESH = mesh_lib.make_mesh(mesh_lib.MeshConfig(data=1, fsdp=4, tensor=2, context=1))
WORDS = ("[UNK]", "<|im_end|>", "<|endoftext|>", "cat", "litter", "tea")


def write_tokenizer(folder, words=WORDS):
    """A tokenizer of words in the files of a Hugging Face folder."""
    made = tokenizers.Tokenizer(models.WordLevel({word: id_ for id_, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["<|im_end|>", "<|endoftext|>"])
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "<|endoftext|>"}'
    )
    return HuggingFaceTokenizer(folder)


@pytest.fixture
def folder(tmp_path):
    """A model of 32 ids and a tokenizer of 6."""
    write_tokenizer(tmp_path)
    generation = {"eos_token_id": 2, "temperature": 0.6}
    hf_config.write(tmp_path, hf_config.HfModel(tiny.CONFIG, tiny.VOCAB, 64, generation), "float32")
    weights.save(tmp_path, tiny.params(), max_shard_bytes=10**9)
    return tmp_path


def start(folder, model=tiny.CONFIG, tokenizer=None, *, lexical=False, longest_tokens=64):
    tokenizer = HuggingFaceTokenizer(folder) if tokenizer is None else tokenizer
    return start_params(str(folder), model, tokenizer, MESH, 0, lexical=lexical, longest_tokens=longest_tokens)


def test_a_folders_weights_are_the_start(folder):
    found = start(folder)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found.params), tiny.params())
    assert found.vocab_size == tiny.VOCAB
    assert found.card["huggingface"] == {
        **{"path": str(folder), "max_positions": 64},
        "generation": {"eos_token_id": 2, "temperature": 0.6},
    }


@pytest.mark.parametrize("key", ["attention", "remat", "compute_dtype", "logits_dtype"])
def test_how_the_model_is_computed_is_the_configs_matter(folder, key):
    free = {"attention": "splash", "remat": "full", "compute_dtype": "bfloat16", "logits_dtype": "bfloat16"}
    found = start(folder, dataclasses.replace(tiny.CONFIG, **{key: free[key]}))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found.params), tiny.params())


def test_the_config_of_a_pod_contradicts_itself_nowhere():
    sft = qwen3_8b.get_config().sft
    assert sft.init_from
    assert not sft.lexical_init


def test_low_rank_terms_are_added_on_the_mesh(folder):
    config = dataclasses.replace(tiny.CONFIG, lora=lora.LoraConfig(2, 4.0, ("q", "o")))
    params = start(folder, config).params
    assert jax.tree.map(lambda leaf: leaf.sharding, params) == qwen3.param_shardings(config, tiny.VOCAB, MESH)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(lora.split(params)[1]), tiny.params())


def test_contradictions_are_refused_by_key(folder, tmp_path):
    def refuse(message, **kwargs):
        with pytest.raises(InputError, match=message) as caught:
            start(folder, **kwargs)
        assert "\n" not in str(caught.value)

    own = train_sentencepiece(["cat litter"] * 9, ["tea"], tmp_path / "own", vocab_size=400, max_piece_chars=8, seed=0)
    change = functools.partial(dataclasses.replace, tiny.CONFIG)
    refuse(r"config\.model\.d_ff: 64, but .*config\.json says 32", model=change(d_ff=64))
    refuse(r"config\.model\.attention_bias: True, but .* says False", model=change(attention_bias=True))
    refuse("lexical_init: expected False with init_from", lexical=True)
    refuse("may hold 65 tokens together, .* max_position_embeddings = 64", longest_tokens=65)
    others = (*WORDS[:4], "tea", "litter")
    refuse(r"tokenizer\.json: gives other ids", tokenizer=write_tokenizer(tmp_path / "other", others))
    many = (*WORDS, *(f"word{number}" for number in range(40)))
    refuse("the tokenizer of the data has 46 ids, the model 32", tokenizer=write_tokenizer(tmp_path / "many", many))
    refuse("a tokenizer of its own", tokenizer=own)


def test_low_rank_terms_beside_random_weights_are_refused(folder):
    config = dataclasses.replace(tiny.CONFIG, lora=lora.LoraConfig(2, 4.0, ("q",)))
    with pytest.raises(InputError, match="expected None with random weights"):
        start_params("", config, HuggingFaceTokenizer(folder), MESH, 0, lexical=False, longest_tokens=64)
