"""Training curves: SFT by stage, DF-GRPO by metric."""

from collections.abc import Mapping, Sequence

from usergpt_jax.report import figures, palette
from usergpt_jax.report.figures import Curve
from usergpt_jax.report.html import Html, absent, element, figure, legend, panels, section
from usergpt_jax.report.inputs import RunData
from usergpt_jax.report.overview import plain

TITLE = "Training"
# Metric or panel -> unit on its axis; what is not listed has none.
_UNITS = {
    "loss": "nats a token",
    "entropy": "nats a token",
    "kl": "nats a token",
    "n_tokens": "output tokens a batch",
    "response_tokens": "tokens a response",
    "format_rate": "share of samples",
    "truncated_rate": "share of samples",
    "clip_frac": "share of tokens",
    "atomic_accuracy": "mean credit",
    "extracted_accuracy": "mean credit",
    "quality": "judge, 0 to 1",
    "dropped": "samples a step",
    "groups": "groups a step",
    "rounds": "rounds of sampling a step",
}
Lines = Sequence[Mapping[str, float]]
_SPARE = ("accent", "df-grpo", "linear", "other-1", "rule-labels", "other-2", "other-3", "other-4")


def training_section(data: RunData) -> Html:
    """Curves of both trainers."""
    return section(
        "training",
        TITLE,
        element("h3", "Supervised fine-tuning"),
        *(_sft(data.sft) if data.sft else [absent("SFT")]),
        element("h3", "DF-GRPO"),
        *(_rl(data.rl) if data.rl else [absent("DF-GRPO")]),
    )


def _sft(stages: Mapping[str, Lines]) -> list[Html]:
    """One panel a metric; the stages follow one another on the step axis."""
    names = list(dict.fromkeys(name for lines in stages.values() for line in lines for name in line if name != "step"))
    colours = {stage: palette.model_style(stage, list(stages))[0] for stage in stages}
    drawn = []
    for name in names:
        start, curves = 0.0, []
        for stage, lines in stages.items():
            x, y = _points(lines, name)
            if x:
                curves.append(Curve(stage, colours[stage], [start + step for step in x], y))
            start += max((line["step"] for line in lines), default=0.0)
        drawn.append(_panel(name, curves))
    return [legend(colours), panels(drawn)]


def _rl(lines: Lines) -> list[Html]:
    """Rewards and the like one a panel; counts with a common prefix (`dropped_`, `groups_`) share a panel."""
    names = list(dict.fromkeys(name for line in lines for name in line if name != "step"))
    drawn = []
    for title, members in group(names).items():
        colours = _SPARE if len(members) > 1 else ("df-grpo",)
        curves = [
            Curve(name.removeprefix(f"{title}_"), colours[i % len(colours)], *_points(lines, name))
            for i, name in enumerate(members)
        ]
        drawn.append(_panel(title, curves, with_legend=len(members) > 1))
    return [panels(drawn)]


def group(names: Sequence[str]) -> dict[str, list[str]]:
    """Panels of metrics: what counts by reason goes together, all else stands alone.

    For example ["reward", "dropped_format", "dropped_length"] -> {"reward": [...], "dropped": [both]}.
    """
    grouped: dict[str, list[str]] = {}
    for name in names:
        prefix = name.partition("_")[0]
        together = prefix in ("dropped", "groups", "kept", "samples")
        grouped.setdefault(prefix if together else name, []).append(name)
    return {title if len(members) > 1 else members[0]: members for title, members in grouped.items()}


def _points(lines: Lines, name: str) -> tuple[list[float], list[float]]:
    found = [(line["step"], line[name]) for line in lines if name in line]
    return [x for x, _ in found], [y for _, y in found]


def _panel(name: str, curves: Sequence[Curve], with_legend: bool = False) -> Html:
    told = "; ".join(
        f"{c.label} {c.y[0]:.4g} at step {c.x[0]:.0f}, {c.y[-1]:.4g} at step {c.x[-1]:.0f}" for c in curves if c.y
    )
    bottom = 0.0 if all(min(c.y, default=0.0) >= 0 for c in curves) else None
    svg = figures.curves(curves, y_label=_UNITS.get(name, ""), alt=f"{plain(name)} over steps: {told}", bottom=bottom)
    key = legend({plain(c.label): c.colour for c in curves}) if with_legend else ""
    return figure(plain(name), Html(svg + key))
