"""The plots of the page as inline SVG, coloured by its CSS variables."""

import dataclasses
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# name -> (light, dark); the light shades are distinct, so that they can be replaced by the variable of their name.
COLOURS = {
    "paper": ("#ffffff", "#14161b"),
    "rule": ("#dfe2e8", "#343946"),
    "faint": ("#eceef2", "#272b34"),
    "muted": ("#5d6472", "#9ba3b4"),
    "ink": ("#1b1f29", "#e7eaf1"),
    "measured": ("#1f5fbf", "#6c9df0"),
    "target": ("#cf4a2b", "#ff8a68"),
    "second": ("#2b8478", "#58bfb0"),
    "good": ("#1e7a46", "#63c98f"),
    "bad": ("#b3362b", "#f08a7e"),
}
_SIZE_INCHES = (3.9, 2.5)
_MUTED, _INK, _RULE, _FAINT = (COLOURS[name][0] for name in ("muted", "ink", "rule", "faint"))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "fidelity", "text.parse_math": False, "font.size": 9.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _RULE, "axes.labelcolor": _MUTED,
    "axes.labelsize": 8.5, "axes.axisbelow": True, "axes.grid": True, "grid.color": _FAINT, "text.color": _INK,
    "xtick.color": _RULE, "ytick.color": _RULE, "xtick.labelcolor": _MUTED, "ytick.labelcolor": _MUTED,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "none", "legend.frameon": False, "legend.fontsize": 8.5,
}  # fmt: skip
_MAX_POINTS = 400  # of a curve: more are not seen, and make the page heavy


@dataclasses.dataclass(frozen=True)
class Series:
    """One curve: `colour` is a name of `COLOURS`, `style` a line style or marker of matplotlib; "" names it nowhere."""

    label: str
    colour: str
    x: Any
    y: Any
    style: str = "-"


def plot(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    alt: str,
    log: str = "",
    ticks: Sequence[str] = (),
) -> str:
    """Curves over one pair of axes.

    Args:
      series: the curves.
      x_label: what x is, with its unit.
      y_label: what y is, with its unit.
      alt: what the plot shows, for those who do not see it.
      log: axes that are logarithmic: "", "x", "y" or "xy".
      ticks: names of x = 0, 1, ...; numbers where empty.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for one in series:
            x, y = _thinned(np.asarray(one.x, float), np.asarray(one.y, float))
            axes.plot(x, y, one.style, color=COLOURS[one.colour][0], label=one.label or "_", lw=1.5, ms=4)
        for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            if name in log:
                (axes.set_xscale if name == "x" else axes.set_yscale)("log")
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            else:
                axis.set_major_locator(MaxNLocator(5))
        axes.minorticks_off()
        if len(ticks):
            axes.set_xticks(range(len(ticks)), list(ticks), rotation=60 if len(ticks) > 8 else 0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(series) > 1:
            axes.legend()
        return _svg(figure, alt)


def dots(names: Sequence[str], values: Mapping[str, tuple[str, Sequence[float]]], *, x_label: str, alt: str) -> str:
    """One row a name, one dot a series: label -> (colour, value of each name)."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE_INCHES[0], 0.6 + 0.19 * len(names)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        rows = range(len(names))
        for marker, (label, (colour, held)) in zip("|o", values.items(), strict=False):
            axes.plot(held, rows, marker, color=COLOURS[colour][0], label=label, ms=6 if marker == "|" else 4.5)
        axes.set_yticks(rows, list(names))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel(x_label)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        return _svg(figure, alt)


def survival(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values and the share of all that are at least as large."""
    distinct, count = np.unique(values, return_counts=True)
    return distinct, np.cumsum(count[::-1])[::-1] / max(len(values), 1)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `_MAX_POINTS` points, evenly in log rank, so that both ends of a long curve are kept."""
    if len(x) <= _MAX_POINTS:
        return x, y
    rows = np.unique(np.round(np.geomspace(1, len(x), _MAX_POINTS)).astype(int)) - 1
    return x[rows], y[rows]


def _svg(figure: Figure, alt: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(buffer.getvalue(), alt)


def _inline(svg: str, alt: str) -> str:
    """Makes a file of matplotlib's fit into a page: no head, ids of its own, colours of the page."""
    body = re.sub(r"<(metadata|style).*?</\1>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]*)"', body)
    inside = body[body.index(">") + 1 :]
    prefix = "f" + hashlib.sha256(inside.encode()).hexdigest()[:8]
    inside = re.sub(r' id="([^"]*)"', rf' id="{prefix}-\1"', inside)
    inside = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", inside).replace("xlink:href", "href")
    for name, (shade, _) in COLOURS.items():
        inside = inside.replace(shade, f"var(--{name})")
    inside = re.sub(r'font-family: [^;"]*', "font-family: inherit", inside)
    return f'<svg role="img" viewBox="{view[1] if view else ""}" aria-label="{escape(alt)}">{inside.rstrip()}'
