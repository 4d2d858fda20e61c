"""Filter: which refined entities are worth an item.

Paper: §2.3 stage 1 (category limits, text complexity, stop words).
"""

import polars as pl

from usergpt_jax.semantize import lexicon, mub

MAX_WORDS = 6
MAX_CHARS = 48
REASONS = ("empty", "stop_word", "too_long", "too_complex")


def filter_entities(table: pl.DataFrame) -> pl.DataFrame:
    """Escapes entities and attributes, and marks the entities to drop.

    Args:
      table: `entity` (str) and `attributes` (list of str), as `refine_table` makes them.

    Returns:
      the table with both escaped and `dropped`: None for a kept entity, else one of `REASONS`: nothing visible left; a
      stop word; over `MAX_WORDS` words or `MAX_CHARS` characters; fewer letters than other characters.
    """
    escaped = _escape_column(table["entity"])
    attributes = table["attributes"].explode(empty_as_null=True).drop_nulls().unique(maintain_order=True)
    plain = {text: mub.escape(text).replace("(", "").replace(")", "") for text in attributes}
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
    return table.with_columns(
        escaped,
        pl.col("attributes").list.eval(pl.element().replace(list(plain), list(plain.values()))),
    ).with_columns(reason.alias("dropped"))


def filter_places(table: pl.DataFrame) -> pl.DataFrame:
    """Escapes `city` and cuts it to `MAX_CHARS`; an empty one becomes null."""
    city = pl.col("city").str.head(MAX_CHARS).str.strip_chars()
    return table.with_columns(_escape_column(table["city"])).with_columns(
        pl.when(city != "").then(city).alias("city")
    )


def _escape_column(texts: pl.Series) -> pl.Series:
    distinct = texts.unique(maintain_order=True)
    return texts.replace_strict(distinct, pl.Series([mub.escape(text) for text in distinct], dtype=pl.String))
