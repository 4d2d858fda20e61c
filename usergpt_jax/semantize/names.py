"""What the events of a part are about, as numbers: entity, attributes, city and area, and the price bounds."""

from typing import NamedTuple

import numpy as np
import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.coded import NONE, Coded
from usergpt_jax.semantize.refine import ATTRIBUTES

PRICE_BAND = "price_band"
BANDS = ("budget", "premium")
ATTRIBUTE_KINDS = (PRICE_BAND, *ATTRIBUTES)
REASONS = ("empty", "stop_word", "too_long", "too_complex")  # why the filter drops an entity
_TRAVEL = schema.SOURCES.index("travel")


class Lexicon(NamedTuple):
    """What refinement made of a log's distinct texts.

    Attributes:
      titles: `title`, `category`, `entity`, `size`, `audience`, `brand`, `dropped` (one of `REASONS`, or null to keep),
        `title_city` (the city that the title names, or null).
      places: `place`, `city`, `area` (null: nothing visible).
    """

    titles: pl.DataFrame
    places: pl.DataFrame


class Names(NamedTuple):
    """The names of a part's events. Texts are numbered in alphabetical order, so that ties by text are ties by number.

    Attributes:
      texts: distinct entities, cities and areas.
      entity: text of each row of the log's titles, NONE where the filter dropped it [T].
      dropped: number in `REASONS` of each row of the titles, NONE where it is kept [T].
      entity_texts: the entities as refined, dropped ones too [T].
      attributes: for each kind of `refine.ATTRIBUTES`, its words in alphabetical order and the word of each row of the
        titles, NONE where it has none [T].
      title_city: text of the city that a title names [T].
      city: text of the city of each place [P].
      area: text of the area of each place [P].
    """

    texts: pl.Series
    entity: np.ndarray
    dropped: np.ndarray
    entity_texts: pl.Series
    attributes: dict[str, tuple[pl.Series, np.ndarray]]
    title_city: np.ndarray
    city: np.ndarray
    area: np.ndarray

    def city_of(self, log: Coded) -> np.ndarray:
        """The city of each event [E]; a travel event without a place takes the one that its title names."""
        city = self.of_place(self.city, log)
        named = (log.source == _TRAVEL) & (log.place == NONE)
        return np.where(named, self.title_city[log.title], city)

    def area_of(self, log: Coded) -> np.ndarray:
        """The area of each event [E]."""
        return self.of_place(self.area, log)

    def of_place(self, values: np.ndarray, log: Coded) -> np.ndarray:
        """A value of each event's place, NONE where it has none [E]."""
        return np.append(values, np.int32(NONE))[log.place]


def names_of(log: Coded, lexicon: Lexicon) -> Names:
    """Looks up the log's titles and places."""
    titles = log.titles.join(
        lexicon.titles, on=["title", "category"], how="left", nulls_equal=True, maintain_order="left"
    )
    places = pl.DataFrame({"place": log.places}).join(lexicon.places, on="place", how="left", maintain_order="left")
    entity = titles.select(pl.when(pl.col("dropped").is_null()).then(pl.col("entity"))).to_series()
    columns = [entity, titles["title_city"], places["city"], places["area"]]
    texts = pl.concat([column.drop_nulls().rename("text") for column in columns]).unique().sort()
    numbers = [_number(column, texts) for column in columns]
    kinds = {kind: titles[kind].drop_nulls().unique().sort() for kind in ATTRIBUTES}
    return Names(
        texts=texts,
        entity=numbers[0],
        dropped=_number(titles["dropped"], pl.Series(REASONS)),
        entity_texts=titles["entity"],
        attributes={kind: (words, _number(titles[kind], words)) for kind, words in kinds.items()},
        title_city=numbers[1],
        city=numbers[2],
        area=numbers[3],
    )


def _number(texts: pl.Series, words: pl.Series) -> np.ndarray:
    """Number of each text in `words`, NONE for null."""
    numbers = np.arange(len(words), dtype=np.int32)
    return texts.replace_strict(words, numbers, default=NONE, return_dtype=pl.Int32).fill_null(NONE).to_numpy()


def price_band(log: Coded, names: Names, bounds: pl.DataFrame) -> np.ndarray:
    """Where each event's price stands among those of its entity, as number in `BANDS` [E].

    NONE stands for a price between the bounds, no price, or an entity without bounds.

    Args:
      log: events.
      names: theirs.
      bounds: `entity`, `budget_price`, `premium_price`: at most, at least that price.
    """
    found = pl.DataFrame({"entity": names.texts}).join(bounds, on="entity", how="left", maintain_order="left")
    low, high = (
        found[name].fill_null(np.nan).to_numpy().astype(np.float32) for name in ("budget_price", "premium_price")
    )
    entity = names.entity[log.title]
    at_most, at_least = (np.append(bound, np.float32(np.nan))[entity] for bound in (low, high))
    return np.where(log.price >= at_least, 1, np.where(log.price <= at_most, 0, NONE)).astype(np.int32)
