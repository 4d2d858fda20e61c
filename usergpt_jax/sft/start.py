"""Where fine-tuning starts: random weights, or those of a Hugging Face folder."""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.lexical_init import lexical_embedding
from usergpt_jax.corpus.tokenizer import HuggingFaceTokenizer, Tokenizer, load_tokenizer
from usergpt_jax.models import hf_config, lora, qwen3, weights
from usergpt_jax.models.hf_config import HfModel
from usergpt_jax.models.qwen3 import Params
from usergpt_jax.models.qwen3_config import Qwen3Config

_FREE = (
    "param_dtype",
    "compute_dtype",
    "logits_dtype",
    "remat",
    "attention",
    "lora",
)  # keys of `config.model` that a folder does not decide
_LORA_STREAM = 1 << 20  # keeps the draws of low-rank terms apart from those of weights


class Start(NamedTuple):
    """What the first stage starts from.

    Attributes:
      params: on the mesh.
      vocab_size: rows of the embedding.
      card: what the trained model's card says of the folder.
    """

    params: Params
    vocab_size: int
    card: dict[str, Any]


def start_params(
    init_from: str,
    model: Qwen3Config,
    tokenizer: Tokenizer,
    mesh: Mesh,
    seed: int,
    *,
    lexical: bool,
    longest_tokens: int,
) -> Start:
    """The parameters to start from.

    Args:
      init_from: a Hugging Face folder; empty for random weights.
      model: the decoder that the config describes.
      tokenizer: of the data.
      mesh: the devices.
      seed: of random weights and low-rank terms.
      lexical: whether random embeddings of equal words start close.
      longest_tokens: of a sequence that will be trained on.

    Raises:
      InputError: the folder is broken, or contradicts config or tokenizer; or low-rank terms are to stand beside
        random weights.
    """
    if not init_from:
        if model.lora is not None:
            raise InputError("config.model.lora: expected None with random weights, which need training as a whole")
        params = qwen3.init_sharded(model, tokenizer.vocab_size, jax.random.key(seed), mesh)
        if lexical:
            params["embed"] = lexical_start(tokenizer, params["embed"], seed)
        return Start(params, tokenizer.vocab_size, {})
    if lexical:
        raise InputError("config.sft.lexical_init: expected False with init_from, whose embeddings it would replace")
    folder = pathlib.Path(init_from)
    found = hf_config.read(folder, param_dtype=model.param_dtype, compute_dtype=model.compute_dtype, remat=model.remat)
    _check(folder, found, model, tokenizer, longest_tokens)
    params = weights.load(folder, model, found.vocab_size, mesh)
    if model.lora is not None:
        shardings = qwen3.param_shardings(model, found.vocab_size, mesh)
        params = lora.add(params, model.lora, jax.random.key(seed + _LORA_STREAM))
        params = jax.tree.map(jax.device_put, params, shardings)
    said = {"path": init_from, "max_positions": found.max_positions, "generation": found.generation}
    return Start(params, found.vocab_size, {hf_config.CARD_KEY: said})


def lexical_start(tokenizer: Tokenizer, embed: jax.Array, seed: int) -> jax.Array:
    """The lexical embedding in dtype and sharding of the random one."""
    table = lexical_embedding(tokenizer, embed.shape[1], seed)
    return jax.device_put(table.astype(embed.dtype), embed.sharding)


def _check(folder: pathlib.Path, found: HfModel, model: Qwen3Config, tokenizer: Tokenizer, longest_tokens: int) -> None:
    """Compares the folder with config and tokenizer."""
    path = folder / hf_config.CONFIG
    for field in dataclasses.fields(Qwen3Config):
        ours, theirs = getattr(model, field.name), getattr(found.config, field.name)
        if field.name not in _FREE and ours != theirs:
            raise InputError(f"config.model.{field.name}: {ours}, but {path} says {theirs}")
    if longest_tokens > found.max_positions:
        raise InputError(
            f"config.sft: trunk and branch may hold {longest_tokens} tokens together, but {path} says "
            f"max_position_embeddings = {found.max_positions}"
        )
    if not isinstance(tokenizer, HuggingFaceTokenizer):
        raise InputError(
            f"config.sft.init_from: the data has a tokenizer of its own, whose ids mean nothing to {folder}; "
            'semantize with tokenizer.kind = "huggingface" and tokenizer.path of that model'
        )
    if tokenizer.vocab_size > found.vocab_size:
        raise InputError(
            f"{path}: vocab_size: the tokenizer of the data has {tokenizer.vocab_size} ids, the model "
            f"{found.vocab_size}"
        )
    if (folder / "tokenizer.json").exists():
        theirs = load_tokenizer(folder)
        if isinstance(theirs, HuggingFaceTokenizer) and theirs.vocabulary() != tokenizer.vocabulary():
            raise InputError(f"{folder / 'tokenizer.json'}: gives other ids than the tokenizer of the data")
