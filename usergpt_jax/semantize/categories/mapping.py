"""Category mapping: from the titles and categories of any log to the catalogue's leaves, in three steps.

1. `map`: the user's own map of categories; `category`: the category's last part is a leaf's name, query or synonym.
2. `title`: the title names a leaf in words (`phrases`).
3. `nearest`: the leaf nearest to title and category in the space of a text embedder.

The first step that is confident enough decides; when none is, or the user's map says so, it is `other`: no leaf.
Every distinct pair is mapped once.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import refine
from usergpt_jax.semantize.categories import calibrate, category_map, leaves, phrases
from usergpt_jax.semantize.categories.category_map import Target
from usergpt_jax.semantize.categories.hashing import Embedder
from usergpt_jax.semantize.categories.leaves import KINDS, Leaves
from usergpt_jax.semantize.categories.nearest import Calibration, Prototypes, prototypes
from usergpt_jax.semantize.categories.words import words_of
from usergpt_jax.semantize.title_entity import title_entity

STEPS = ("map", "category", "title", "nearest", "other")
THRESHOLD = 0.9
# Confidence that a category is the leaf that has its name.
CATEGORY_CONFIDENCE = {"name": 1.0, "noun": 0.97, "synonym": 0.95, "query": 0.95}
_CHUNK = 1 << 16
_SCHEMA = {"title": pl.String, "category": pl.String, "leaf": pl.String, "step": pl.String, "confidence": pl.Float64}

Refiner = Callable[[pl.DataFrame], pl.DataFrame]


@dataclasses.dataclass(frozen=True)
class Mapper:
    """What pairs are mapped with.

    Attributes:
      leaves: to choose from.
      prototypes: of the same leaves; None leaves the step `nearest` out.
      targets: the user's map; see `category_map`.
      threshold: confidence below which there is no leaf.
    """

    leaves: Leaves
    prototypes: Prototypes | None = None
    targets: Mapping[str, Target] = dataclasses.field(default_factory=dict)
    threshold: float = THRESHOLD

    def __post_init__(self):
        """Raises `InputError` for a threshold outside of 0 to 1."""
        if not 0 <= self.threshold <= 1:
            raise InputError(f"category mapping: threshold {self.threshold}, expected 0 to 1")


def load_mapper(
    locale: str = locales.DEFAULT,
    *,
    sources: tuple[str, ...] = (),
    map_file: str = "",
    threshold: float = THRESHOLD,
    embed: Embedder | None = None,
    calibration: Calibration | None = None,
) -> Mapper:
    """A mapper onto the leaves of a locale.

    Args:
      locale: name of the locale.
      sources: of `schema.SOURCES`, those that the log has; () for all.
      map_file: CSV of the user's own map (`category_map.read_map`), "" for none.
      threshold: confidence below which there is no leaf.
      embed: text embedder; hashed n-grams by default.
      calibration: of that embedder; fitted when it is not given.

    Raises:
      InputError: a locale, source, file or threshold at fault.
    """
    known = leaves.load(locale, sources)
    targets = category_map.read_map(map_file, known) if map_file else {}
    mapper = Mapper(known, prototypes(known), targets, threshold)
    return with_embedder(mapper, embed, calibration) if embed else mapper


def with_embedder(mapper: Mapper, embed: Embedder, calibration: Calibration | None = None) -> Mapper:
    """The mapper with another text embedder, whose confidence is fitted on the leaves' own names when not given."""
    made = prototypes(mapper.leaves, embed)
    calibration = calibration or calibrate.fit(mapper.leaves, made)
    return dataclasses.replace(mapper, prototypes=dataclasses.replace(made, calibration=calibration))


def map_pairs(pairs: pl.DataFrame, mapper: Mapper) -> pl.DataFrame:
    """Maps distinct pairs.

    Args:
      pairs: `title`, `category` (null where there is none), other columns are not read.
      mapper: see there.

    Returns:
      `title`, `category`, `leaf` (null for other), `step` (one of `STEPS`) and `confidence`: of the leaf, of the best
      that was refused, or 1 where the user's map says other. A pair's row depends on that pair alone.
    """
    found = candidates(pairs, mapper)
    sure = (pl.col("confidence") >= mapper.threshold) & pl.col("leaf").is_not_null()
    return found.with_columns(
        pl.when(sure).then(pl.col("leaf")), pl.when(sure).then(pl.col("step")).otherwise(pl.lit("other")).alias("step")
    )


def candidates(pairs: pl.DataFrame, mapper: Mapper) -> pl.DataFrame:
    """The same with the best leaf and its step even below the threshold."""
    distinct = pairs.select(pl.col("title", "category").cast(pl.String)).unique().sort("title", "category")
    chunks = [_chunk(distinct.slice(start, _CHUNK), mapper) for start in range(0, distinct.height, _CHUNK)]
    return pl.concat(chunks) if chunks else pl.DataFrame(schema=_SCHEMA)


def mapped_refiner(refiner: Refiner, mapped: pl.DataFrame) -> Refiner:
    """A refiner that is shown a pair's leaf, where it has one, as category; its answers keep the log's category."""
    known = mapped.select("title", "category", "leaf")

    def refined(titles: pl.DataFrame) -> pl.DataFrame:
        keys = ["title", "category"]
        given = titles.select(keys).join(known, on=keys, how="left", nulls_equal=True, maintain_order="left")
        shown = given.with_columns(pl.coalesce("leaf", "category").alias("shown"))
        answers = refiner(shown.select("title", pl.col("shown").alias("category")).unique(maintain_order=True))
        answers = answers.rename({"category": "shown"})
        joined = shown.join(answers, on=["title", "shown"], how="left", nulls_equal=True, maintain_order="left")
        return joined.drop("shown", "leaf")

    return refined


def _chunk(pairs: pl.DataFrame, mapper: Mapper) -> pl.DataFrame:
    cleaned = pairs.select(refine.without_marketing(pl.col("title"))).to_series().fill_null("").to_list()
    leaf = np.full(pairs.height, -1, np.int64)
    confidence = np.zeros(pairs.height)
    step = np.full(pairs.height, STEPS.index("other"), np.int8)
    left: dict[tuple[int, ...] | None, list[int]] = {}
    of_category: dict[str, tuple[Target | None, phrases.Found | None]] = {}
    for row, (title, category) in enumerate(zip(cleaned, pairs["category"], strict=True)):
        if category not in of_category:
            of_category[category] = _by_category(category, mapper)
        target, named = of_category[category]
        if target is not None and len(target.leaves) < 2:
            leaf[row], confidence[row], step[row] = (*target.leaves, -1)[0], 1.0, STEPS.index("map")
            continue
        if target is None and named is not None and named.confidence >= mapper.threshold:
            leaf[row], confidence[row], step[row] = *named, STEPS.index("category")
            continue
        allowed = target.leaves if target else None
        if (found := phrases.find(title, mapper.leaves, allowed)) is not None:
            leaf[row], confidence[row], step[row] = *found, STEPS.index("title")
        if leaf[row] < 0 or confidence[row] < mapper.threshold:
            left.setdefault(allowed, []).append(row)
    if mapper.prototypes is not None:
        categories = refine.leaf(pairs["category"]).fill_null("").to_list()
        for allowed, rows in left.items():
            heads = [title_entity(cleaned[row].replace(refine.HYPHEN, "-")) for row in rows]
            wholes = [f"{cleaned[row]} {categories[row]}" for row in rows]
            found = mapper.prototypes.nearest(heads, wholes, allowed)
            sure = mapper.prototypes.calibration.confidence(found.similarity, found.margin).astype(np.float64).round(4)
            better = sure > confidence[rows]
            chosen = np.array(rows)[better]
            leaf[chosen], confidence[chosen], step[chosen] = found.leaf[better], sure[better], STEPS.index("nearest")
    names = [mapper.leaves.names[number] if number >= 0 else None for number in leaf]
    return pairs.with_columns(
        pl.Series("leaf", names, pl.String),
        pl.Series("step", [STEPS[number] for number in step], pl.String),
        pl.Series("confidence", confidence),
    )


def _by_category(category: str | None, mapper: Mapper) -> tuple[Target | None, phrases.Found | None]:
    """What the user's map says of a category, and the leaf that has its name."""
    if not category or not category.strip():
        return None, None
    if (target := category_map.look_up(category, mapper.targets)) is not None:
        return target, None
    phrase = " ".join(words_of(category_map.normal(category).rpartition(" > ")[2]))
    leaf, kind = mapper.leaves.phrases.get(phrase, -1), mapper.leaves.kinds.get(phrase)
    return None, phrases.Found(leaf, CATEGORY_CONFIDENCE[KINDS[kind]]) if kind is not None else None
