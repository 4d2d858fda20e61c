import datetime

import polars as pl

from usergpt_jax.semantize.aggregate import place_in_time


def test_recent_days_keep_everything_and_the_past_only_what_lasts():
    as_of = datetime.datetime(2025, 7, 1)
    rows = [  # (time, action, label or None when left out); recent from 06-24, monthly from 03-24
        (datetime.datetime(2025, 7, 1), "purchase", None),
        (datetime.datetime(2025, 6, 30, 23), "click", "2025-06-30"),
        (datetime.datetime(2025, 6, 24), "search", "2025-06-24"),
        (datetime.datetime(2025, 6, 23, 23), "click", None),
        (datetime.datetime(2025, 6, 23, 23), "purchase", "2025-06"),
        (datetime.datetime(2025, 3, 24), "visit", "2025-03"),
        (datetime.datetime(2025, 3, 23), "purchase", "2025"),
        (datetime.datetime(2023, 1, 1), "visit", "2023"),
        (datetime.datetime(2023, 1, 1), "favorite", None),
    ]
    frame = pl.LazyFrame({"time": [r[0] for r in rows], "action": [r[1] for r in rows], "row": range(len(rows))})
    frame = frame.with_columns(pl.lit(as_of).alias("as_of"))
    made = place_in_time(frame, recent_days=7, monthly_months=3, distant_actions=("purchase", "visit")).collect()
    assert dict(zip(made["row"], made["time_label"], strict=True)) == {
        i: label for i, (_, _, label) in enumerate(rows) if label
    }
