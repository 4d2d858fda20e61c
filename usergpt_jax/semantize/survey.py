"""The survey: what semantizing needs to know of the whole log, gathered in one lazy pass before the users are read.

It holds the refined titles, the cities of places, the price bounds of each category and how widespread an item is. The
price bounds and the spread are statistics over all users of the log, so a MUB depends on the log it was made in.
"""

from typing import NamedTuple

import polars as pl

from usergpt_jax.semantize import filter as filter_lib
from usergpt_jax.semantize import refine

BUDGET_QUANTILE, PREMIUM_QUANTILE = 0.2, 0.8


class Survey(NamedTuple):
    """Statistics of a log.

    Attributes:
      titles: `title`, `category`, `entity`, `size`, `audience`, `brand`, `dropped` (a reason
        of `filter`, or null to keep).
      places: `place`, `city`, `area` (null: nothing visible).
      title_cities: `title`, `title_city`, of titles that name a city of the gazetteer.
      bands: `entity`, `budget_price`, `premium_price`: at most, at least that price.
      spread: `text` of an entity, city or area, `n_users`: users with an event of it.
    """

    titles: pl.DataFrame
    places: pl.DataFrame
    title_cities: pl.DataFrame
    bands: pl.DataFrame
    spread: pl.DataFrame


def survey_log(events: pl.LazyFrame, *, min_band_purchases: int) -> Survey:
    """Surveys a log.

    Args:
      events: in `schema.EVENT_SCHEMA`, all parts.
      min_band_purchases: priced purchases of a category below which it gets no price bounds.
    """
    pairs = events.select("title", "category").unique().sort("title", "category").collect(engine="streaming")
    titles = filter_lib.filter_entities(refine.refine_table(pairs))
    places = events.select("place").drop_nulls().unique().sort("place").collect(engine="streaming")
    cities = filter_lib.filter_places(refine.place_table(places["place"]))
    title_cities = refine.title_city_table(titles["title"].unique(maintain_order=True))
    named = with_entities(events, titles, cities, title_cities)
    return Survey(titles, cities, title_cities, _price_bands(named, min_band_purchases), _spread(named))


def with_entities(
    events: pl.LazyFrame, titles: pl.DataFrame, places: pl.DataFrame, title_cities: pl.DataFrame
) -> pl.LazyFrame:
    """Events with `entity` (null where the filter dropped it), its attributes, `dropped`, `city` and `area`.

    A travel event without a place takes the city that its title names: the enrichment of sparse entities.
    """
    travels = (pl.col("source") == "travel") & pl.col("place").is_null()
    kept = titles.lazy().with_columns(pl.when(pl.col("dropped").is_null()).then(pl.col("entity")).alias("entity"))
    return (
        events.join(kept, on=["title", "category"], how="left", nulls_equal=True)
        .join(places.lazy(), on="place", how="left")
        .join(title_cities.lazy(), on="title", how="left")
        .with_columns(pl.when(travels).then(pl.col("title_city")).otherwise(pl.col("city")).alias("city"))
        .drop("title_city")
    )


def _price_bands(named: pl.LazyFrame, min_band_purchases: int) -> pl.DataFrame:
    price = pl.col("price")
    return (
        named.filter((pl.col("action") == "purchase") & price.is_not_null() & pl.col("entity").is_not_null())
        .group_by("entity")
        .agg(
            pl.len().alias("n"),
            price.quantile(BUDGET_QUANTILE).alias("budget_price"),
            price.quantile(PREMIUM_QUANTILE).alias("premium_price"),
        )
        .filter((pl.col("n") >= min_band_purchases) & (pl.col("budget_price") < pl.col("premium_price")))
        .select("entity", "budget_price", "premium_price")
        .sort("entity")
        .collect(engine="streaming")
    )


def _spread(named: pl.LazyFrame) -> pl.DataFrame:
    texts = pl.concat([named.select("user_id", pl.col(name).alias("text")) for name in ("entity", "city", "area")])
    return (
        texts.drop_nulls()
        .unique()
        .group_by("text")
        .agg(pl.len().alias("n_users"))
        .sort("text")
        .collect(engine="streaming")
    )
