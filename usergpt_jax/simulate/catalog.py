"""The catalogue: leaf categories, their items and how items are titled, from `data/catalog.csv`.

An item is a leaf, a brand of one of six price tiers, a variant and a shop; its title and price are fixed. The
catalogue is the same for every seed.
"""

import csv
import dataclasses
import functools
import importlib.resources

import numpy as np

from usergpt_jax import schema
from usergpt_jax.simulate import places

N_TIERS = 6
N_SHOPS = 3
MAX_VARIANTS = 6
MAX_STEPS = MAX_VARIANTS - 1
_NEVER_STEP = 10_000  # months
TIER_LOG_PRICE = 0.36  # log price between neighbouring brand tiers

_OPENERS = ("", "", "2025 New", "[Official Store]", "[Flagship Store]", "Hot Sale", "[Certified]", "Best Selling")
_CLOSERS = (
    "", "", "Free Shipping", "Limited Offer", "Buy 2 Get 1", "Gift Box", "Ins Style", "Next Day Delivery",
    "Student Favourite", "Couple Style", "Maternity Safe", "Kid Friendly", "Factory Direct", "Renter Friendly",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Catalog:
    """The catalogue as arrays over leaves [C] and titles.

    Attributes:
      leaves: leaf names.
      sources: source number of each leaf [C].
      n_variants: variants of each leaf [C].
      steps: months of the child's age at which the next variant fits [C, MAX_STEPS].
      has_steps: whether the variant follows the child's age [C].
      price: median price of each leaf, NaN where nothing is sold [C].
      title_start: where the leaf's titles start [C]; numbered (tier, variant, shop), or (variant, destination).
      query_start: where its search queries start [C]; numbered by variant.
      by_destination: whether titles name a destination [C].
      titles: all titles, then all queries.
      item_ids: item id of each title ("" for a query).
    """

    leaves: tuple[str, ...]
    sources: np.ndarray
    n_variants: np.ndarray
    steps: np.ndarray
    has_steps: np.ndarray
    price: np.ndarray
    title_start: np.ndarray
    query_start: np.ndarray
    by_destination: np.ndarray
    titles: tuple[str, ...]
    item_ids: tuple[str, ...]


def read_rows(name: str) -> list[dict[str, str]]:
    """Rows of a CSV of the package's `data` folder."""
    path = importlib.resources.files("usergpt_jax") / "data" / name
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@functools.cache
def load() -> Catalog:
    """The built-in catalogue."""
    rows = read_rows("catalog.csv")
    brands = {row["key"]: row["brands"].split("|") for row in read_rows("brands.csv")}
    variants = [row["variants"].split("|") if row["variants"] else [""] for row in rows]
    steps = [[int(step) for step in row["steps"].split("|")] if row["steps"] else [] for row in rows]
    rng = np.random.default_rng(20250701)
    titles: list[str] = []
    item_ids: list[str] = []
    starts, query_starts = [], []
    for number, row in enumerate(rows):
        starts.append(len(titles))
        made = _trip_titles(row, variants[number]) if not row["brands"] else _titles(row, brands, variants[number], rng)
        titles += made
        item_ids += [f"c{number:03d}-{index:04d}" for index in range(len(made))]
    for row, names in zip(rows, variants, strict=True):
        query_starts.append(len(titles))
        titles += [f"{row['noun']} {name}".strip().lower() for name in names]
    item_ids += [""] * (len(titles) - len(item_ids))
    return Catalog(
        leaves=tuple(row["leaf"] for row in rows),
        sources=np.array([schema.SOURCES.index(row["source"]) for row in rows], np.int32),
        n_variants=np.array([len(names) for names in variants], np.int32),
        steps=np.array([(s + [_NEVER_STEP] * MAX_STEPS)[:MAX_STEPS] for s in steps], np.int32),
        has_steps=np.array([bool(s) for s in steps]),
        price=np.array([float(row["price"]) if row["price"] else np.nan for row in rows]),
        title_start=np.array(starts, np.int64),
        query_start=np.array(query_starts, np.int64),
        by_destination=np.array([not row["brands"] for row in rows]),
        titles=tuple(titles),
        item_ids=tuple(item_ids),
    )


def _titles(
    row: dict[str, str], brands: dict[str, list[str]], variants: list[str], rng: np.random.Generator
) -> list[str]:
    """Titles of one leaf: marketing words, brand, variant, core entity, marketing words. Venues carry none."""
    plain = row["source"] in ("poi", "other", "delivery")
    made = []
    for brand in brands[row["brands"]]:
        for variant in variants:
            for _ in range(N_SHOPS):
                opener, closer = rng.choice(_OPENERS), rng.choice(_CLOSERS)
                words = [brand, variant, row["noun"]] if plain else [opener, brand, variant, row["noun"], closer]
                made.append(" ".join(word for word in words if word))
    return made


def _trip_titles(row: dict[str, str], variants: list[str]) -> list[str]:
    """Titles of a travel leaf: one for each variant and destination."""
    joint = "to" if "ticket" in row["noun"] or "flight" in row["noun"] else "in"
    joint = "in" if row["noun"].startswith("attraction") else joint
    head = f"{row['noun'].capitalize()} {joint}"
    return [f"{head} {city}, {variant}" for variant in variants for city in places.DESTINATIONS]
