"""Cancellations: each undoes earlier purchases of the same user and item, the latest first."""

import polars as pl

from usergpt_jax.semantize.log_file import ROW


def match(rows: pl.DataFrame) -> pl.DataFrame:
    """Matches cancellations with purchases.

    A cancellation undoes up to its own quantity, and may reach back over several purchases; a row without quantity
    counts as one. Only users and items that have a cancellation are walked row by row.

    Args:
      rows: with `ROW`, `user_id`, `item_id`, `title`, `time`, `action`, `quantity`, `is_cancel`.

    Returns:
      the rows with `amount` (units of the row, at least 0) and `matched`: units of a purchase that were cancelled, or
      of a cancellation that found a purchase.
    """
    rows = rows.with_columns(
        pl.coalesce("item_id", "title").alias("_item"), pl.col("quantity").abs().fill_null(1.0).alias("amount")
    )
    concerned = (
        rows.filter(pl.col("is_cancel").any().over("user_id", "_item"))
        .filter(pl.col("is_cancel") | (pl.col("action") == "purchase"))
        .sort("user_id", "_item", "time", ROW)
    )
    matched: dict[int, float] = {}
    open_purchases: list[list[float]] = []  # [row number, units left], oldest first
    of = None
    for row, user, item, amount, is_cancel in concerned.select(
        ROW, "user_id", "_item", "amount", "is_cancel"
    ).iter_rows():
        if (user, item) != of:
            of, open_purchases = (user, item), []
        if not is_cancel:
            open_purchases.append([row, amount])
            continue
        left = amount
        while left > 0 and open_purchases:
            purchase = open_purchases[-1]
            taken = min(left, purchase[1])
            left -= taken
            purchase[1] -= taken
            matched[int(purchase[0])] = matched.get(int(purchase[0]), 0.0) + taken
            if purchase[1] <= 0:
                open_purchases.pop()
        matched[row] = amount - left
    numbers = pl.DataFrame(
        {ROW: list(matched), "matched": list(matched.values())}, schema={ROW: rows.schema[ROW], "matched": pl.Float64}
    )
    return rows.drop("_item").join(numbers, on=ROW, how="left").with_columns(pl.col("matched").fill_null(0.0))
