"""The catalogue: leaf categories, their products, prices and opening hours, from `data/catalog.csv`.

A product is a leaf, one of twelve brands (two a price tier) and a variant; two shops list it, each under its own noisy
title and item id. Venues, services and meals are made alike; travel goods are a variant and a destination instead. The
catalogue is the same for every seed.
"""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from usergpt_jax import locales, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import places, prices, titles
from usergpt_jax.simulate.titles import BAITS, N_SHOPS

__all__ = ["BAITS", "N_BRANDS", "N_SHOPS", "N_TIERS", "Catalog", "Market", "gold_table", "load", "parse", "title_price"]

N_TIERS = 6
N_BRANDS = 2 * N_TIERS  # tier = brand // 2
MAX_VARIANTS = 6
MAX_STEPS = MAX_VARIANTS - 1
ALWAYS = (0, 48)  # half hours
_NEVER_STEP = 10_000  # months
_PRICED = ("ecommerce", "delivery")  # sources where everything is sold
_HOURS = re.compile(r"(\d{1,2})(?::(00|30))?-(\d{1,2})(?::(00|30))?")
COLUMNS = ("leaf", "level1", "level2", "source", "price", "brands", "noun", "variants", "steps", "hours")


class Market(NamedTuple):
    """A locale's currency, its units for a yuan, and what codes of trains and flights start with."""

    currency: str
    price_scale: float
    train_codes: tuple[str, ...]
    flight_codes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Catalog:
    """The catalogue as arrays over leaves [L] and titles.

    Attributes:
      leaves, level1, level2: names of the leaf category and the two above it.
      sources: number in `schema.SOURCES` [L].
      n_variants: variants of each leaf [L], 1 to MAX_VARIANTS.
      steps: months of the child's age at which the next variant fits [L, MAX_STEPS].
      has_steps: whether the variant follows the child's age [L].
      price: price of a mid brand in the market's currency, NaN where nothing is sold [L].
      variant_log_price: log of a variant's price over the leaf's [L, MAX_VARIANTS].
      opens, closes: half hours of the day between which a visit or an order is possible [L]; a place that closes after
        midnight closes beyond 48.
      by_destination: whether titles name a destination [L] (travel).
      n_destinations: destinations of such a leaf.
      title_start: where the titles of a leaf start [L]: `+ (brand * n_variants + variant) * N_SHOPS + shop`, by
        destination `+ variant * n_destinations + destination`.
      query_start: where its search queries start [L]: `+ variant`.
      titles: all titles, then all queries.
      item_ids: item id of each title, "" for a query.
      bait: number in `BAITS` of a title's bait word, 0 for none [titles].
      core_entities: product noun of each leaf in Title Case.
      brands: brand names of each leaf, from cheap to dear; () by destination.
      attributes: at most three gold attributes of each title, () for a query.
      title_brands: brand of each title, "" without one.
      currency: of all prices.
    """

    leaves: tuple[str, ...]
    level1: tuple[str, ...]
    level2: tuple[str, ...]
    sources: np.ndarray
    n_variants: np.ndarray
    steps: np.ndarray
    has_steps: np.ndarray
    price: np.ndarray
    variant_log_price: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    by_destination: np.ndarray
    n_destinations: int
    title_start: np.ndarray
    query_start: np.ndarray
    titles: tuple[str, ...]
    item_ids: tuple[str, ...]
    bait: np.ndarray
    core_entities: tuple[str, ...]
    brands: tuple[tuple[str, ...], ...]
    attributes: tuple[tuple[str, ...], ...]
    title_brands: tuple[str, ...]
    currency: str

    def title_price(
        self, leaf: np.ndarray | int, brand: np.ndarray | int, variant: np.ndarray | int, shop: np.ndarray | int
    ) -> np.ndarray:
        """Prices of titles, float64, two decimals, NaN where nothing is sold.

        price = leaf price * exp(variant_log_price + prices.title_log_price(brand, shop)), without the latter for goods
        by destination, which have no brand and no shop. The arguments are arrays of one shape or broadcast.
        """
        leaf = np.asarray(leaf)
        of_title = np.where(self.by_destination[leaf], 0.0, prices.title_log_price(brand, shop))
        log_price = of_title + self.variant_log_price[leaf, np.asarray(variant)]
        return np.asarray(np.round(self.price[leaf] * np.exp(log_price), 2))


@functools.cache
def load(locale: str = locales.DEFAULT) -> Catalog:
    """The catalogue of a locale.

    Raises:
      InputError: no such locale, or a data file that does not hold together (see `parse`).
    """
    return parse(
        locales.read_rows("catalog.csv", locale),
        {row["key"]: tuple(row["brands"].split("|")) for row in locales.read_rows("brands.csv", locale)},
        titles.parse_words(locales.read_rows("title_words.csv", locale)),
        places.load(locale).destinations,
        _market(locale),
    )


def title_price(
    leaf: np.ndarray | int,
    brand: np.ndarray | int,
    variant: np.ndarray | int,
    shop: np.ndarray | int,
    locale: str = locales.DEFAULT,
) -> np.ndarray:
    """`Catalog.title_price` of a locale's catalogue."""
    return load(locale).title_price(leaf, brand, variant, shop)


def gold_table(locale: str = locales.DEFAULT) -> pa.Table:
    """One row for each item: what its noisy title truly sells.

    Returns:
      item_id, title, category (the leaf), level1, level2, brand (null without one), core_entity, attributes (list of at
      most three), price (null where nothing is sold).
    """
    shelf = load(locale)
    n_items = len(shelf.item_ids) - int(shelf.n_variants.sum())
    per_leaf = np.diff(shelf.title_start, append=n_items)
    leaf = np.repeat(np.arange(len(shelf.leaves)), per_leaf)
    within = np.arange(n_items) - shelf.title_start[leaf]
    travel, variants = shelf.by_destination[leaf], shelf.n_variants[leaf]
    product, shop = np.divmod(within, N_SHOPS)
    brand = np.where(travel, 0, product // variants)
    variant = np.where(travel, within // shelf.n_destinations, product % variants)
    price = shelf.title_price(leaf, brand, variant, np.where(travel, 0, shop))

    def named(names: Sequence[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(leaf, pa.int32()), pa.array(names)).cast(pa.string())

    return pa.table(
        {
            "item_id": shelf.item_ids[:n_items],
            "title": shelf.titles[:n_items],
            "category": named(shelf.leaves),
            "level1": named(shelf.level1),
            "level2": named(shelf.level2),
            "brand": pa.array([name or None for name in shelf.title_brands[:n_items]], pa.string()),
            "core_entity": named(shelf.core_entities),
            "attributes": pa.array([list(one) for one in shelf.attributes[:n_items]], pa.list_(pa.string())),
            "price": pa.array(price, pa.float64(), mask=np.isnan(price)),
        }
    )


def parse(
    rows: Sequence[Mapping[str, str]],
    brands: Mapping[str, tuple[str, ...]],
    words: titles.Words,
    destinations: Sequence[str],
    market: Market,
) -> Catalog:
    """A catalogue from the rows of its files.

    Args:
      rows: rows of catalog.csv with `COLUMNS`; hours "" (always), "9-21" or "9:30-22:00", "18-2" ends after midnight.
      brands: brand key -> N_BRANDS names from cheap to dear.
      words: word lists of titles.
      destinations: names of all destinations of travel goods.
      market: currency and codes.

    Raises:
      InputError: a missing column or level, a leaf twice, an unknown source or brand key, a key without N_BRANDS names,
        a price that is not positive or missing where something is sold, bad hours, too many variants or a blank one
        among them, or not one step less than variants.
    """
    for key, names in brands.items():
        if len(names) != N_BRANDS or len(set(names)) != N_BRANDS or not all(names):
            raise InputError(f"brands.csv, key {key!r}: {len(set(names))} brands, expected {N_BRANDS} different ones")
    leaves = [_leaf(row, brands) for row in rows]
    if twice := [leaf.entry.leaf for number, leaf in enumerate(leaves) if leaf.entry.leaf in _names(leaves[:number])]:
        raise InputError(f"catalog.csv: leaf {twice[0]!r} stands twice, expected each once")
    carriers = titles.Carriers(
        hotels=_brands_of(brands, "hotel", "titles of travel goods"),
        airlines=_brands_of(brands, "airline", "titles of travel goods"),
        agencies=_brands_of(brands, "travel", "titles of travel goods"),
        train_codes=market.train_codes,
        flight_codes=market.flight_codes,
    )
    made = [_listings(leaf, words, destinations, carriers) for leaf in leaves]
    listings = [one for group in made for one in group]
    queries = [f"{leaf.entry.noun} {name}".strip().lower() for leaf in leaves for name in leaf.entry.variants]
    n_variants = np.array([len(leaf.entry.variants) for leaf in leaves], np.int32)
    empty = [""] * len(queries)
    return Catalog(
        leaves=tuple(_names(leaves)),
        level1=tuple(leaf.entry.level1 for leaf in leaves),
        level2=tuple(leaf.entry.level2 for leaf in leaves),
        sources=np.array([leaf.source for leaf in leaves], np.int32),
        n_variants=n_variants,
        steps=np.array([(leaf.steps + [_NEVER_STEP] * MAX_STEPS)[:MAX_STEPS] for leaf in leaves], np.int32),
        has_steps=np.array([bool(leaf.steps) for leaf in leaves]),
        price=np.array([leaf.price for leaf in leaves]) * market.price_scale,
        variant_log_price=np.stack([_variant_log_price(leaf) for leaf in leaves]),
        opens=np.array([leaf.hours[0] for leaf in leaves], np.int32),
        closes=np.array([leaf.hours[1] for leaf in leaves], np.int32),
        by_destination=np.array([leaf.by_destination for leaf in leaves]),
        n_destinations=len(destinations),
        title_start=np.cumsum([0, *map(len, made[:-1])], dtype=np.int64),
        query_start=len(listings) + np.cumsum([0, *n_variants[:-1]], dtype=np.int64),
        titles=(*(one.title for one, _ in listings), *queries),
        item_ids=(*(f"c{leaf:03d}-{i:04d}" for leaf, group in enumerate(made) for i in range(len(group))), *empty),
        bait=np.array([one.bait for one, _ in listings] + [0] * len(queries), np.int8),
        core_entities=tuple(titles.core_entity(leaf.entry, words) for leaf in leaves),
        brands=tuple(leaf.entry.brands for leaf in leaves),
        attributes=(*(one.attributes for one, _ in listings), *[()] * len(queries)),
        title_brands=(*(brand for _, brand in listings), *empty),
        currency=market.currency,
    )


class _Leaf(NamedTuple):
    entry: titles.Entry
    source: int
    price: float
    steps: list[int]
    hours: tuple[int, int]
    by_destination: bool


def _names(leaves: Sequence[_Leaf]) -> list[str]:
    return [leaf.entry.leaf for leaf in leaves]


def _leaf(row: Mapping[str, str], brands: Mapping[str, tuple[str, ...]]) -> _Leaf:
    """A checked row of catalog.csv."""
    where = f"catalog.csv, leaf {row.get('leaf', '')!r}"
    if missing := [name for name in COLUMNS if row.get(name) is None]:
        raise InputError(f"{where}: no column {missing[0]!r}, expected {', '.join(COLUMNS)}")
    if empty := [name for name in ("leaf", "level1", "level2", "noun") if not row[name]]:
        raise InputError(f"{where}: {empty[0]} is empty, expected a name")
    if row["source"] not in schema.SOURCES:
        raise InputError(f"{where}: source {row['source']!r}, expected one of {', '.join(schema.SOURCES)}")
    variants = tuple(row["variants"].split("|"))
    if len(variants) > MAX_VARIANTS or (row["variants"] and not all(name.strip() for name in variants)):
        raise InputError(f"{where}: variants {row['variants']!r}, expected 1 to {MAX_VARIANTS} names joined by |")
    if row["source"] in _PRICED and not row["price"]:
        raise InputError(f"{where}: price is empty, expected a positive number on {row['source']}")
    names = _brands_of(brands, row["brands"], where) if row["brands"] else ()
    identity = (row["leaf"], row["level1"], row["level2"], row["brands"], row["noun"])
    return _Leaf(
        entry=titles.Entry(*identity, variants, names, bool(row["steps"])),
        source=schema.SOURCES.index(row["source"]),
        price=_price(row["price"], where),
        steps=_steps(row["steps"], len(variants), where),
        hours=_hours(row["hours"], where),
        by_destination=not row["brands"],
    )


def _brands_of(brands: Mapping[str, tuple[str, ...]], key: str, where: str) -> tuple[str, ...]:
    if key not in brands:
        raise InputError(f"{where}: unknown brand key {key!r}, expected one of {', '.join(brands)} (brands.csv)")
    return brands[key]


def _price(text: str, where: str) -> float:
    """Price in yuan, NaN for ""."""
    if text and not re.fullmatch(r"\d*[1-9]\d*(\.\d+)?|0*\.\d*[1-9]\d*", text):
        raise InputError(f"{where}: price {text!r}, expected a positive number, or nothing where nothing is sold")
    return float(text) if text else float("nan")


def _steps(text: str, n_variants: int, where: str) -> list[int]:
    """Months of the child's age; [] for ""."""
    steps = text.split("|") if text else []
    if steps and len(steps) != n_variants - 1:
        raise InputError(f"{where}: {len(steps)} steps for {n_variants} variants, expected {n_variants - 1}")
    if not all(step.isdecimal() for step in steps) or sorted(map(int, steps)) != [int(step) for step in steps]:
        raise InputError(f"{where}: steps {text!r}, expected rising whole months joined by |")
    return [int(step) for step in steps]


def _hours(text: str, where: str) -> tuple[int, int]:
    """Opening and closing half hours; closing lies beyond 48 after midnight."""
    if not text:
        return ALWAYS
    if not (match := _HOURS.fullmatch(text.replace(" ", ""))):
        raise InputError(f"{where}: hours {text!r}, expected such as 9-21 or 9:30-22:00, or nothing for always")
    opens, closes = (2 * int(match[n]) + (match[n + 1] == "30") for n in (1, 3))
    if opens >= 48 or closes > 48 or opens == closes:
        raise InputError(f"{where}: hours {text!r}, expected hours of a day from 0 to 24, not the same twice")
    return opens, closes if closes > opens else closes + 48


def _listings(
    leaf: _Leaf, words: titles.Words, destinations: Sequence[str], carriers: titles.Carriers
) -> list[tuple[titles.Listing, str]]:
    """The titles of a leaf, each with its brand."""
    if leaf.by_destination:
        return list(titles.trips(leaf.entry, words, destinations, leaf.price, carriers))
    source = schema.SOURCES[leaf.source]
    noisy = source in ("ecommerce", "travel")
    written = titles.goods(leaf.entry, words) if noisy else titles.plain(leaf.entry, words, source)
    per_brand = len(leaf.entry.variants) * N_SHOPS
    return [(one, leaf.entry.brands[i // per_brand]) for i, one in enumerate(written)]


def _variant_log_price(leaf: _Leaf) -> np.ndarray:
    logs = prices.variant_log_prices(leaf.entry.variants, leaf.by_destination)
    return np.pad(logs, (0, MAX_VARIANTS - len(logs)))


def _market(locale: str) -> Market:
    """Currency and codes from market.toml."""
    found = tomllib.loads(locales.read_text("market.toml", locale))
    scale = found.get("price_scale")
    if not isinstance(scale, float) or scale <= 0:
        raise InputError(f"market.toml of {locale}: price_scale {scale!r}, expected a positive number such as 0.2")
    if missing := [key for key in Market._fields if not found.get(key)]:
        raise InputError(f"market.toml of {locale}: no {missing[0]}, expected {', '.join(Market._fields)}")
    return Market(found["currency"], scale, tuple(found["train_codes"]), tuple(found["flight_codes"]))
