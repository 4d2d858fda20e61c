"""How long the text of events is, in characters and tokens, raw and refined: what the MUB is measured against.

A raw event is written plainly, "2025-01-02 10:11:12 source action title category place price quantity": fields joined
by spaces, null ones left out. A refined one has "entity (attributes) city area" after the action. Tokens are counted a
field (with its space; the clock in two, minutes and seconds) and summed; each distinct field is measured once.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize.aggregate import SECONDS_PER_DAY
from usergpt_jax.semantize.coded import NONE, Coded
from usergpt_jax.semantize.names import BANDS, PRICE_BAND, Names
from usergpt_jax.semantize.token_count import Counter

_MOST_KEYS = 1 << 24  # numbers below this are looked up in a table


class Sizes(NamedTuple):
    """Characters and tokens of each event [E]."""

    chars: np.ndarray
    tokens: np.ndarray

    def plus(self, other: "Sizes") -> "Sizes":
        """Both together."""
        return Sizes(self.chars + other.chars, self.tokens + other.tokens)


def raw(log: Coded, counter: Counter) -> tuple[Sizes, Sizes]:
    """The size of each raw event; and of its head alone, what raw and refined events have in common."""
    head = _head(log, counter)
    text = _of_words(log.titles["title"], log.title, counter)
    text = text.plus(_of_words(log.titles["category"], log.title, counter))
    text = text.plus(_of_words(log.places, log.place, counter))
    # int64 holds any price and count: float32 ends at 3.4e38, where nothing is sold.
    cents = np.rint(np.clip(np.nan_to_num(log.price, nan=-1e9).astype(np.float64), -1e9, 1e15) * 100)
    text = text.plus(_of_numbers(cents.astype(np.int64), ~np.isnan(log.price), _price, counter))
    units = np.rint(np.clip(np.nan_to_num(log.quantity).astype(np.float64), -1e15, 1e15)).astype(np.int64)
    text = text.plus(_of_numbers(units, ~np.isnan(log.quantity), lambda unit: f" {unit}", counter))
    return head.plus(text), head


def refined(
    log: Coded, names: Names, band: np.ndarray, head: Sizes, kinds: tuple[str, ...], counter: Counter
) -> tuple[int, int]:
    """Characters and tokens of all events with their names instead of title, category, place, price and quantity.

    Args:
      log: events.
      names: theirs.
      band: price band of each event.
      head: of `raw`.
      kinds: attributes that are written, in order.
      counter: counts tokens.
    """
    n_bands = len(BANDS) + 1
    key = log.title * n_bands + (band + 1 if PRICE_BAND in kinds else 0)
    events = np.bincount(key)
    used = np.flatnonzero(events)
    events = events[used]
    title, of_band = used // n_bands, used % n_bands - 1
    words = {PRICE_BAND: _gather(pl.Series(BANDS), of_band)}
    words |= {kind: _gather(found, number[title]) for kind, (found, number) in names.attributes.items()}
    entity = pl.when(pl.lit(pl.Series(names.entity[title] != NONE))).then(pl.lit(names.entity_texts.gather(title)))
    listed = (
        pl.concat_str([pl.lit(words[kind]) for kind in kinds], separator="; ", ignore_nulls=True)
        if kinds
        else pl.lit("")
    )
    suffix = pl.when(listed != "").then(pl.format(" ({})", listed)).otherwise(pl.lit(""))
    texts = pl.select(pl.format(" {}{}", entity, suffix)).to_series()
    total = np.array([head.chars.sum(), head.tokens.sum()], np.int64)
    total += _sum(texts, events, counter)
    for place in (names.city_of(log), names.area_of(log)):
        times = np.bincount(place[place != NONE], minlength=len(names.texts))
        total += _sum(" " + names.texts.filter(pl.Series(times > 0)), times[times > 0], counter)
    return int(total[0]), int(total[1])


def _head(log: Coded, counter: Counter) -> Sizes:
    day, clock = np.divmod(log.second, SECONDS_PER_DAY)
    first = int(day.min(initial=0))
    every = np.ones(len(log), bool)
    head = _of_numbers(day - first, every, lambda n: str(np.datetime64(int(n) + first, "D")), counter)
    head = head.plus(_of_numbers(clock // 60, every, lambda n: f" {n // 60:02d}:{n % 60:02d}", counter))
    head = head.plus(_of_numbers(clock % 60, every, lambda n: f":{n:02d}", counter))
    head = head.plus(_of_words(pl.Series(schema.SOURCES), log.source, counter))
    return head.plus(_of_words(pl.Series(schema.ACTIONS), log.action, counter))


def _of_words(words: pl.Series, number: np.ndarray, counter: Counter) -> Sizes:
    """Sizes of " word"; NONE and null have none."""
    texts = " " + words
    chars, tokens = texts.str.len_chars().fill_null(0).to_numpy(), counter.distinct(texts).to_numpy()
    return Sizes(*(np.append(size.astype(np.int32), np.int32(0))[number] for size in (chars, tokens)))


def _of_numbers(keys: np.ndarray, stated: np.ndarray, text: Callable[[int], str], counter: Counter) -> Sizes:
    """Sizes of the text of each number where it is stated."""
    shown = keys[stated]
    if len(shown) and shown.min() >= 0 and shown.max() < _MOST_KEYS:
        distinct = np.flatnonzero(np.bincount(shown))
        place = np.zeros(int(shown.max()) + 1, np.int32)
        place[distinct] = np.arange(len(distinct))
        at = place[shown]
    else:
        distinct, at = np.unique(shown, return_inverse=True)
    texts = pl.Series([text(int(key)) for key in distinct], dtype=pl.String)
    made = []
    for size in (texts.str.len_chars(), counter.distinct(texts)):
        of_event = np.zeros(len(keys), np.int32)
        of_event[stated] = size.to_numpy().astype(np.int32)[at] if len(distinct) else 0
        made.append(of_event)
    return Sizes(*made)


def _price(cents: int) -> str:
    return f" {'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _gather(words: pl.Series, number: np.ndarray) -> pl.Series:
    """Words by number, null for NONE."""
    return words.gather(pl.Series(number).cast(pl.Int64).set(pl.Series(number == NONE), None))


def _sum(texts: pl.Series, times: np.ndarray, counter: Counter) -> np.ndarray:
    """Characters and tokens of texts that come so many times each; null counts 0."""
    sizes = (texts.str.len_chars().fill_null(0), counter.distinct(texts))
    return np.array([int((size.to_numpy().astype(np.int64) * times).sum()) for size in sizes], np.int64)
