"""Token counts of many texts, each distinct text encoded once."""

import polars as pl

from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.tasks.wording import number_lines


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

    def exact(self, mubs: pl.Series) -> pl.Series:
        """Tokens of each MUB as a prompt holds it, its lines numbered; not remembered, for no MUB comes again."""
        encode = self._tokenizer.encode
        return pl.Series([sum(len(encode(line)) for line in number_lines(mub)) for mub in mubs], dtype=pl.Int64)
