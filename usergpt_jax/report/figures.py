"""The plots as inline SVG: the same bytes for the same numbers, coloured by the page's CSS variables.

Every plot is a panel of one size, so that the page can set them side by side or, on a phone, one under another.
"""

import dataclasses
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.dates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, PercentFormatter

from usergpt_jax.report import palette
from usergpt_jax.report.html import html

_WIDTH_INCHES, _HEIGHT_INCHES = 3.9, 2.4
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "usergpt_jax",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": palette.light("rule"),
    "axes.labelcolor": palette.light("muted"),
    "axes.labelsize": 8.5,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": palette.light("faint"),
    "grid.linewidth": 0.8,
    "text.color": palette.light("ink"),
    "xtick.color": palette.light("rule"),
    "ytick.color": palette.light("rule"),
    "xtick.labelcolor": palette.light("muted"),
    "ytick.labelcolor": palette.light("muted"),
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.6,
}
_COUNT = EngFormatter(sep="", places=None)
_SMOOTHED_FROM = 30  # a curve of so many points gets a running mean over its raw values


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of a plot over steps: `colour` is a name of the palette."""

    label: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, of one model."""

    label: str
    colour: str
    marker: str
    value: float
    low: float
    high: float


def curves(lines: Sequence[Curve], *, y_label: str, alt: str, bottom: float | None = None) -> str:
    """Values over steps; long curves are drawn faint under their running mean."""

    def draw(axes: Axes) -> None:
        for curve in lines:
            colour = palette.light(curve.colour)
            smooth = len(curve.y) >= _SMOOTHED_FROM
            marker = "o" if len(curve.y) == 1 else None
            axes.plot(
                curve.x, curve.y, color=colour, alpha=0.3 if smooth else 1.0, marker=marker, lw=1.0 if smooth else 1.6
            )
            if smooth:
                axes.plot(curve.x, running_mean(curve.y, len(curve.y) // 15), color=colour)
        axes.set_xlabel("step")
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if bottom is not None:
            axes.set_ylim(bottom=bottom)

    return _panel(draw, alt)


def running_mean(values: Sequence[float], half_width: int) -> np.ndarray:
    """Mean over a centred window of `2 * half_width + 1` points, shorter at the ends."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    index = np.arange(len(values))
    low, high = np.maximum(index - half_width, 0), np.minimum(index + half_width + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def intervals(estimates: Sequence[Estimate], *, x_label: str, alt: str, x_range: tuple[float, float]) -> str:
    """One row a model: the value and its interval."""

    def draw(axes: Axes) -> None:
        for row, estimate in enumerate(estimates):
            colour = palette.light(estimate.colour)
            axes.plot(
                [estimate.low, estimate.high], [row, row], color=colour, lw=2.2, alpha=0.45, solid_capstyle="butt"
            )
            axes.plot([estimate.value], [row], color=colour, marker=estimate.marker, ms=5.5)
            axes.annotate(
                f"{estimate.value:.3f}", (1.0, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
                textcoords="offset points", va="center", ha="left", color=palette.light("muted"), fontsize=8.5,
            )  # fmt: skip
        axes.set_yticks(range(len(estimates)), [estimate.label for estimate in estimates])
        axes.tick_params(axis="y", labelcolor=palette.light("ink"))
        axes.set_ylim(len(estimates) - 0.4, -0.6)
        axes.set_xlim(*x_range)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", visible=False)

    return _panel(draw, alt)


def bars(counts: Mapping[str, float], *, x_label: str, alt: str, colour: str = "accent") -> str:
    """One horizontal bar a name, with its figure at the end."""

    def draw(axes: Axes) -> None:
        rows = range(len(counts))
        axes.barh(rows, list(counts.values()), height=0.62, color=palette.light(colour))
        for row, value in zip(rows, counts.values(), strict=True):
            axes.annotate(
                f"{value:,.0f}", (value, row), xytext=(4, 0), textcoords="offset points", va="center",
                color=palette.light("ink"), fontsize=8.5,
            )  # fmt: skip
        axes.set_yticks(rows, list(counts))
        axes.tick_params(axis="y", labelcolor=palette.light("ink"))
        axes.set_ylim(len(counts) - 0.4, -0.6)
        axes.set_xlim(0, max(*counts.values(), 1) * 1.18)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(_COUNT)
        axes.grid(axis="y", visible=False)

    return _panel(draw, alt)


def share_histogram(shares: np.ndarray, *, x_label: str, y_label: str, alt: str) -> str:
    """How shares in [0, 1] are spread, with their median as a line."""

    def draw(axes: Axes) -> None:
        low = min(float(np.floor(shares.min() * 20) / 20), 0.95)
        axes.hist(
            np.clip(shares, low, 1.0), bins=np.linspace(low, 1.0, 31).tolist(), color=palette.light("accent"), alpha=0.8
        )
        median = float(np.median(shares))
        axes.axvline(median, color=palette.light("ink"), lw=1.2)
        left = median > (low + 1.0) / 2
        axes.annotate(
            f"median {median:.1%}", (median, 1.0), xycoords=("data", "axes fraction"),
            xytext=(-4 if left else 4, 2), textcoords="offset points", ha="right" if left else "left", va="bottom",
            fontsize=8.5,
        )  # fmt: skip
        axes.set_xlim(low, 1.0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if 1.0 - low >= 0.1 else 1))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))

    return _panel(draw, alt)


def size_histograms(sizes: Mapping[str, tuple[str, np.ndarray]], *, x_label: str, y_label: str, alt: str) -> str:
    """Several distributions over one logarithmic axis: name -> (colour, sizes)."""

    def draw(axes: Axes) -> None:
        all_sizes = np.concatenate([np.maximum(values, 1) for _, values in sizes.values()])
        edges = np.geomspace(all_sizes.min(), max(all_sizes.max(), all_sizes.min() * 1.01), 49).tolist()
        for name, (colour, values) in sizes.items():
            shade = palette.light(colour)
            axes.hist(np.maximum(values, 1), bins=edges, histtype="stepfilled", alpha=0.35, color=shade)
            axes.hist(np.maximum(values, 1), bins=edges, histtype="step", color=shade, lw=1.3)
            axes.annotate(
                name, (float(np.median(values)), 1.0), xycoords=("data", "axes fraction"), ha="center",
                va="bottom", xytext=(0, 2), textcoords="offset points", color=shade, fontsize=8.5,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if edges[-1] < 100 * edges[0] else (1.0,)))
        axes.xaxis.set_major_formatter(_COUNT)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))

    return _panel(draw, alt)


def over_time(
    weeks: Sequence[np.datetime64], series: Mapping[str, tuple[str, np.ndarray]], *, y_label: str, alt: str
) -> str:
    """Counts a week: name -> (colour, counts)."""

    def draw(axes: Axes) -> None:
        for colour, counts in series.values():
            axes.plot(np.array(weeks), counts, color=palette.light(colour), lw=1.3)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(_COUNT)
        locator = matplotlib.dates.AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator, show_offset=False))

    return _panel(draw, alt)


def _panel(draw: Callable[[Axes], None], alt: str) -> str:
    """Draws one panel and returns it as SVG markup with `alt` as its text alternative."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(buffer.getvalue(), alt)


def _for_page(svg: str, alt: str) -> str:
    """Makes a file of matplotlib's fit into the page: no head, no global style, ids of its own, themed colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<(metadata|style).*?</\1>", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]*)"', body)
    if view is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    inside = body[body.index(">") + 1 :]
    used = set(re.findall(r"#([\w-]+)", inside))
    prefix = "p" + hashlib.sha256(inside.encode()).hexdigest()[:8]
    inside = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", inside)
    inside = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", inside).replace("xlink:href", "href")
    for name, (shade, _) in palette.COLOURS.items():
        inside = inside.replace(shade, f"var(--{name})")
    inside = re.sub(r'font-family: [^;"]*', "font-family: inherit", inside)
    return f'<svg role="img" viewBox="{view[1]}" aria-label="{html(alt)}">{inside.rstrip()}'
