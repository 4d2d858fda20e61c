"""A trained model as a Hugging Face folder, for transformers and vLLM."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from usergpt_jax.core import checkpoint
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.core.new_folder import new_folder
from usergpt_jax.corpus.tokenizer import HuggingFaceTokenizer, Tokenizer, load_tokenizer
from usergpt_jax.inference.generate import model_folder
from usergpt_jax.models import adapter, hf_config, lora, qwen3, weights
from usergpt_jax.models.hf_config import CARD_KEY, HfModel
from usergpt_jax.models.qwen3_config import from_card

_OWN = "tokenizer_kind.json"  # of this program, not of a Hugging Face tokenizer


class Exported(NamedTuple):
    """What was written.

    Attributes:
      n_params: parameters, without low-rank terms.
      loads_tokenizer: whether transformers can load the tokenizer.
      adapter: the adapter's folder, of a model with low-rank terms.
    """

    n_params: int
    loads_tokenizer: bool
    adapter: pathlib.Path | None


def export(
    path: str | os.PathLike[str], out: str | os.PathLike[str], mesh_config: MeshConfig, max_shard_bytes: int
) -> Exported:
    """Writes `out`: config, weights and tokenizer. Low-rank terms are merged, and also written to `out`-adapter.

    Args:
      path: a model folder, or a run directory, whose furthest trained model is taken.
      out: made anew.
      mesh_config: devices to load the model onto.
      max_shard_bytes: of the weights in one file.

    Raises:
      InputError: there is no model, its card is not of this program, or `out` exists.
    """
    folder = model_folder(pathlib.Path(path))
    card = checkpoint.load_card(folder)
    tokenizer = load_tokenizer(folder / "tokenizer")
    model = _hf_model(card, folder, tokenizer)
    likes = qwen3.sharded_shapes(model.config, model.vocab_size, make_mesh(mesh_config))
    low_rank, adapter_folder = model.config.lora, pathlib.Path(out).with_name(f"{pathlib.Path(out).name}-adapter")
    if low_rank is not None and adapter_folder.exists():
        raise InputError(f"{adapter_folder}: exists already; choose another folder, or move it away")
    with new_folder(out) as partial:
        params = checkpoint.load_params(folder, likes)
        terms = lora.split(params)[0]
        if low_rank is not None:
            params = lora.merge(params, low_rank)
            model = model._replace(config=dataclasses.replace(model.config, lora=None))
        weights.save(partial, params, max_shard_bytes)
        if jax.process_index() == 0:
            hf_config.write(partial, model, model.config.param_dtype)
            for file in sorted((folder / "tokenizer").iterdir()):
                if file.name != _OWN:
                    shutil.copy2(file, partial / file.name)
        if low_rank is not None:  # last, so that a failure before leaves neither folder
            adapter.save(adapter_folder, terms, low_rank, card[CARD_KEY]["path"])
    made = adapter_folder if low_rank is not None else None
    return Exported(qwen3.n_params(params), isinstance(tokenizer, HuggingFaceTokenizer), made)


def _hf_model(card: Mapping[str, Any], folder: pathlib.Path, tokenizer: Tokenizer) -> HfModel:
    """What config.json and generation_config.json say; a model from scratch is meant for what it was trained on."""
    try:
        config, vocab_size = from_card(card["model"]), card["vocab_size"]
        longest = card["trunk_tokens"] + max(card["tag_branch_tokens"], card["summary_branch_tokens"])
        source = card.get(CARD_KEY) or {"max_positions": longest, "generation": {}}
        max_positions, generation = source["max_positions"], dict(source["generation"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'card.json'}: not a card of this program: {error}") from None
    ends = generation.get("eos_token_id", [])
    ends = ends if isinstance(ends, list) else [ends]
    generation["eos_token_id"] = [tokenizer.end_id, *(end for end in ends if end != tokenizer.end_id)]
    generation["pad_token_id"] = tokenizer.pad_id
    return HfModel(config, vocab_size, max_positions, generation)
