import datetime

import polars as pl

from usergpt_jax import schema
from usergpt_jax.semantize import aggregate, coded

AS_OF = datetime.datetime(2025, 7, 1)
ROWS = [  # (time, action, label or None when left out); recent from 06-24, monthly from 03-24
    (datetime.datetime(1969, 5, 1), "visit", "1969"),
    (datetime.datetime(2023, 1, 1), "favorite", None),
    (datetime.datetime(2023, 1, 1), "visit", "2023"),
    (datetime.datetime(2025, 3, 23), "purchase", "2025"),
    (datetime.datetime(2025, 3, 24), "visit", "2025-03"),
    (datetime.datetime(2025, 6, 23, 23), "click", None),
    (datetime.datetime(2025, 6, 23, 23), "purchase", "2025-06"),
    (datetime.datetime(2025, 6, 24), "search", "2025-06-24"),
    (datetime.datetime(2025, 6, 30, 23), "click", "2025-06-30"),
    (datetime.datetime(2025, 7, 1), "purchase", None),
]


def placed(event_rows):
    rows = [{"user_id": "a", "time": time, "action": action, "source": "poi", "title": "x"} for time, action, _ in ROWS]
    log = coded.code(event_rows(rows).to_arrow())
    windows = aggregate.windows(pl.Series([AS_OF], dtype=pl.Datetime("ms")), recent_days=7, monthly_months=3)
    kept = aggregate.in_windows(log, windows, ("purchase", "visit"))
    log = log.take(kept)
    return kept, *aggregate.slices(log, windows)


def test_recent_days_keep_everything_and_the_past_only_what_lasts(event_rows):
    kept, of_event, table = placed(event_rows)
    assert kept.tolist() == [label is not None for *_, label in ROWS]
    labels = table.select(aggregate.time_label()).to_series()
    assert labels.gather(of_event).to_list() == [label for *_, label in ROWS if label]


def test_a_slice_counts_its_events_and_refers_to_them(event_rows):
    _, of_event, table = placed(event_rows)
    assert table["count"].sum() == len(of_event)
    for number, (count, refs) in enumerate(table.select("count", "refs").rows()):
        assert count == len(refs) == (of_event == number).sum()
    assert sorted(ref for refs in table["refs"] for ref in refs) == [0, 2, 3, 4, 6, 7, 8]


def test_slices_part_sources_and_actions(event_rows):
    rows = [
        {"user_id": "a", "time": AS_OF - datetime.timedelta(days=1), "source": source, "action": action, "title": "x"}
        for source in schema.SOURCES
        for action in schema.ACTIONS
    ]
    log = coded.code(event_rows(rows).to_arrow())
    windows = aggregate.windows(pl.Series([AS_OF], dtype=pl.Datetime("ms")), recent_days=7, monthly_months=3)
    _, table = aggregate.slices(log, windows)
    assert table.select("source", "action").rows() == [
        (source, action) for source in range(len(schema.SOURCES)) for action in range(len(schema.ACTIONS))
    ]
