"""What the run's data look like: events, compression by step, curriculum."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from usergpt_jax.report import figures, numbers
from usergpt_jax.report.html import Html, absent, element, figure, legend, panels, section, table
from usergpt_jax.report.inputs import CURRICULUM, MUB, EventCounts, RunData
from usergpt_jax.report.overview import plain
from usergpt_jax.schema import ACTIONS

TITLE = "Data and compression"
# Source -> colour.
_SOURCES = {"ecommerce": "accent", "delivery": "df-grpo", "travel": "linear", "poi": "other-1", "other": "muted"}
# Steps of the semantization as its counts name them -> what happened.
_STEPS = {
    "raw": "raw log",
    "refined": "titles refined",
    "aggregated": "filtered and aggregated in time",
    "top_k": "salience Top-K",
    "mub": "MUB in its budget",
}
# Counts of the curriculum -> (title, order of the bars; names not listed come last).
_CURRICULUM = {
    "questions": ("Questions by split", ("stage1", "stage2", "stage3", "rl")),
    "votes": ("Outputs that agree with the label", ()),
    "outcomes": ("Outcome of the vote", ("standard", "controversial", "dropped")),
}


def data_section(data: RunData) -> Html:
    """Events by source and action, sizes before and after, questions of each curriculum stage."""
    sizes = None if data.sizes is None or data.sizes.is_empty() else data.sizes
    return section(
        "data",
        TITLE,
        element("h3", "Event log"),
        *(_events(data.events) if data.events is not None else [absent("simulate")]),
        element("h3", "Compression"),
        *(_compression(sizes, data.manifests[MUB].counts) if sizes is not None else [absent("semantize")]),
        element("h3", "Curriculum"),
        *(_curriculum(data.manifests[CURRICULUM].counts) if CURRICULUM in data.manifests else [absent("curriculum")]),
    )


def _events(events: EventCounts) -> list[Html]:
    actions = [action for action in ACTIONS if any(action in row for row in events.by_source.values())]
    totals = {action: sum(row.get(action, 0) for row in events.by_source.values()) for action in actions}
    rows = [
        [
            source,
            *(numbers.count(row[action]) if action in row else "–" for action in actions),
            numbers.count(sum(row.values())),
        ]
        for source, row in events.by_source.items()
    ]
    rows.append(["all", *(numbers.count(totals[action]) for action in actions), numbers.count(events.n_events)])
    weeks = events.weekly["week"].unique().sort().to_list()
    series = {source: (_SOURCES[source], _weekly(events.weekly, source, weeks)) for source in events.by_source}
    told = ", ".join(f"{action} {numbers.count(count)}" for action, count in totals.items())
    drawn = [
        figure(
            "Events a week by source",
            figures.over_time(
                [np.datetime64(week) for week in weeks],
                series,
                y_label="events a week",
                alt=f"Events a week by source over {len(weeks)} weeks from {weeks[0]} to {weeks[-1]}",
            ),
        ),
        figure("Events by action", figures.bars(totals, x_label="events", alt=f"Events by action: {told}")),
        figure(
            "Events a user",
            figures.size_histograms(
                {f"median {np.median(events.by_user):,.0f}": ("accent", events.by_user)},
                x_label="events a user (logarithmic)",
                y_label="users",
                alt=f"Events a user: median {np.median(events.by_user):,.0f}, most {events.by_user.max():,}",
            ),
        ),
    ]
    return [
        legend({source: colour for source, (colour, _) in series.items()}),
        panels(drawn),
        table(
            ["Source", *actions, "all"],
            rows,
            caption="Events by source and action.",
            numeric=range(1, len(actions) + 2),
            style="sticky",
        ),
    ]


def _weekly(weekly: pl.DataFrame, source: str, weeks: list[Any]) -> np.ndarray:
    counted = dict(weekly.filter(pl.col("source") == source).select("week", "events").iter_rows())
    return np.array([counted.get(week, 0) for week in weeks])


def _compression(sizes: pl.DataFrame, counts: Mapping[str, Any]) -> list[Html]:
    totals = _step_totals(sizes, counts)
    chars = {plain(step): total / sizes.height for step, (total, _) in totals.items()}
    told = ", ".join(f"{step} {numbers.count(round(size))}" for step, size in chars.items())
    bars = figures.bars(chars, x_label="mean characters a user", alt=f"Mean characters a user by step: {told}")
    return [panels([*_size_panels(sizes), figure("Size by step", bars)]), _step_table(totals, sizes.height)]


def _size_panels(sizes: pl.DataFrame) -> list[Html]:
    """Compression and sizes by user, of users whose MUB says anything."""
    known = sizes.filter((pl.col("raw_chars") > 0) & (pl.col("mub_chars") > 0))
    if known.is_empty():
        return []
    raw, mub = known["raw_chars"].to_numpy(), known["mub_chars"].to_numpy()
    removed = 1.0 - mub / raw
    low, middle, high = (numbers.percent(q) for q in np.quantile(removed, (0.05, 0.5, 0.95)))
    return [
        figure(
            "Removed by semantize, by user",
            figures.share_histogram(
                removed,
                x_label="share of the raw log's characters that the MUB leaves out",
                y_label="users",
                alt=f"Share of characters removed by user: median {middle}, middle 90 % of users {low} to {high}",
            ),
        ),
        figure(
            "Size of raw log and MUB",
            figures.size_histograms(
                {"raw": ("muted", raw), "MUB": ("accent", mub)},
                x_label="characters a user (logarithmic)",
                y_label="users",
                alt=f"Characters a user: raw log median {np.median(raw):,.0f}, MUB median {np.median(mub):,.0f}",
            ),
        ),
    ]


def _step_totals(sizes: pl.DataFrame, counts: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Characters and tokens of all users after each step; only the ends when the manifest does not tell the steps."""
    told = {
        step: (counts[f"{step}_chars"], counts[f"{step}_tokens"])
        for step in _STEPS
        if f"{step}_chars" in counts and f"{step}_tokens" in counts
    }
    return told or {
        step: (int(sizes[f"{step}_chars"].to_numpy().sum()), int(sizes[f"{step}_tokens"].to_numpy().sum()))
        for step in ("raw", "mub")
    }


def _step_table(totals: Mapping[str, tuple[int, int]], n_users: int) -> Html:
    all_chars, all_tokens = next(iter(totals.values()))
    rows = [
        [
            plain(step),
            _STEPS[step],
            numbers.count(round(chars / n_users)),
            numbers.percent(1 - chars / max(all_chars, 1)),
            numbers.count(round(tokens / n_users)),
            numbers.percent(1 - tokens / max(all_tokens, 1)),
        ]
        for step, (chars, tokens) in totals.items()
    ]
    return table(
        ["Step", "After it", "Characters a user", "Removed", "Tokens a user", "Removed"],
        rows,
        caption="Mean size by step of the semantization. Tokens are those of the run's tokenizer; one that was trained "
        "on MUB text spells raw titles in small pieces, so characters are the fairer measure.",
        numeric=(2, 3, 4, 5),
    )


def _curriculum(counts: Mapping[str, Any]) -> list[Html]:
    drawn = []
    for key, (title, order) in _CURRICULUM.items():
        if isinstance(found := counts.get(key), Mapping) and found:
            names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
            named = {plain(name): found[name] for name in names}
            told = ", ".join(f"{name} {numbers.count(value)}" for name, value in named.items())
            drawn.append(figure(title, figures.bars(named, x_label="questions", alt=f"{title}: {told}")))
    note = (
        "Two teachers that see only the MUB answer each question a few times. When nearly all outputs agree with the "
        "pseudo-label, it is standard (stage 1); when some do, controversial (stage 2); stage 3 adds summaries."
    )
    return [element("p", note), panels(drawn)]
