"""The survey: what semantizing needs to know of the whole log before the users are written down.

It holds the refined titles and places, the price bounds of each entity and how widespread each text is. The last two
are statistics over all users before their `as_of`, so a MUB depends on the log it was made in. Each part is tallied by
itself and tallies add up in any order: on one machine, on many, or day by day.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from usergpt_jax import gazetteer, schema
from usergpt_jax.semantize import coded, refine
from usergpt_jax.semantize import filter as filter_lib
from usergpt_jax.semantize.coded import NONE, Coded
from usergpt_jax.semantize.names import Lexicon, Names

BUDGET_QUANTILE, PREMIUM_QUANTILE = 0.2, 0.8
TEXT_COLUMNS = ("title", "category", "place")
_PURCHASE = schema.ACTIONS.index("purchase")

Refiner = Callable[[pl.DataFrame], pl.DataFrame]  # see `refine.refine_table`


class Texts(NamedTuple):
    """Distinct texts of a log: `titles` (`title`, `category`, and `n` events of each pair) and `places`."""

    titles: pl.DataFrame
    places: pl.Series


class Tally(NamedTuple):
    """Counts over users; those of a log are the sums of those of its parts.

    Attributes:
      prices: `entity`, `price`, `n`: priced purchases.
      spread: `text` of an entity, city or area, `n_users`: users with an event of it.
    """

    prices: pl.DataFrame
    spread: pl.DataFrame


class Survey(NamedTuple):
    """Statistics of a log.

    Attributes:
      lexicon: refined titles and places.
      bounds: `entity`, `budget_price`, `premium_price`: at most, at least that price.
      spread: as in `Tally`.
    """

    lexicon: Lexicon
    bounds: pl.DataFrame
    spread: pl.DataFrame


def texts_of(table: pa.Table) -> Texts:
    """The distinct texts of a part, a table with `TEXT_COLUMNS`."""
    return Texts(coded.distinct_titles(table), coded.distinct(table["place"]))


def merge_texts(parts: Iterable[Texts]) -> Texts:
    """The distinct texts of several parts, sorted."""
    titles, places = zip(*parts, strict=True)
    all_places = pl.concat([one.alias("place") for one in places])
    counted = pl.concat(titles).group_by("title", "category").agg(pl.col("n").sum())
    return Texts(counted.sort("title", "category"), all_places.unique().sort())


def lexicon_of(texts: Texts, refiner: Refiner = refine.refine_table, locale: str = gazetteer.ANY) -> Lexicon:
    """Refines, filters and escapes each distinct text once; `locale` is the one whose cities are known."""
    titles = filter_lib.filter_entities(refiner(texts.titles.select("title", "category")))
    cities = refine.title_city_table(titles["title"].unique(maintain_order=True), locale)
    places = filter_lib.filter_places(refine.place_table(texts.places, locale))
    return Lexicon(titles.join(cities, on="title", how="left", maintain_order="left"), places)


def user_texts(log: Coded, names: Names) -> pl.DataFrame:
    """The distinct entities, cities and areas of each user: `user_id`, `text`."""
    keys = [_keys(log.user, texts) for texts in (names.entity[log.title], names.city_of(log), names.area_of(log))]
    key = pl.concat([pl.Series(one).unique() for one in keys]).unique().to_numpy()
    return pl.DataFrame({"user_id": log.users.gather(key >> 32), "text": names.texts.gather(key & 0xFFFFFFFF)})


def tally(log: Coded, names: Names, known: pl.DataFrame | None = None) -> Tally:
    """Counts the users of a part.

    Args:
      log: their events.
      names: of the events.
      known: `user_id`, `text` that were counted before, if any.
    """
    entity = names.entity[log.title]
    sold = (log.action == _PURCHASE) & ~np.isnan(log.price) & (entity != NONE)
    prices = pl.DataFrame({"entity": names.texts.gather(entity[sold]), "price": log.price[sold]})
    texts = user_texts(log, names)
    if known is not None:
        texts = texts.join(known, on=["user_id", "text"], how="anti")
    return Tally(
        prices.group_by("entity", "price").agg(pl.len().alias("n")),
        texts.group_by("text").agg(pl.len().alias("n_users")),
    )


def merge_tallies(parts: Iterable[Tally]) -> Tally:
    """The counts of several parts together, sorted."""
    prices, spread = zip(*parts, strict=True)
    return Tally(
        pl.concat(prices).group_by("entity", "price").agg(pl.col("n").sum()).sort("entity", "price"),
        pl.concat(spread).group_by("text").agg(pl.col("n_users").sum()).sort("text"),
    )


def survey_of(lexicon: Lexicon, counted: Tally, *, min_band_purchases: int) -> Survey:
    """The survey of a log.

    Args:
      lexicon: of its texts.
      counted: over all its parts.
      min_band_purchases: priced purchases of an entity below which it gets no price bounds.
    """
    return Survey(lexicon, _price_bounds(counted.prices, min_band_purchases), counted.spread)


def _price_bounds(prices: pl.DataFrame, min_band_purchases: int) -> pl.DataFrame:
    """Quantiles by the nearest rank: of n prices in order, the one at 0.2 * (n - 1) and at 0.8 * (n - 1), rounded."""

    def at(quantile: float) -> pl.Expr:
        rank = (quantile * (pl.col("n").sum() - 1)).round(mode="half_away_from_zero")
        return pl.col("price").filter(pl.col("n").cum_sum() > rank).first()

    return (
        prices.sort("entity", "price")
        .group_by("entity", maintain_order=True)
        .agg(
            pl.col("n").sum().alias("total"),
            at(BUDGET_QUANTILE).alias("budget_price"),
            at(PREMIUM_QUANTILE).alias("premium_price"),
        )
        .filter((pl.col("total") >= min_band_purchases) & (pl.col("budget_price") < pl.col("premium_price")))
        .select("entity", "budget_price", "premium_price")
    )


def _keys(user: np.ndarray, text: np.ndarray) -> np.ndarray:
    stated = text != NONE
    return user[stated].astype(np.int64) << 32 | text[stated]
