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

from usergpt_jax.semantize import mub
from usergpt_jax.semantize.aggregate import PERIODS, SLICE
from usergpt_jax.semantize.salience import ENTITY, Slices
from usergpt_jax.semantize.token_count import Counter

BROWSING_LEVEL = 2.0
REPEAT_LEVEL = 0.5
_LINE_NUMBER = "\nL10 "  # any; see `tasks.wording.number_lines`
_ACTION_ORDER = ("purchase", "visit", "cart", "favorite", "search", "click")


def write_all(slices: Slices) -> pl.DataFrame:
    """Writes every line with all its items, most recent first.

    Returns:
      `user_id`, `mub`, `refs` (a list a line), `n_lines`, `n_items`; a user without items is absent.
    """
    lines = _ordered_lines(slices.lines)
    texts = (
        slices.items.sort([*SLICE, "kind", "rank"])
        .group_by(SLICE, maintain_order=True)
        .agg(pl.col("text").str.join(", ").alias("items"), pl.len().alias("n_items"))
    )
    return (
        lines.join(texts, on=list(SLICE), how="inner", maintain_order="left")
        .group_by("user_id", maintain_order=True)
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
    costs = _costs(slices, counter)
    budgets = slices.lines.select("user_id").unique().with_columns(pl.lit(max_tokens, pl.Int64).alias("budget"))
    done: list[pl.DataFrame] = []
    while budgets.height:
        kept = (
            costs.join(budgets, on="user_id", how="inner", maintain_order="left")
            .filter(pl.col("cost").cum_sum().over("user_id") <= pl.col("budget"))
            .drop("cost", "budget")
        )
        lines = slices.lines.join(budgets, on="user_id", how="semi")
        written = write_all(Slices(lines, kept))
        written = written.with_columns(counter.exact(written["mub"]).alias("mub_tokens"))
        fits = pl.col("mub_tokens") <= max_tokens
        done.append(written.filter(fits))
        lowered = pl.col("budget") * max_tokens // pl.col("mub_tokens")
        budgets = budgets.join(written.filter(~fits), on="user_id").select("user_id", lowered)
    return pl.concat(done).sort("user_id") if done else write_all(slices).with_columns(mub_tokens=pl.lit(0, pl.Int64))


def _ordered_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines with `header`; within a user the most recent first, at one time sources and actions in fixed order."""
    sources, actions = list(mub.SOURCE_LABELS), list(_ACTION_ORDER)
    order = [
        pl.col("period").replace_strict(list(PERIODS), range(len(PERIODS)), return_dtype=pl.Int8),
        pl.col("time_label").rank("dense", descending=True),
        pl.col("source").replace_strict(sources, range(len(sources)), return_dtype=pl.Int8),
        pl.col("action").replace_strict(actions, range(len(actions)), return_dtype=pl.Int8),
    ]
    return lines.with_columns(mub.header_column()).sort("user_id", *order)


def _costs(slices: Slices, counter: Counter) -> pl.DataFrame:
    """Items in the order in which they are kept, with the `cost` of each in tokens; a line's first pays its header."""
    lines = _ordered_lines(slices.lines).with_row_index("position")
    header = lines.select(
        *SLICE,
        "position",
        "count",
        (counter.distinct(" " + lines["header"].str.strip_chars_end()) + counter.one("\nL1")).alias("header_tokens"),
    )
    browsing = (pl.col("period") == "day") & pl.col("action").is_in(("search", "click"))
    repeats = pl.col("frequency").rank("ordinal", descending=True).over("user_id", "kind", "text") - 1
    is_repeat = (pl.col("kind") != ENTITY) & (pl.col("source") != "travel")
    level = (
        (pl.col("rank") + 1) / (1 + pl.col("count")).log(2)
        + pl.when(browsing).then(BROWSING_LEVEL).otherwise(0.0)
        + pl.when(is_repeat).then(REPEAT_LEVEL * repeats).otherwise(0.0)
    )
    items = slices.items.with_columns(counter.distinct(", " + slices.items["text"]).alias("cost"))
    first = pl.int_range(pl.len()).over(SLICE) == 0
    return (
        items.join(header, on=list(SLICE))
        .sort("user_id", "position", "kind", "rank")
        .with_columns(level.alias("level"))
        .sort("user_id", "level", "position", "kind", "rank")
        .with_columns(pl.col("cost") + pl.when(first).then(pl.col("header_tokens")).otherwise(0))
        .drop("level", "header_tokens", "position", "count")
    )


def size(slices: Slices, counter: Counter) -> tuple[int, int]:
    """Characters and tokens (summed over parts) of all lines with all their items."""
    written = write_all(slices)
    return int(written["mub"].str.len_chars().sum()), int(_costs(slices, counter)["cost"].sum())
