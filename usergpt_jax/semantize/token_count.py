"""Token counts of many texts, each distinct text encoded once."""

import polars as pl

from usergpt_jax.corpus.tokenizer import Tokenizer


class Counter:
    """Counts tokens with a tokenizer and remembers the texts it has seen."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._known: dict[str, int] = {}

    def one(self, text: str) -> int:
        """Tokens of one text."""
        if text not in self._known:
            self._known[text] = len(self._tokenizer.encode(text))
        return self._known[text]

    def distinct(self, texts: pl.Series) -> pl.Series:
        """Tokens of each text, remembered; null counts 0."""
        found = texts.drop_nulls().unique()
        counts = pl.Series([self.one(text) for text in found], dtype=pl.Int64)
        return texts.replace_strict(found, counts, default=0, return_dtype=pl.Int64)

    def exact(self, texts: pl.Series) -> pl.Series:
        """Tokens of each text, not remembered: for texts that do not come again."""
        return pl.Series([len(self._tokenizer.encode(text)) for text in texts], dtype=pl.Int64)
