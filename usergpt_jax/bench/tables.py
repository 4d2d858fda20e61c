"""The closing tables of the benchmark, from its results."""

from collections.abc import Sequence

from usergpt_jax.schema import Result

SUMMARY_COLUMNS = (
    ("Acc_Ex", "acc_ex", 1.0),
    ("COV_Ex", "cov_ex", 1.0),
    ("attrs", "acc_attributes", 1.0),
    ("BLEU-2", "bleu_2", 1.0),
    ("BLEU-4", "bleu_4", 1.0),
    ("compl", "judge_completeness", 10.0),
    ("consis", "judge_consistency", 10.0),
    ("concis", "judge_conciseness", 10.0),
    ("aesth", "judge_aesthetics", 10.0),
    ("tokens", "summary_tokens", 1.0),
    ("saved", "saved_from_raw", 1.0),
    ("malformed", "format_failure", 1.0),
)


def tag_table(results: Sequence[Result], models: Sequence[str], metric: str, dimensions: Sequence[str]) -> str:
    """One row a model: the metric with its interval, then by dimension, then the share of malformed outputs."""
    value = {(r.model, r.metric, r.scope): r for r in results if r.task == "tags"}
    header = f"{'tags, ' + metric:14s} {'all':>6s} {'[95 % interval]':>17s} " + " ".join(f"{d:>6s}" for d in dimensions)
    lines = [f"{header} {'malformed':>9s}"]
    for model in models:
        one = value[model, metric, "all"]
        by_dimension = (value.get((model, metric, f"dimension:{d}")) for d in dimensions)
        cells = " ".join(f"{r.value:6.3f}" if r else f"{'-':>6s}" for r in by_dimension)
        failures = value[model, "format_failure", "all"].value
        lines.append(f"{model:14s} {one.value:6.3f} {_interval(one):>17s} {cells} {failures:9.1%}")
    return "\n".join(lines)


def summary_table(results: Sequence[Result], models: Sequence[str]) -> str:
    """One row a model, the judge's axes from 0 to 10 as in the paper."""
    value = {(r.model, r.metric): r for r in results if r.task == "summary" and r.scope == "all"}
    lines = [f"{'summary':14s} " + " ".join(f"{title:>9s}" for title, _, _ in SUMMARY_COLUMNS)]
    for model in models:
        found = ((value.get((model, metric)), scale) for _, metric, scale in SUMMARY_COLUMNS)
        cells = " ".join(f"{r.value * scale:9.3f}" if r else f"{'-':>9s}" for r, scale in found)
        lines.append(f"{model:14s} {cells}")
    return "\n".join(lines)


def difference_lines(results: Sequence[Result]) -> str:
    """One line a paired difference or closed gap."""
    return "\n".join(
        f"{r.model}: {r.task} {r.metric} {r.value:+.3f} {_interval(r)}" for r in results if r.scope == "all"
    )


def _interval(result: Result) -> str:
    return f"[{result.low:.3f}, {result.high:.3f}]"
