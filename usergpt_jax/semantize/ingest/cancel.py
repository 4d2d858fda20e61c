"""Cancellations: each undoes earlier purchases of the same user and item, the latest first."""

import polars as pl

from usergpt_jax.semantize.ingest.rows import ORDER


def match(rows: pl.DataFrame) -> pl.DataFrame:
    """Matches cancellations with purchases.

    A cancellation undoes up to its own quantity, and may reach back over several purchases; a row without quantity
    counts as one. Only users and items that have a cancellation after a purchase are walked row by row.

    Args:
      rows: with `ORDER`, `user_id`, `item_id`, `title`, `time`, `action`, `quantity`, `is_cancel`.

    Returns:
      the rows with `amount` (units of the row, at least 0) and `matched`: units of a purchase that were cancelled, or
      of a cancellation that found a purchase.
    """
    rows = rows.with_columns(pl.col("quantity").abs().fill_null(1.0).alias("amount"))
    concerned = _concerned(rows)
    amounts = concerned["amount"].to_list()
    matched = [0.0] * len(amounts)
    left = list(amounts)  # units of each purchase that are not cancelled
    open_purchases: list[int] = []  # row indices, oldest first
    of = None
    for i, (group, is_cancel) in enumerate(concerned.select("group", "is_cancel").iter_rows()):
        if group != of:
            of, open_purchases = group, []
        if not is_cancel:
            open_purchases.append(i)
            continue
        wanted = amounts[i]
        while wanted > 0 and open_purchases:
            purchase = open_purchases[-1]
            taken = min(wanted, left[purchase])
            wanted -= taken
            left[purchase] -= taken
            matched[purchase] += taken
            if left[purchase] <= 0:
                open_purchases.pop()
        matched[i] = amounts[i] - wanted
    found = concerned.select(ORDER).with_columns(pl.Series("matched", matched, dtype=pl.Float64))
    return rows.join(found, on=ORDER, how="left", maintain_order="left").with_columns(pl.col("matched").fill_null(0.0))


def _concerned(rows: pl.DataFrame) -> pl.DataFrame:
    """Purchases and cancellations of the users and items that have both, by `group` and in the order of time."""
    taken = rows.filter(pl.col("is_cancel") | (pl.col("action") == "purchase")).select(
        *("user_id", "time", ORDER, "is_cancel", "amount"), item=pl.coalesce("item_id", "title")
    )
    cancels = taken.filter("is_cancel").select("user_id", "item").unique()
    both = taken.join(cancels, on=["user_id", "item"], how="semi").join(
        taken.filter(~pl.col("is_cancel")).select("user_id", "item").unique(), on=["user_id", "item"], how="semi"
    )
    both = both.sort("user_id", "item", "time", ORDER)
    return both.with_columns(pl.struct("user_id", "item").rle_id().alias("group"))
