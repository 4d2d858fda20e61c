"""Salience: which items stand for a slice, and with which attributes.

Paper: §2.3 stage 3 (salience of a category is its frequency; Top-K). Differs from the paper: cities and areas are
ranked apart from entities, and ties, which are many in short slices, are broken by how rare the item is in the log.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.coded import NONE, Coded
from usergpt_jax.semantize.names import BANDS, PRICE_BAND, Names

ENTITY, CITY, AREA = 0, 1, 2
ODD_USERS = 3  # an entity of fewer users is more often a refinement gone wrong than a rare interest
_TRAVEL = schema.SOURCES.index("travel")


class Slices(NamedTuple):
    """Slices of some users.

    Attributes:
      lines: one row a slice as `aggregate.slices` makes them; a slice whose events were all filtered has no row.
      items: one row an item with `slice`, `kind` (ENTITY, CITY or AREA), `text`, `frequency`, and `rank` in slice and
        kind, sorted by these.
    """

    lines: pl.DataFrame
    items: pl.DataFrame


def rank_items(
    log: Coded,
    of_event: np.ndarray,
    lines: pl.DataFrame,
    names: Names,
    band: np.ndarray,
    spread: pl.DataFrame,
    kinds: tuple[str, ...],
    max_attributes: int,
) -> Slices:
    """Ranks the items of each slice by salience.

    An item is an entity with the attributes that at least half of its events in the slice carry: at most
    `max_attributes`, in the order of `kinds`, one of a kind (of equals the latest). Salience is the number of events
    in the slice; ties go to items of at least `ODD_USERS` users, of these to the one that fewer users of the log have,
    then to the latest, then to the alphabet.

    Args:
      log: the events of the slices.
      of_event: slice of each event [E].
      lines: the slices.
      names: of the events.
      band: price band of each event [E].
      spread: of the survey.
      kinds: of `names.ATTRIBUTE_KINDS`, most telling first.
      max_attributes: attributes kept an item.
    """
    events = pl.DataFrame({"slice": of_event, "second": log.second})
    entity = names.entity[log.title]
    counted = pl.concat(
        [
            _count(events, text, kind)
            for kind, text in ((ENTITY, entity), (CITY, names.city_of(log)), (AREA, names.area_of(log)))
        ]
    )
    words = {kind: (found, number[log.title]) for kind, (found, number) in names.attributes.items()}
    words[PRICE_BAND] = (pl.Series(BANDS), band)
    suffixes = _suffixes(events, entity, counted, [words[kind] for kind in kinds], max_attributes)
    n_users = pl.DataFrame({"text": names.texts}).join(spread, on="text", how="left", maintain_order="left")["n_users"]
    ranked = (
        counted.with_columns(n_users.gather(counted["number"]).alias("n_users"))
        .with_columns((pl.col("n_users") < ODD_USERS).alias("odd"))
        .sort(
            ["slice", "kind", "frequency", "odd", "n_users", "latest", "number"],
            descending=[False, False, True, False, False, True, False],
        )
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("slice", "kind").alias("rank"))
        .join(suffixes, on=["slice", "kind", "number"], how="left", maintain_order="left")
    )
    text = pl.lit(names.texts.gather(ranked["number"]))
    items = ranked.with_columns(pl.concat_str(text, pl.col("suffix").fill_null("")).alias("text"))
    items = items.select("slice", "kind", "text", "frequency", "rank")
    return Slices(lines.join(items.select("slice").unique(), on="slice", how="semi", maintain_order="left"), items)


def _count(events: pl.DataFrame, text: np.ndarray, kind: int) -> pl.DataFrame:
    """Events and the latest time of each text of a slice."""
    return (
        events.with_columns(pl.Series("number", text))
        .filter(pl.col("number") != NONE)
        .group_by("slice", "number")
        .agg(pl.len().cast(pl.Int32).alias("frequency"), pl.col("second").max().alias("latest"))
        .with_columns(pl.lit(kind, pl.Int8).alias("kind"))
    )


def _suffixes(
    events: pl.DataFrame,
    entity: np.ndarray,
    counted: pl.DataFrame,
    words: list[tuple[pl.Series, np.ndarray]],
    max_attributes: int,
) -> pl.DataFrame:
    """`suffix` of each entity in its slice, e.g. " (premium; women)"; entities without one are absent."""
    key = ["slice", "number"]
    entities = events.with_columns(pl.Series("number", entity)).filter(pl.Series(entity != NONE))
    frequencies = counted.filter(pl.col("kind") == ENTITY).select(*key, "frequency")
    chosen = []
    for position, (found, number) in enumerate(words):
        single = entities.with_columns(pl.Series("word", number[entity != NONE])).filter(pl.col("word") != NONE)
        single = (
            single.group_by(*key, "word")
            .agg(pl.len().alias("n"), pl.col("second").max().alias("latest"))
            .join(frequencies, on=key)
            .filter(2 * pl.col("n") >= pl.col("frequency"))
            .sort([*key, "n", "latest", "word"], descending=[False, False, True, True, False])
            .unique(key, keep="first", maintain_order=True)
        )
        word = found.gather(single["word"]) if len(found) else pl.Series([], dtype=pl.String)
        chosen.append(single.select(*key, pl.lit(position).alias("position")).with_columns(word.alias("word")))
    empty = pl.DataFrame(schema={**events.schema, "number": pl.Int32, "position": pl.Int32, "word": pl.String})
    return (
        pl.concat(chosen or [empty.drop("second")])
        .sort(*key, "position")
        .group_by(key, maintain_order=True)
        .agg(pl.col("word").head(max_attributes))
        .filter(pl.col("word").list.len() > 0)
        .select(
            *key,
            pl.lit(ENTITY, pl.Int8).alias("kind"),
            pl.format(" ({})", pl.col("word").list.join("; ")).alias("suffix"),
        )
    )


def top_k(slices: Slices, entities: int, places: int) -> Slices:
    """Keeps the most salient items of each slice: at most so many entities, and so many cities and areas.

    A travel slice keeps as many cities as entities, for there the cities are what it tells.
    """
    source = slices.lines.select("slice", "source")
    items = slices.items.join(source, on="slice", how="left", maintain_order="left")
    is_place = (pl.col("kind") != ENTITY) & (pl.col("source") != _TRAVEL)
    limit = pl.when(is_place).then(places).otherwise(entities)
    return Slices(slices.lines, items.filter(pl.col("rank") < limit).drop("source"))
