"""A log that already has the columns of the event schema (`usergpt_jax/schema.py`), as CSV, JSONL or Parquet."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "user_id": "user_id",
            "time": "time",
            "source_column": "source",
            "action_column": "action",
            "title": "title",
            "category": "category",
            "item_id": "item_id",
            "place": "place",
            "price": "price",
            "quantity": "quantity",
            "negative_quantity": "keep",
            "nonpositive_price": "keep",
        }
    )
