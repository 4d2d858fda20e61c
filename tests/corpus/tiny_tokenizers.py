"""One small tokenizer of each kind."""

import dataclasses
import functools
import pathlib
import tempfile

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from usergpt_jax.corpus.tokenizer import HuggingFaceTokenizer, SentencePieceTokenizer, Tokenizer, train_sentencepiece
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks.wording import wording

FEW = dataclasses.replace(HPR18, tags=tuple(HPR18[name] for name in ("gender", "age_band", "interests")))


@functools.cache
def sentencepiece_tokenizer() -> SentencePieceTokenizer:
    """Like the quickstart's: pieces that span words, control strings of one token, byte fallback."""
    texts = wording(FEW)
    with tempfile.TemporaryDirectory() as folder:
        return train_sentencepiece(texts, texts, folder, vocab_size=900, max_piece_chars=48, seed=0)


@functools.cache
def byte_level_tokenizer() -> HuggingFaceTokenizer:
    """Like Qwen3's: byte-level BPE with turn marks, think marks and a special token that no output holds."""
    with tempfile.TemporaryDirectory() as folder:
        return _byte_level_tokenizer(pathlib.Path(folder))


def _byte_level_tokenizer(folder: pathlib.Path) -> HuggingFaceTokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>"],
    )
    made.train_from_iterator([*wording(FEW), "猫と犬 </answer>"] * 3, trainer)
    made.add_tokens([tokenizers.AddedToken(mark, special=False) for mark in ("<think>", "</think>")])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|endoftext|>"}'
    )
    return HuggingFaceTokenizer(folder)


KINDS = {"sentencepiece": sentencepiece_tokenizer, "byte_level": byte_level_tokenizer}


def spellings(tokenizer: Tokenizer) -> dict[bytes, list[int]]:
    """Ids by what they add to a text."""
    found: dict[bytes, list[int]] = {}
    for id_, added in enumerate(tokenizer.token_bytes()):
        if added:
            found.setdefault(added, []).append(id_)
    return found
