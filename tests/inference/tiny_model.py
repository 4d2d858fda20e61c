"""An untrained model folder in the form that trainers write."""

import functools
import pathlib
import runpy
import tempfile

import jax

from usergpt_jax.core import checkpoint
from usergpt_jax.corpus.tokenizer import SentencePieceTokenizer, train_sentencepiece
from usergpt_jax.models import qwen3
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks.wording import wording

TINY = {
    "n_layers": 1,
    "d_model": 16,
    "d_ff": 16,
    "n_heads": 2,
    "n_kv_heads": 1,
    "head_dim": 8,
    "rope_theta": 10_000.0,
    "norm_eps": 1e-6,
    "tie_embeddings": True,
    "param_dtype": "float32",
    "compute_dtype": "float32",
    "remat": "none",
}


_QUICKSTART = pathlib.Path(__file__).parents[2] / "configs" / "quickstart.py"


@functools.cache
def _tokenizer() -> SentencePieceTokenizer:
    texts = wording(HPR18)
    with tempfile.TemporaryDirectory() as folder:
        return train_sentencepiece(texts, texts, folder, vocab_size=1500, max_piece_chars=48, seed=0)


def write_model(folder: pathlib.Path, stage: str, seed: int) -> pathlib.Path:
    """An untrained model in the form that trainers write."""
    tokenizer = _tokenizer()
    tokenizer.save(folder / "tokenizer")
    params = qwen3.init(qwen3.Qwen3Config(**TINY), tokenizer.vocab_size, jax.random.key(seed))
    config = runpy.run_path(str(_QUICKSTART))["get_config"]()
    section = config.semantize
    del section.workers  # the manifest of `2_mub` leaves out what decides speed alone
    card = {
        "model": TINY,
        "vocab_size": tokenizer.vocab_size,
        "prompt": {"list_options": False},
        "tag_schema": "hpr18",
        "trunk_tokens": 512,
        "tag_branch_tokens": 24,
        "summary_branch_tokens": 24,
        "semantize": section.to_dict(),
        "reading": {
            "refine": config.refine.to_dict(),
            "categories": config.categories.to_dict(),
            "decides": {"refiner": "table", "categories": {}},
        },
        "stage": stage,
    }
    checkpoint.save_params(folder, params, card)
    return folder
