"""Filter: which refined entities are worth an item.

Paper: §2.3 stage 1 (category limits, text complexity, stop words).
"""

import polars as pl

from usergpt_jax.semantize import lexicon, mub
from usergpt_jax.semantize.refine import ATTRIBUTES

MAX_WORDS = 6
MAX_CHARS = 48


def filter_entities(table: pl.DataFrame) -> pl.DataFrame:
    """Escapes entities and attributes, and marks the entities to drop.

    Args:
      table: `entity` and attributes as `refine_table` makes them.

    Returns:
      the table, escaped, and `dropped`: None for a kept entity, else one of `names.REASONS`: nothing visible left; a
      stop word; over `MAX_WORDS` words or `MAX_CHARS` characters; fewer letters than other characters.
    """
    parentheses = pl.col(ATTRIBUTES).str.replace_all(r"[();]", "").str.strip_chars()
    escaped = table.with_columns(_escape_column(table[name]) for name in ("entity", *ATTRIBUTES)).with_columns(
        pl.when(parentheses != "").then(parentheses)
    )
    entity = pl.col("entity")
    letters = entity.str.count_matches(r"\p{L}")
    reason = (
        pl.when(entity == "")
        .then(pl.lit("empty"))
        .when(entity.str.to_lowercase().is_in(lexicon.entries("stop_words")))
        .then(pl.lit("stop_word"))
        .when((entity.str.len_chars() > MAX_CHARS) | (entity.str.count_matches(" ") >= MAX_WORDS))
        .then(pl.lit("too_long"))
        .when(2 * letters < entity.str.len_chars())
        .then(pl.lit("too_complex"))
    )
    return escaped.with_columns(reason.alias("dropped"))


def filter_places(table: pl.DataFrame) -> pl.DataFrame:
    """Escapes `city` and `area` and cuts them to `MAX_CHARS`; an empty one becomes null."""
    escaped = table.with_columns(_escape_column(table[name]) for name in ("city", "area"))
    texts = pl.col("city", "area").str.head(MAX_CHARS).str.strip_chars()
    return escaped.with_columns(pl.when(texts != "").then(texts))


def _escape_column(texts: pl.Series) -> pl.Series:
    distinct = texts.drop_nulls().unique(maintain_order=True)
    escaped = pl.Series([mub.escape(text) for text in distinct], dtype=pl.String)
    return texts.replace_strict(distinct, escaped, default=None, return_dtype=pl.String)
