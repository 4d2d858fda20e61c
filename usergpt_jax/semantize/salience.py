"""Salience: which items stand for a slice, and with which attributes.

Paper: §2.3 stage 3 (salience of a category is its frequency; Top-K). Differs from the paper: cities and areas are
ranked apart from entities, and ties, which are many in short slices, are broken by how rare the item is in the log.
"""

from typing import NamedTuple

import polars as pl

from usergpt_jax.semantize.aggregate import SLICE
from usergpt_jax.semantize.refine import ATTRIBUTES

ENTITY, CITY, AREA = 0, 1, 2
ODD_USERS = 3  # an entity of fewer users is more often a refinement gone wrong than a rare interest
_PLACES = {CITY: "city", AREA: "area"}
PRICE_BAND = "price_band"
ATTRIBUTE_KINDS = (PRICE_BAND, *ATTRIBUTES)


class Slices(NamedTuple):
    """Slices of some users.

    Attributes:
      lines: one row a slice with `SLICE`, `count` (its events) and `refs` (their indices); a slice whose events were
        all filtered has no row.
      items: one row an item with `SLICE`, `kind` (ENTITY, CITY or AREA), `text`, `frequency`, and `rank` in slice and
        kind.
    """

    lines: pl.DataFrame
    items: pl.DataFrame


def with_attributes(events: pl.LazyFrame, bands: pl.DataFrame, kinds: tuple[str, ...]) -> pl.LazyFrame:
    """Adds `attributes`, one of each kind or null, in the order of `kinds`.

    Args:
      events: with `price`, `entity` and the attributes of `refine`.
      bands: of the survey; a price in the category's top fifth is "premium", in its bottom fifth "budget".
      kinds: of `ATTRIBUTE_KINDS`.
    """
    price = pl.col("price")
    band = pl.when(price >= pl.col("premium_price")).then(pl.lit("premium"))
    band = band.when(price <= pl.col("budget_price")).then(pl.lit("budget")).alias(PRICE_BAND)
    listed = pl.concat_list(kinds) if kinds else pl.lit([], dtype=pl.List(pl.String))
    return (
        events.join(bands.lazy(), on="entity", how="left")
        .with_columns(band)
        .with_columns(listed.alias("attributes"))
        .drop("budget_price", "premium_price", *ATTRIBUTE_KINDS)
    )


def rank_items(events: pl.DataFrame, spread: pl.DataFrame, max_attributes: int) -> Slices:
    """Ranks the items of each slice by salience.

    An item is an entity with the attributes that at least half of its events in the slice carry: at most
    `max_attributes`, in the order of the list, one of a kind (of equals the latest). Salience is the number of events
    in the slice; ties go to items of at least `ODD_USERS` users, of these to the one that fewer users of the log have,
    then to the latest, then to the alphabet.

    Args:
      events: with `SLICE`, `event_index`, `time`, `entity`, `attributes`, `city`, `area`.
      spread: of the survey.
      max_attributes: attributes kept an item.
    """
    entities = events.filter(pl.col("entity").is_not_null()).rename({"entity": "text"})
    named = {kind: events.filter(pl.col(name).is_not_null()).rename({name: "text"}) for kind, name in _PLACES.items()}
    counted = pl.concat([_count(entities, ENTITY), *(_count(places, kind) for kind, places in named.items())])
    order = ["frequency", "odd", "n_users", "latest", "text"]
    descending = [True, False, False, True, False]
    ranked = (
        counted.join(spread, on="text", how="left")
        .with_columns((pl.col("n_users") < ODD_USERS).alias("odd"))
        .sort([*SLICE, "kind", *order], descending=[False] * (len(SLICE) + 1) + descending, nulls_last=True)
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over([*SLICE, "kind"]).alias("rank"))
        .join(_attribute_texts(entities, counted, max_attributes), on=[*SLICE, "kind", "text"], how="left")
        .with_columns(pl.concat_str("text", pl.col("suffix").fill_null("")).alias("text"))
        .select(*SLICE, "kind", "text", "frequency", "rank")
    )
    lines = events.group_by(SLICE).agg(
        pl.len().cast(pl.Int32).alias("count"), pl.col("event_index").sort().alias("refs")
    )
    lines = lines.join(ranked.select(SLICE).unique(), on=list(SLICE), how="semi")
    return Slices(lines, ranked)


def _count(events: pl.DataFrame, kind: int) -> pl.DataFrame:
    return (
        events.group_by([*SLICE, "text"])
        .agg(pl.len().cast(pl.Int32).alias("frequency"), pl.col("time").max().alias("latest"))
        .with_columns(pl.lit(kind, pl.Int8).alias("kind"))
    )


def _attribute_texts(entities: pl.DataFrame, counted: pl.DataFrame, max_attributes: int) -> pl.DataFrame:
    """`suffix` of each entity in its slice, e.g. " (premium; women)"; entities without one are absent."""
    key = [*SLICE, "text"]
    single = (
        entities.select(*key, "time", "attributes")
        .with_columns(pl.int_ranges(pl.col("attributes").list.len()).alias("position"))
        .explode("attributes", "position", empty_as_null=True)
        .drop_nulls("attributes")
        .group_by([*key, "attributes"])
        .agg(pl.len().alias("n"), pl.col("position").min(), pl.col("time").max().alias("latest"))
    )
    frequencies = counted.filter(pl.col("kind") == ENTITY).select(*key, "kind", "frequency")
    return (
        single.join(frequencies, on=key)
        .filter(2 * pl.col("n") >= pl.col("frequency"))
        .sort(
            [*key, "position", "n", "latest", "attributes"], descending=[False] * (len(key) + 1) + [True, True, False]
        )
        .unique([*key, "position"], keep="first", maintain_order=True)
        .group_by([*key, "kind"], maintain_order=True)
        .agg(pl.col("attributes").head(max_attributes))
        .filter(pl.col("attributes").list.len() > 0)
        .select(*key, "kind", pl.format(" ({})", pl.col("attributes").list.join("; ")).alias("suffix"))
    )


def top_k(slices: Slices, entities: int, places: int) -> Slices:
    """Keeps the most salient items of each slice: at most so many entities, and so many cities and areas.

    A travel slice keeps as many cities as entities, for there the cities are what it tells.
    """
    is_place = (pl.col("kind") != ENTITY) & (pl.col("source") != "travel")
    limit = pl.when(is_place).then(places).otherwise(entities)
    return Slices(slices.lines, slices.items.filter(pl.col("rank") < limit))
