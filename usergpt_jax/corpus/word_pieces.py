"""A small tokenizer of pieces within words, with tokens that number words, for models that answer by pointing."""

import os
import pathlib
from collections.abc import Iterable

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import CONTROL, SentencePieceTokenizer, load_tokenizer, train_unigram

N_NUMBERS = 40
_MAX_PIECE_CHARS = 16
_NUMBERS = tuple(f"<|w{number}|>" for number in range(N_NUMBERS))
_SYMBOLS = tuple(f"\u2581{mark}" for mark in "|;,[]()")  # one token each, with the space before it


class WordPieces(SentencePieceTokenizer):
    """Pieces within words; `encode` never yields a number, whatever the text spells.

    Attributes:
      number_ids: ids of the tokens that number words, `N_NUMBERS` of them.
      bar_id: id of " |".
      semicolon_id: id of " ;".
    """

    def __init__(self, model: bytes):
        super().__init__(model)
        self.number_ids = tuple(self._processor.piece_to_id(name) for name in _NUMBERS)
        self.bar_id, self.semicolon_id = (self._processor.piece_to_id(name) for name in _SYMBOLS[:2])
        if self._processor.unk_id() in (*self.number_ids, self.bar_id, self.semicolon_id):
            raise InputError("the tokenizer has no tokens that number words; expected one of train_word_pieces")


def load_word_pieces(folder: str | os.PathLike[str]) -> WordPieces:
    """Loads a tokenizer that `train_word_pieces` made.

    Raises:
      InputError: the folder holds none, or one of another kind.
    """
    tokenizer = load_tokenizer(folder)
    if not isinstance(tokenizer, SentencePieceTokenizer):
        raise InputError(f"{folder}: a Hugging Face tokenizer, expected one of train_word_pieces")
    return WordPieces(tokenizer._model)


def train_word_pieces(
    texts: Iterable[str], folder: str | os.PathLike[str], *, vocab_size: int, seed: int
) -> WordPieces:
    """Trains a unigram tokenizer with byte fallback whose pieces never span words.

    Args:
      texts: lines with a space before each word.
      folder: where to save it.
      vocab_size: ids wanted; fewer when the sample is too small for that many pieces.
      seed: of the trainer's sampling.

    Raises:
      InputError: there is no text.
    """
    lines = [text for text in texts if text.strip()]
    if not lines:
        raise InputError("no text to train a tokenizer on")
    model = train_unigram(
        iter(lines),
        vocab_size=vocab_size,
        max_piece_chars=_MAX_PIECE_CHARS,
        seed=seed,
        control_symbols=[*CONTROL, *_NUMBERS],
        user_defined_symbols=list(_SYMBOLS),
        split_digits=True,
    )
    tokenizer = WordPieces(model)
    tokenizer.save(pathlib.Path(folder))
    return tokenizer
