import datetime

import polars as pl

from usergpt_jax.semantize import returns

DAY = datetime.datetime(2025, 1, 1)


def indexed(event_rows, rows):
    made = event_rows(
        [
            {
                "user_id": user,
                "time": DAY + datetime.timedelta(days=day),
                "source": "ecommerce",
                "action": action,
                "title": item,
                "item_id": item,
                "quantity": quantity,
            }
            for user, day, action, item, quantity in rows
        ]
    )
    return made.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("user_id").alias("event_index"))


def test_a_return_takes_back_the_latest_purchase_of_the_item(event_rows):
    events = indexed(
        event_rows,
        [
            ("a", 0, "purchase", "x", 1.0),
            ("a", 1, "purchase", "y", 1.0),
            ("a", 2, "purchase", "x", 2.0),
            ("a", 3, "click", "x", None),
            ("a", 5, "purchase", "x", -2.0),
            ("b", 2, "purchase", "x", 1.0),
        ],
    )
    left = returns.take_back(events)
    assert left.select("user_id", "event_index").rows() == [("a", 0), ("a", 1), ("a", 3), ("b", 0)]


def test_a_return_without_a_purchase_vanishes_alone(event_rows):
    events = indexed(event_rows, [("a", 0, "purchase", "y", 1.0), ("a", 1, "purchase", "x", -1.0)])
    assert returns.take_back(events)["event_index"].to_list() == [0]


def test_a_log_without_returns_is_left_as_it_is(events):
    with_index = events.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("user_id").alias("event_index"))
    assert returns.take_back(with_index) is with_index
