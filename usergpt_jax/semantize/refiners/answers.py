"""What every refiner returns, and how it becomes the columns that semantizing reads.

A refiner turns distinct pairs (`title`, `category`) into answers: the pairs with `entity`, `attributes` (at most three)
and `fallback`, null or why the answer is that of the rules.
"""

from collections.abc import Callable, Collection, Sequence

import polars as pl

from usergpt_jax import gazetteer
from usergpt_jax.semantize import lexicon, refine
from usergpt_jax.tasks import refinement
from usergpt_jax.tasks.output import MalformedOutput

SCHEMA = {
    "title": pl.String,
    "category": pl.String,
    "entity": pl.String,
    "attributes": pl.List(pl.String),
    "fallback": pl.String,
}
# Why the rules answered: no valid answer; no answer at all; one that the model itself held for unlikely.
MALFORMED, UNREACHABLE, UNSURE = "malformed", "unreachable", "unsure"

Answers = Callable[[pl.DataFrame], pl.DataFrame]


def checked(
    pairs: pl.DataFrame, texts: Sequence[str | None], rules: Answers, unsure: Collection[int] = ()
) -> pl.DataFrame:
    """The answers that parse and stay with their title; the rules answer for the others.

    Args:
      pairs: `title`, `category`.
      texts: what a model wrote for each pair; None when it could not be asked.
      rules: the refiner to fall back on.
      unsure: numbers of the rows to leave to it anyway.
    """
    rows = []
    for row, (pair, text) in enumerate(zip(pairs.select("title", "category").iter_rows(), texts, strict=True)):
        if text is None:
            rows.append(("", [], UNREACHABLE))
            continue
        try:
            found = refinement.grounded(refinement.parse(text), *pair).refined
            rows.append((found.entity, list(found.attributes), UNSURE if row in unsure else None))
        except MalformedOutput:
            rows.append(("", [], MALFORMED))
    made = pl.DataFrame(
        rows, schema={name: SCHEMA[name] for name in ("entity", "attributes", "fallback")}, orient="row"
    )
    table = pl.concat([pairs.select("title", "category"), made], how="horizontal")
    failed = table.filter(pl.col("fallback").is_not_null())
    if failed.is_empty():
        return table
    instead = rules(failed.select("title", "category")).drop("fallback")
    both = table.join(instead, on=["title", "category"], how="left", nulls_equal=True, maintain_order="left")
    fell = pl.col("fallback").is_not_null()
    chosen = [pl.when(fell).then(f"{name}_right").otherwise(name).alias(name) for name in ("entity", "attributes")]
    return both.select("title", "category", *chosen, "fallback")


def as_columns(answers: pl.DataFrame) -> pl.DataFrame:
    """Answers in the columns of `refine.refine_table`: entity, size, audience, brand.

    A title's category is its place in the taxonomy that tables of evidence speak of, so its leaf stays the entity and
    the answer lends attributes; without a category the answer's core entity is the entity.
    """
    told = answers.select("title", "category", refine.leaf(answers["category"]), "entity", "attributes")
    stated = told.select("attributes").explode("attributes").drop_nulls().to_series().unique(maintain_order=True)
    kinds = pl.DataFrame([(one, *_kind(one)) for one in stated], schema=_KINDS, orient="row")
    rows = told.with_row_index("row").select("row", pl.col("attributes").alias("attribute")).explode("attribute")
    typed = (
        rows.drop_nulls()
        .join(kinds, on="attribute", maintain_order="left")
        .with_columns((pl.col("row").cum_count().over("row") == 1).alias("leads"))
    )
    columns = typed.group_by("row", maintain_order=True).agg(
        pl.col("size", "audience").drop_nulls().first(),
        pl.col("attribute").filter(pl.col("is_name") & pl.col("leads")).first().alias("brand"),
    )
    return (
        told.with_row_index("row")
        .join(columns, on="row", how="left", maintain_order="left")
        .with_columns(pl.coalesce("leaf", "entity", pl.lit("")).alias("entity"))
        .select("title", "category", "entity", *refine.ATTRIBUTES)
    )


_KINDS = {"attribute": pl.String, "size": pl.String, "audience": pl.String, "is_name": pl.Boolean}


def _kind(attribute: str) -> tuple[str | None, str | None, bool]:
    """The size it states, else the audience, else whether it is a capitalised name that is no city."""
    size, audience = refine.size_of(attribute), lexicon.audiences().get(attribute.lower())
    if size or audience:
        return size, None if size else audience, False
    return None, None, attribute[:1].isupper() and gazetteer.city_in(attribute) is None
