"""The table that closes a run on the terminal."""

from collections.abc import Sequence

from usergpt_jax.report import numbers
from usergpt_jax.report.inputs import RunData
from usergpt_jax.report.scores import SUMMARY, TAGS, Scores


def closing_table(data: RunData, scores: Scores) -> str:
    """Mean credit of the tag task and Acc_Ex of every model with 95 % intervals, then the compression.

    Returns "" when nothing was measured.
    """
    models = scores.models(TAGS)
    lines = []
    if models:
        rows = [
            (name, *(_cell(scores, name, task, metric) for task, metric in ((TAGS, "avg"), (SUMMARY, "acc_ex"))))
            for name in models
        ]
        lines += _aligned([("model", f"tag {scores.average} [95 %]", "summary Acc_Ex [95 %]"), *rows])
        lines.append(f"{scores.n_users:,} held-out users; intervals by bootstrap over users")
    for unit, title in (("chars", "characters"), ("tokens", "tokens")):
        if sizes := data.mean_sizes(unit):
            raw, mub = sizes
            lines.append(f"semantize: {raw:,.0f} -> {mub:,.0f} {title} a user ({1 - mub / max(raw, 1.0):.1%} removed)")
    if models and (saved := scores.get(models[-1], SUMMARY, "saved_from_raw")):
        lines.append(f"portraits of {models[-1]} save {saved.value:.2%} of the raw log's tokens")
    return "\n".join(lines)


def _cell(scores: Scores, model: str, task: str, metric: str) -> str:
    result = scores.get(model, task, metric)
    return "-" if result is None else numbers.estimate(result)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    written = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [written[0], "-" * len(written[0]), *written[1:]]
