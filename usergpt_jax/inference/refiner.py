"""Refining many titles with the trained refiner: greedy, in batches of a few fixed shapes."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from usergpt_jax.core import checkpoint
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.corpus.trees import pad_rows
from usergpt_jax.corpus.word_pieces import WordPieces, load_word_pieces
from usergpt_jax.models import qwen3, sampler
from usergpt_jax.models.qwen3_config import for_inference, from_card
from usergpt_jax.models.sampler import SamplingConfig
from usergpt_jax.tasks import pointing, refinement

_ONE_DEVICE = MeshConfig(data=1, fsdp=1, tensor=1, context=1)
_SHORTER = (0.4, 0.55, 0.7)  # buckets of titles below the trained length
_CATEGORY_TOKENS = 16  # a longer category is cut
_ANSWER_TOKENS = 20


@dataclasses.dataclass(frozen=True)
class LoadedRefiner:
    """A refiner and its tokenizer.

    Attributes:
      config: shape of the decoder.
      params: its parameters.
      tokenizer: its tokenizer.
      title_tokens: longest title; the end of a longer one is not read.
      identity: hash of parameters and tokenizer.
    """

    config: qwen3.Qwen3Config
    params: Any
    tokenizer: WordPieces
    title_tokens: int
    identity: str

    @property
    def buckets(self) -> tuple[int, ...]:
        """Lengths that titles are padded to."""
        return (*(int(share * self.title_tokens) for share in _SHORTER), self.title_tokens)


class Answer(NamedTuple):
    """What the refiner wrote, "" when it did not end, and the probability that it gave to that."""

    text: str
    probability: float


def load_refiner(path: str | pathlib.Path) -> LoadedRefiner:
    """Loads a model folder, or that of a run directory.

    Raises:
      InputError: there is no refiner, or its card is not of this program.
    """
    path = pathlib.Path(path)
    folder = next((one for one in (path, path / "model", path / "refiner/model") if (one / "card.json").exists()), None)
    if folder is None:
        raise InputError(f"{path}: no refiner here; expected card.json or refiner/model, made by launch/refiner.py")
    card = checkpoint.load_card(folder)
    try:
        config, vocab_size = for_inference(from_card(card["model"])), card["vocab_size"]
        title_tokens, task = card["title_tokens"], card["task"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'card.json'}: not a card of a refiner: {error}") from None
    if task != refinement.NAME:
        raise InputError(f"{folder / 'card.json'}: a model of the task {task!r}, expected {refinement.NAME!r}")
    params = checkpoint.load_params(folder, qwen3.sharded_shapes(config, vocab_size, make_mesh(_ONE_DEVICE)))
    tokenizer = load_word_pieces(folder / "tokenizer")
    return LoadedRefiner(config, params, tokenizer, title_tokens, _identity(params, folder))


def _identity(params: Any, folder: pathlib.Path) -> str:
    digest = hashlib.sha256((folder / "card.json").read_bytes())
    for path, leaf in sorted(jax.tree_util.tree_flatten_with_path(params)[0], key=lambda item: str(item[0])):
        digest.update(str(path).encode() + np.asarray(leaf).tobytes())
    for file in sorted((folder / "tokenizer").iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def answers(
    refiner: LoadedRefiner, titles: Sequence[str], categories: Sequence[str | None], rows_per_batch: int
) -> list[Answer]:
    """The refiner's answer to each title.

    Titles go by length into a few buckets, each with one compiled program; what a title gets does not depend on the
    others of its batch.

    Args:
      refiner: from `load_refiner`.
      titles: the titles.
      categories: of each, or None.
      rows_per_batch: titles read at once; a last batch is filled up.
    """
    pairs = list(zip(titles, categories, strict=True))
    prompts = [pointing.prompt_ids(refiner.tokenizer, *pair, refiner.title_tokens) for pair in pairs]
    buckets = np.array(refiner.buckets)
    lengths = np.array([len(title) for title, _ in prompts], np.int64)
    bucket = np.searchsorted(buckets, lengths)
    found = [Answer("", 0.0)] * len(prompts)
    for number, length in enumerate(refiner.buckets):
        rows = np.flatnonzero(bucket == number)
        for start in range(0, len(rows), rows_per_batch):
            chosen = rows[start : start + rows_per_batch].tolist()
            filled = [*chosen, *[chosen[-1]] * (rows_per_batch - len(chosen))]
            made = _batch(refiner, [prompts[row] for row in filled], length)
            for row, (ids, probability) in zip(chosen, made, strict=False):
                found[row] = Answer(pointing.answer_text(refiner.tokenizer, ids, *pairs[row]), probability)
    return found


def _batch(
    refiner: LoadedRefiner, prompts: Sequence[tuple[list[int], list[int]]], length: int
) -> list[tuple[list[int], float]]:
    """Ids of each answer, none for one that did not end, and their probability."""
    tokenizer = refiner.tokenizer
    trunk, trunk_mask = pad_rows([title for title, _ in prompts], length, tokenizer.pad_id)
    said = [before if len(before) <= _CATEGORY_TOKENS else _cut(before) for _, before in prompts]
    prefix, prefix_mask = pad_rows(said, _CATEGORY_TOKENS, tokenizer.pad_id)
    sampling = SamplingConfig(1, _ANSWER_TOKENS, 0.0, 0, 1.0, tokenizer.end_id)
    keys = jax.random.split(jax.random.key(0), len(prompts))  # greedy: never looked at
    made = _sample(
        refiner.params, refiner.config, trunk, trunk_mask, prefix[:, None], prefix_mask[:, None], keys, sampling
    )
    tokens, sizes, cut = (np.asarray(one)[:, 0, 0] for one in (made.tokens, made.lengths, made.truncated))
    probability = np.exp(np.asarray(made.policy_logprob)[:, 0, 0].sum(axis=-1))
    return [
        ([], 0.0) if is_cut else (row[:size], sure)
        for row, size, is_cut, sure in zip(
            tokens.tolist(), sizes.tolist(), cut.tolist(), probability.tolist(), strict=True
        )
    ]


def _cut(before: list[int]) -> list[int]:
    """An over-long category without its end; the token that starts the answer stays."""
    return [*before[: _CATEGORY_TOKENS - 1], before[-1]]


_sample = functools.partial(jax.jit, static_argnums=(1, 7))(sampler.sample)
