"""Gold of the refinement task: titles with what they truly sell, split so that held-out rows are new in earnest.

A row is held out for one of three reasons: its leaf, its brand or the product itself was drawn by a hash. Whole leaves
and whole brands go, and both listings of a product go together, so that no near-copy of a held-out title is trained on.
"""

import os
import pathlib
import zlib

import polars as pl
import pyarrow.parquet as pq

from usergpt_jax.core.errors import InputError

ITEMS = "1_events/items.parquet"
COLUMNS = ("item_id", "title", "category", "brand", "core_entity", "attributes")
SPLITS = ("train", "leaf", "brand", "item")
_HELD_FRAC = {"leaf": 0.08, "brand": 0.10, "item": 0.05}


def read_gold(run: str | os.PathLike[str]) -> pl.DataFrame:
    """The gold table of a simulated run with its `split`, one of `SPLITS`.

    Raises:
      InputError: the run has none, as that of a real log, or one with other columns.
    """
    path = pathlib.Path(run) / ITEMS
    if not path.exists():
        raise InputError(f"{path} is missing: the gold of titles comes from a simulated run")
    if missing := [name for name in COLUMNS if name not in pq.read_schema(path).names]:
        raise InputError(f"{path}: no column {missing[0]!r}, expected {', '.join(COLUMNS)}")
    return split_gold(pl.read_parquet(path, columns=list(COLUMNS)))


def split_gold(gold: pl.DataFrame) -> pl.DataFrame:
    """Adds `split`: "train", or why a row is held out: its "leaf", else its "brand", else the "item" alone.

    A row of a held-out brand is held out in every leaf, and the other way round; the first reason counts.
    """
    product = pl.col("item_id").str.extract(r"^(.*-)\d+$") + (
        pl.col("item_id").str.extract(r"-(\d+)$").cast(pl.Int64) // 2  # both listings of a product
    ).cast(pl.String)
    return gold.with_columns(
        pl.when(_held("leaf", gold["category"]))
        .then(pl.lit("leaf"))
        .when(_held("brand", gold["brand"]))
        .then(pl.lit("brand"))
        .when(_held("item", gold.select(pl.coalesce(product, "item_id")).to_series()))
        .then(pl.lit("item"))
        .otherwise(pl.lit("train"))
        .alias("split")
    )


def _held(kind: str, names: pl.Series) -> pl.Series:
    """Whether each name is drawn; null is not."""
    distinct = names.drop_nulls().unique()
    drawn = [zlib.crc32(f"refinement:{kind}:{name}".encode()) / 2**32 < _HELD_FRAC[kind] for name in distinct]
    return names.replace_strict(distinct, pl.Series(drawn, dtype=pl.Boolean), default=False, return_dtype=pl.Boolean)
