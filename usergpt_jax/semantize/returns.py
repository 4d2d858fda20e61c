"""Returns: a purchase row with a negative quantity takes back the latest purchase of the same item before it."""

import polars as pl


def take_back(events: pl.DataFrame) -> pl.DataFrame:
    """Drops returns and the purchases that they take back; a partial return takes back the whole purchase.

    Args:
      events: in `schema.EVENT_SCHEMA`, sorted by user and time, with `event_index`.
    """
    item = pl.coalesce("item_id", "title").alias("_item")
    bought = events.lazy().filter(pl.col("action") == "purchase").with_columns(item)
    returned = bought.filter(pl.col("quantity") < 0).select("user_id", "_item", "time", "event_index").collect()
    if returned.is_empty():
        return events
    purchases = (
        bought.filter(pl.col("quantity").fill_null(1.0) > 0)
        .select("user_id", "_item", "time", pl.col("event_index").alias("taken_back"))
        .join(returned.lazy().select("user_id", "_item").unique(), on=["user_id", "_item"], how="semi")
        .sort("time")
        .collect()
    )
    matched = returned.sort("time").join_asof(purchases, on="time", by=["user_id", "_item"], check_sortedness=False)
    gone = pl.concat([matched["event_index"], matched["taken_back"].drop_nulls()])
    users = pl.concat([matched["user_id"], matched.filter(pl.col("taken_back").is_not_null())["user_id"]])
    return events.join(
        pl.DataFrame({"user_id": users, "event_index": gone}), on=["user_id", "event_index"], how="anti",
        maintain_order="left",
    )  # fmt: skip
