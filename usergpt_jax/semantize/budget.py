"""The token budget: which items and lines of a user stay when the MUB is too long.

Items are dropped, the least telling first, until the rest fits; a line goes with its last item and is never cut. What
is kept is the longest prefix of an order by level, then by recency (the newest line first). With r an item's rank in
its line, from 0, and n the line's COUNT,

    level = (r + 1) / log2(1 + n) + BROWSING_LEVEL in a daily search or click line
                                  + REPEAT_LEVEL x lines in which the user was more often at this place (not for travel)

So a line that stands for many events, such as a year of purchases, keeps more items than one of a single event; daily
browsing goes before purchases and visits, however distant; and the home city is not said again in every line.
"""

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize import aggregate, mub
from usergpt_jax.semantize.salience import ENTITY, Slices
from usergpt_jax.semantize.token_count import Counter

BROWSING_LEVEL = 2.0
REPEAT_LEVEL = 0.5
_ACTION_ORDER = ("purchase", "visit", "cart", "favorite", "search", "click")
_BROWSING = [schema.ACTIONS.index(name) for name in ("search", "click")]
_TRAVEL = schema.SOURCES.index("travel")


def write_all(slices: Slices) -> pl.DataFrame:
    """Writes every line with all its items, most recent first.

    Returns:
      `user` (number), `mub`, `refs` (a list a line), `n_lines`, `n_items`; a user without items is absent.
    """
    return _write(_ordered_lines(slices.lines), slices.items)


def _write(lines: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    texts = (
        items.sort("slice", "kind", "rank")
        .group_by("slice", maintain_order=True)
        .agg(pl.col("text").str.join(", ").alias("items"), pl.len().alias("n_items"))
    )
    return (
        lines.join(texts, on="slice", how="inner", maintain_order="left")
        .group_by("user", maintain_order=True)
        .agg(
            (pl.col("header") + pl.col("items")).str.join("\n").alias("mub"),
            pl.col("refs").cast(pl.List(pl.Int32)),
            pl.len().cast(pl.Int32).alias("n_lines"),
            pl.col("n_items").sum(),
        )
    )


def fit(slices: Slices, max_tokens: int, counter: Counter) -> pl.DataFrame:
    """Writes each user's MUB within `max_tokens`.

    Items are first chosen by the sum of the tokens of their parts; where the tokenizer makes more of the whole text,
    the user's budget is lowered in proportion and the choice repeated.

    Returns:
      what `write_all` returns, with `mub_tokens`, never over `max_tokens`.
    """
    lines = _ordered_lines(slices.lines)
    costs = _costs(lines, slices.items, counter)
    budgets = lines.select("user").unique().with_columns(pl.lit(max_tokens, pl.Int64).alias("budget"))
    done: list[pl.DataFrame] = []
    while budgets.height:
        kept = (
            costs.join(budgets, on="user", how="inner", maintain_order="left")
            .filter(pl.col("cost").cum_sum().over("user") <= pl.col("budget"))
            .drop("cost", "budget", "user")
        )
        written = _write(lines.join(budgets, on="user", how="semi", maintain_order="left"), kept)
        written = written.with_columns(counter.exact(written["mub"]).alias("mub_tokens"))
        fits = pl.col("mub_tokens") <= max_tokens
        done.append(written.filter(fits))
        lowered = pl.col("budget") * max_tokens // pl.col("mub_tokens")
        budgets = budgets.join(written.filter(~fits), on="user").select("user", lowered)
    return pl.concat(done) if done else write_all(slices).with_columns(mub_tokens=pl.lit(0, pl.Int64))


def _ordered_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines with `header`; within a user the most recent first, at one time sources and actions in fixed order."""
    actions = pl.Series([_ACTION_ORDER.index(name) for name in schema.ACTIONS], dtype=pl.Int8)
    source, action = (
        pl.lit(pl.Series(words)).gather(pl.col(name))
        for name, words in (("source", schema.SOURCES), ("action", schema.ACTIONS))
    )
    return (
        lines.with_columns(actions.gather(lines["action"]).alias("order"))
        .sort("user", "period", "bucket", "source", "order", descending=[False, False, True, False, False])
        .drop("order")
        .with_columns(mub.header_column(source, aggregate.time_label(), action))
    )


def _costs(lines: pl.DataFrame, items: pl.DataFrame, counter: Counter) -> pl.DataFrame:
    """Items in the order in which they are kept, with the `cost` of each in tokens; a line's first pays its header."""
    header = lines.with_row_index("position").select(
        "slice", "user", "source", "action", "period", "count", "position",
        (counter.distinct(" " + lines["header"].str.strip_chars_end()) + counter.one("\nL1")).alias("header_tokens"),
    )  # fmt: skip
    browsing = (pl.col("period") == 0) & pl.col("action").is_in(_BROWSING)
    repeats = pl.col("frequency").rank("ordinal", descending=True).over("user", "kind", "text") - 1
    is_repeat = (pl.col("kind") != ENTITY) & (pl.col("source") != _TRAVEL)
    level = (
        (pl.col("rank") + 1) / (1 + pl.col("count")).log(2)
        + pl.when(browsing).then(BROWSING_LEVEL).otherwise(0.0)
        + pl.when(is_repeat).then(REPEAT_LEVEL * repeats).otherwise(0.0)
    )
    first = pl.int_range(pl.len()).over("slice") == 0
    return (
        items.with_columns(counter.distinct(", " + items["text"]).alias("cost"))
        .join(header, on="slice")
        .sort("user", "position", "kind", "rank")
        .with_columns(level.alias("level"))
        .sort("user", "level", "position", "kind", "rank")
        .with_columns(pl.col("cost") + pl.when(first).then(pl.col("header_tokens")).otherwise(0))
        .select("user", "slice", "kind", "text", "frequency", "rank", "cost")
    )


def size(slices: Slices, counter: Counter) -> tuple[int, int]:
    """Characters and tokens (summed over parts) of all lines with all their items."""
    lines = _ordered_lines(slices.lines)
    items, headers = slices.items["text"], lines["header"]
    separators = 2 * (len(items) - len(lines)) + len(lines) - lines["user"].n_unique()  # ", " and newlines
    tokens = (counter.distinct(", " + items), counter.distinct(" " + headers.str.strip_chars_end()))
    return (
        _total(items.str.len_chars(), headers.str.len_chars()) + separators,
        _total(*tokens) + counter.one("\nL1") * len(lines),
    )


def _total(*sizes: pl.Series) -> int:
    return sum(int(one.sum()) for one in sizes)
