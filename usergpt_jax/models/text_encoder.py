"""Texts to vectors with a BERT-type encoder from a local folder.

Texts go by length into a few buckets, each with one compiled program of one shape; a last batch is filled up. So
nothing recompiles after a bucket's first batch, and a text's vector does not depend on the others of its batch.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.core.errors import InputError
from usergpt_jax.models import bert, bert_folder, sentence_head
from usergpt_jax.models.bert import BertConfig, Params

_BUCKETS = (16, 32, 64, 128, 256, 512)
_TOKENS_A_BATCH = 2048
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json"),
    *("sentencepiece.bpe.model", "spiece.model"),
)
_HEAD_FILES = (sentence_head.MODULES, sentence_head.POOLING_CONFIG, sentence_head.LIMITS, sentence_head.PROMPTS)


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """An encoder with its tokenizer.

    Attributes:
      config: shape of the encoder.
      params: its weights.
      tokenizer: a tokenizer of transformers.
      pooling: key of `bert.POOLING`.
      normalise: whether vectors get length 1.
      lower: whether texts are lower-cased first.
      max_tokens: longest text, special tokens included; the rest is cut off.
      identity: SHA-256 of the folder's files and the pooling: equal ones give equal vectors.
    """

    config: BertConfig
    params: Params
    tokenizer: Any
    pooling: str
    normalise: bool
    lower: bool
    max_tokens: int
    identity: str

    @property
    def buckets(self) -> tuple[int, ...]:
        """Lengths in tokens that texts are padded to."""
        return (*(length for length in _BUCKETS if length < self.max_tokens), self.max_tokens)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts, Float[N D] in float32; equal texts are read once."""
        distinct = list(dict.fromkeys(texts))
        number = {text: row for row, text in enumerate(distinct)}
        ids = self._ids(distinct)
        found = np.zeros((len(distinct), self.config.d_model), np.float32)
        bucket = np.searchsorted(self.buckets, [len(one) for one in ids])
        for which, length in enumerate(self.buckets):
            rows, size = np.flatnonzero(bucket == which), max(1, _TOKENS_A_BATCH // length)
            for start in range(0, len(rows), size):
                chosen = rows[start : start + size]
                tokens, mask = _padded([ids[row] for row in chosen], size, length)
                made = _vectors(self.params, self.config, tokens, mask, self.pooling, self.normalise)
                found[chosen] = np.asarray(made)[: len(chosen)]
        return found[[number[text] for text in texts]]

    def unit_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """The same of length 1, whatever the folder says; zeros for a blank text."""
        vectors = dataclasses.replace(self, normalise=True)(texts)
        vectors[[not text.strip() for text in texts]] = 0.0
        return vectors

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        said = [text.lower() for text in texts] if self.lower else list(texts)
        return self.tokenizer(
            said, truncation=True, max_length=self.max_tokens, padding=False, return_attention_mask=False
        )["input_ids"]


def load_encoder(folder: str | os.PathLike[str], pooling: str = "mean", normalise: bool = True) -> TextEncoder:
    """An encoder from a Hugging Face or sentence-transformers folder.

    Args:
      folder: with config.json, model.safetensors and the tokenizer's files.
      pooling: key of `bert.POOLING`, where the folder's own files do not say.
      normalise: likewise whether vectors get length 1.

    Raises:
      InputError: no such folder, or a file that is missing, damaged or of a model that is not supported.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with {bert_folder.CONFIG} and {bert_folder.WEIGHTS}")
    if pooling not in bert.POOLING:
        raise InputError(f"pooling: expected one of {', '.join(bert.POOLING)}, got {pooling!r}")
    config = bert_folder.read_config(folder)
    head = sentence_head.read_head(folder)
    tokenizer = _read_tokenizer(folder, config)
    params = bert_folder.read_params(folder, config)
    limits = (_BUCKETS[-1], config.n_positions, tokenizer.model_max_length, head.max_tokens or _BUCKETS[-1])
    pooling = head.pooling or pooling
    return TextEncoder(
        config=config,
        params=params,
        tokenizer=tokenizer,
        pooling=pooling,
        normalise=normalise if head.normalise is None else head.normalise,
        lower=head.lower,
        max_tokens=int(min(limits)),
        identity=_identity(folder, pooling),
    )


def _read_tokenizer(folder: pathlib.Path, config: BertConfig) -> Any:
    """The folder's tokenizer, its ids known to the encoder."""
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")):
        raise InputError(f"{folder}: no tokenizer here; expected tokenizer.json or vocab.txt")
    from transformers import AutoTokenizer  # takes seconds to import, so only when asked for

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises whatever its parsers do
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{folder}: the tokenizer cannot be read: {reason}") from None
    if len(tokenizer) > config.vocab_size:
        path = folder / bert_folder.CONFIG
        raise InputError(f"{path}: vocab_size: the tokenizer has {len(tokenizer)} ids, got {config.vocab_size}")
    return tokenizer


def _identity(folder: pathlib.Path, pooling: str) -> str:
    digest = hashlib.sha256(pooling.encode())
    for name in (bert_folder.CONFIG, bert_folder.WEIGHTS, *_HEAD_FILES, *_TOKENIZER_FILES):
        path = folder / name
        if path.exists():
            with path.open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _padded(ids: Sequence[Sequence[int]], size: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Int[size length] ids and their mask; rows beyond the texts are empty."""
    tokens, mask = np.zeros((size, length), np.int32), np.zeros((size, length), bool)
    for row, one in enumerate(ids):
        tokens[row, : len(one)], mask[row, : len(one)] = one, True
    return tokens, mask


@functools.partial(jax.jit, static_argnums=(1, 4, 5))
def _vectors(
    params: Params,
    config: BertConfig,
    tokens: Int[Array, "B T"],
    mask: Bool[Array, "B T"],
    pooling: str,
    normalise: bool,
) -> Float[Array, "B D"]:
    pooled = bert.POOLING[pooling](bert.hidden(params, config, tokens, mask), mask)
    return bert.unit(pooled) if normalise else pooled
