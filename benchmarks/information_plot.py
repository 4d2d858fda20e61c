"""The plots of `information.py`, drawn from its figures.

Usage: python -m benchmarks.information_plot docs/images
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from usergpt_jax.report import palette

WINDOWS = {  # name -> (what it is, colour, marker)
    "": ("the quickstart's windows: 3 days, 1 month", "accent", "o"),
    "longer": ("longer windows: 30 days, 12 months", "df-grpo", "^"),
    "every action": ("longer, and every action in all of them", "linear", "s"),
}
COLUMNS = 6
DPI = 100
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": palette.light("rule"),
    "axes.labelcolor": palette.light("muted"),
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": palette.light("faint"),
    "text.color": palette.light("ink"),
    "xtick.color": palette.light("rule"),
    "ytick.color": palette.light("rule"),
    "xtick.labelcolor": palette.light("muted"),
    "ytick.labelcolor": palette.light("muted"),
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "legend.frameon": False,
}
Row = Mapping[str, Any]


def draw(found: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Writes `information.png`, the mean over tags, and `information_by_tag.png`, the linear model by tag."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 4.6), layout="constrained")
        mean(figure.add_subplot(), found)
        figure.savefig(folder / "information.png", dpi=DPI, metadata={"Software": None})
        figure = Figure(figsize=(9.6, 6.2), layout="constrained")
        by_tag(figure, found)
        figure.savefig(folder / "information_by_tag.png", dpi=DPI, metadata={"Software": None})


def mean(axes: Axes, found: Mapping[str, Any]) -> None:
    """The mean over tags of both readers, by tokens."""
    for window, rows in mubs(found).items():
        label, colour, marker = WINDOWS[window]
        for reader, line in (("linear", "-"), ("rules", ":")):
            with_interval(axes, rows, reader, palette.light(colour), marker, line, label if reader == "linear" else "")
    for row in events(found):
        for reader in ("linear", "rules"):
            with_interval(axes, [row], reader, palette.light("ink"), "D", "-", "")
            axes.annotate(
                f"{row['name']} events", (row["tokens"], row[reader]["mean"]),
                xytext=(0, 9 if row["name"] == "raw" else -16), textcoords="offset points", ha="center", fontsize=8.5,
            )  # fmt: skip
    floor = found["majority"]["mean"]
    axes.axhline(floor, color=palette.light("majority"), lw=1.2, ls="--")
    axes.annotate(
        "the most frequent value for everyone", (1.0, floor), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", ha="right", fontsize=8.5, color=palette.light("muted"),
    )  # fmt: skip
    token_axis(axes)
    axes.set_xlabel("tokens a user")
    axes.set_ylabel("mean score of 18 tags")
    handles, labels = axes.get_legend_handles_labels()
    for line, what in (("-", "a linear model reads"), (":", "the rules read")):
        handles.append(axes.plot([], [], color=palette.light("ink"), ls=line)[0])
        labels.append(what)
    axes.legend(handles, labels, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def with_interval(
    axes: Axes, rows: Sequence[Row], reader: str, colour: str, marker: str, line: str, label: str
) -> None:
    """A line of means with their intervals."""
    value = np.array([row[reader]["mean"] for row in rows])
    ends = np.array([row[reader]["interval"] for row in rows]).T
    axes.errorbar(
        [row["tokens"] for row in rows], value, np.abs(ends - value), color=colour, marker=marker, ms=4.5,
        ls=line, lw=1.5, elinewidth=0.8, label=label or None,
    )  # fmt: skip


def by_tag(figure: Figure, found: Mapping[str, Any]) -> None:
    """One panel a tag: MUBs as lines, events and the most frequent value as levels."""
    tags = list(found["majority"]["tags"])
    panels = figure.subplots(-(-len(tags) // COLUMNS), COLUMNS, sharex=True, sharey=True)
    for axes, tag in zip(panels.flat, tags, strict=True):
        for row, line in zip(events(found), ("-", ":"), strict=True):
            level = row["linear"]["tags"][tag]
            axes.axhline(level, color=palette.light("ink"), lw=1.0, ls=line, label=f"{row['name']} events")
        axes.axhline(
            found["majority"]["tags"][tag],
            color=palette.light("majority"),
            lw=1.0,
            ls="--",
            label="most frequent value",
        )
        for window, rows in mubs(found).items():
            label, colour, marker = WINDOWS[window]
            axes.plot(
                [row["tokens"] for row in rows], [row["linear"]["tags"][tag] for row in rows],
                color=palette.light(colour), marker=marker, ms=3.0, lw=1.3, label=label,
            )  # fmt: skip
        axes.set_title(tag.replace("_", " "), fontsize=9)
        token_axis(axes)
        axes.set_ylim(0.0, 1.0)
    figure.supxlabel("tokens a user", fontsize=9, color=palette.light("muted"))
    figure.supylabel("score of the linear model", fontsize=9, color=palette.light("muted"))
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8.5)


def token_axis(axes: Axes) -> None:
    """Tokens on a logarithmic axis."""
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def mubs(found: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Window to its MUBs, from the shortest."""
    named: dict[str, list[Row]] = {window: [] for window in WINDOWS}
    for row in found["representations"]:
        window, _, max_tokens = row["name"].rpartition(" ")
        if max_tokens.isdigit():
            named[window].append(row)
    return {window: rows for window, rows in named.items() if rows}


def events(found: Mapping[str, Any]) -> list[Row]:
    """Raw and refined events."""
    return [row for row in found["representations"] if row["name"] in ("raw", "refined")]


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    draw(json.loads((out / "information.json").read_text()), out)
