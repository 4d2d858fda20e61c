"""The benchmark's results as a lookup, and what the report shows of them."""

import re
from collections.abc import Iterable

from usergpt_jax.report import figures, numbers, palette
from usergpt_jax.report.html import Html, absent, element, figure, join, legend, panels, section, table
from usergpt_jax.schema import Result, TagSchema

TITLE = "Benchmark"
TAGS, SUMMARY = "tags", "summary"
_AVERAGE = re.compile(r"avg@(\d+)")
_DIFFERENCE = " - "  # in the model's name: a paired difference, not a model
# Columns of the summary table: metric -> (title, factor). The judge's axes go from 0 to 10, as in the paper.
_SUMMARY_METRICS = {
    "acc_ex": ("Acc_Ex", 1.0),
    "cov_ex": ("COV_Ex", 1.0),
    "acc_attributes": ("JSON", 1.0),
    "bleu_2": ("BLEU-2", 1.0),
    "bleu_4": ("BLEU-4", 1.0),
    "judge_completeness": ("Compl.", 10.0),
    "judge_consistency": ("Consis.", 10.0),
    "judge_conciseness": ("Concis.", 10.0),
    "judge_aesthetics": ("Aesth.", 10.0),
    "format_failure": ("Malformed", 1.0),
    "summary_tokens": ("Tokens", 1.0),
    "saved_from_raw": ("Saved", 1.0),
}
_WITH_INTERVAL = ("acc_ex", "cov_ex")
_SHARES = ("format_failure", "saved_from_raw")


class Scores:
    """Looks results up by model and metric; `avg@10` and the like go by the name "avg"."""

    def __init__(self, results: Iterable[Result]):
        self._by_key: dict[tuple[str, str, str, str], Result] = {}
        self.n_samples = 0
        for result in results:
            metric = result.metric
            if average := _AVERAGE.fullmatch(metric):
                metric, self.n_samples = "avg", int(average.group(1))
            self._by_key[result.model, result.task, metric, result.scope] = result
        self.n_users = max((result.n_users for result in self._by_key.values()), default=0)

    def get(self, model: str, task: str, metric: str, scope: str = "all") -> Result | None:
        """The result, or None when it was not measured."""
        return self._by_key.get((model, task, metric, scope))

    @property
    def average(self) -> str:
        """What the mean credit of a tag question is called, e.g. "Avg@10"."""
        return f"Avg@{self.n_samples}"

    def models(self, task: str) -> list[str]:
        """Models measured on a task, in the order of every plot."""
        return palette.in_order({m for m, t, _, _ in self._by_key if t == task and _DIFFERENCE not in m})

    def metrics(self, task: str) -> list[str]:
        """Metrics of a task, by name."""
        return sorted({metric for _, t, metric, _ in self._by_key if t == task})

    def differences(self, metric: str) -> list[Result]:
        """Paired differences between models on a metric over all tags."""
        return [
            r
            for (m, _, name, scope), r in self._by_key.items()
            if _DIFFERENCE in m and name == metric and scope == "all"
        ]


def bench_section(scores: Scores, schema: TagSchema) -> Html:
    """Accuracy by dimension and tag, and the summary task."""
    models = scores.models(TAGS)
    if not models:
        return section("bench", TITLE, absent("bench"))
    styles = {name: palette.model_style(name, models)[0] for name in models}
    meanings = [
        join([element("code", name), f" {palette.MODELS[name][2]}"]) for name in models if name in palette.MODELS
    ]
    return section(
        "bench",
        TITLE,
        element(
            "p",
            f"HPR-Bench items of {numbers.count(scores.n_users)} held-out users, {len(schema.tags)} tags. "
            f"{scores.average} is the mean credit of {scores.n_samples} samples; a baseline always answers the same. "
            "Bars and brackets are 95 % bootstrap intervals over users, with the same draws for all models.",
        ),
        element("h3", "Tag accuracy by dimension"),
        legend(styles),
        _dimension_panels(scores, schema, models),
        element("p", join(meanings, "; "), ".", class_="note"),
        _dimension_table(scores, schema, models),
        *_difference_table(scores),
        element("h3", "Tag by tag"),
        _heat_table(scores, schema, models),
        *_pass_table(scores, models),
        element("h3", "Summary task"),
        _summary_table(scores),
    )


def _scopes(schema: TagSchema) -> dict[str, str]:
    return {"all": "All tags", **{f"dimension:{key}": title for key, title in schema.dimensions.items()}}


def _dimension_panels(scores: Scores, schema: TagSchema, models: list[str]) -> Html:
    drawn = []
    everything = [r for scope in _scopes(schema) for name in models if (r := scores.get(name, TAGS, "avg", scope))]
    low = max(0.0, min(r.low for r in everything) - 0.05)
    high = min(1.0, max(r.high for r in everything) + 0.03)
    for scope, title in _scopes(schema).items():
        found = [(name, r) for name in models if (r := scores.get(name, TAGS, "avg", scope))]
        if not found:
            continue
        estimates = [
            figures.Estimate(name, *palette.model_style(name, list(models)), r.value, r.low, r.high)
            for name, r in found
        ]
        told = "; ".join(f"{name} {numbers.estimate(r)}" for name, r in found)
        svg = figures.intervals(
            estimates,
            x_label=f"mean credit ({scores.average})",
            alt=f"{title}, mean credit by model: {told}",
            x_range=(low, high),
        )
        drawn.append(figure(title, svg))
    return panels(drawn)


def _dimension_table(scores: Scores, schema: TagSchema, models: list[str]) -> Html:
    scopes = _scopes(schema)
    best = {
        scope: max((r.value for name in models if (r := scores.get(name, TAGS, "avg", scope))), default=0.0)
        for scope in scopes
    }

    def cell(model: str, scope: str) -> str:
        result = scores.get(model, TAGS, "avg", scope)
        if result is None:
            return "–"
        value = element("span", f"{result.value:.3f}", class_="best" if result.value == best[scope] else None)
        return join([value, " ", element("span", numbers.bounds(result), class_="interval")])

    rows = [[name, *(cell(name, scope) for scope in scopes)] for name in models]
    return table(
        ["Model", *scopes.values()],
        rows,
        caption=f"{scores.average} with 95 % interval; the best of each column is bold.",
        numeric=range(1, len(scopes) + 1),
        style="wide sticky",
    )


def _difference_table(scores: Scores) -> list[Html]:
    found = [
        *((r, scores.average) for r in scores.differences("avg")),
        *((r, "Acc_Ex") for r in scores.differences("acc_ex")),
    ]
    if not found:
        return []
    rows = [[r.model, metric, f"{r.value:+.3f}", f"[{r.low:+.3f}, {r.high:+.3f}]"] for r, metric in found]
    caption = "Differences between models, paired by user; an interval that leaves out 0 is more than chance."
    return [table(["Difference", "Metric", "Value", "95 % interval"], rows, caption=caption, numeric=(2, 3))]


def _heat_table(scores: Scores, schema: TagSchema, models: list[str]) -> Html:
    def heat(model: str, tag: str) -> str:
        result = scores.get(model, TAGS, "avg", f"tag:{tag}")
        if result is None:
            return element("td", "–", class_="heat")
        share = round(55 * min(max(result.value, 0.0), 1.0))
        colour = f"background: color-mix(in srgb, var(--accent) {share}%, var(--paper))"
        return element(
            "td",
            f"{result.value:.2f}",
            class_="heat",
            style=colour,
            title=f"{model}, {tag}: {numbers.estimate(result)}",
        )

    rows: list[list[str]] = []
    for dimension, title in schema.dimensions.items():
        rows.append([element("th", title, scope="rowgroup", class_="group", colspan=str(len(models) + 1))])
        rows += [
            [tag.name, *(heat(name, tag.name) for name in models)] for tag in schema.tags if tag.dimension == dimension
        ]
    return table(
        ["Tag", *models],
        rows,
        caption=f"{scores.average} of each tag; the deeper the colour, the higher. Hover for the interval.",
        numeric=range(1, len(models) + 1),
        style="sticky",
    )


def _pass_table(scores: Scores, models: list[str]) -> list[Html]:
    metrics = [m for m in scores.metrics(TAGS) if m.startswith("pass@")]
    metrics.sort(key=lambda metric: int(metric.removeprefix("pass@")))
    extra = [m for m in scores.metrics(TAGS) if m.endswith("_known") or m == "format_failure" or m.startswith("gap_")]
    if not metrics and not extra:
        return []
    rows = [[name, *(_plain(scores.get(name, TAGS, metric)) for metric in (*metrics, *extra))] for name in models]
    titles = [_metric_title(metric) for metric in (*metrics, *extra)]
    caption = (
        "More on the tag task. Pass@k: chance that at least one of k samples is right; “where known”: only users whose "
        "right answer is not NA; malformed: share of outputs that are not of the required form."
    )
    return [table(["Model", *titles], rows, caption=caption, numeric=range(1, len(titles) + 1), style="sticky")]


def _metric_title(metric: str) -> str:
    if metric.startswith("gap_"):
        low, _, high = metric.removeprefix("gap_").partition("_to_")
        return f"Way from {low} to {high}"
    if metric.endswith("_known"):
        return f"{metric.removesuffix('_known').capitalize()} where known"
    return {"format_failure": "Malformed"}.get(metric, metric.capitalize())


def _summary_table(scores: Scores) -> Html:
    models = scores.models(SUMMARY)
    if not models:
        return absent("summary task")
    metrics = [m for m in _SUMMARY_METRICS if any(scores.get(name, SUMMARY, m) for name in models)]

    def cell(model: str, metric: str) -> str:
        result = scores.get(model, SUMMARY, metric)
        if result is None:
            return "–"
        if metric in _SHARES:
            return numbers.percent(result.value)
        value = result.value * _SUMMARY_METRICS[metric][1]
        if metric not in _WITH_INTERVAL:
            return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value <= 10 else f"{value:.0f}"
        return join([f"{value:.3f} ", element("span", numbers.bounds(result), class_="interval")])

    rows = [[name, *(cell(name, metric) for metric in metrics)] for name in models]
    return table(
        ["Model", *(_SUMMARY_METRICS[metric][0] for metric in metrics)],
        rows,
        caption="Acc_Ex: mean credit of the attributes read out of the portrait. COV_Ex: share of known attributes it "
        "words. JSON: mean credit of the attributes as stated. Judge: completeness, consistency, conciseness and "
        "aesthetics, 0 to 10. Saved: share of the raw log's tokens that the portrait replaces.",
        numeric=range(1, len(metrics) + 1),
        style="wide sticky",
    )


def _plain(result: Result | None) -> str:
    if result is None:
        return "–"
    share = result.metric == "format_failure" or result.metric.startswith("gap_")
    return numbers.percent(result.value) if share else f"{result.value:.3f}"
