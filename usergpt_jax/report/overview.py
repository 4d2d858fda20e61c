"""The head of the report (what this run is, its key figures) and the table of its stages."""

from collections.abc import Iterator, Mapping
from typing import Any

from usergpt_jax.core.run_dir import Manifest
from usergpt_jax.report import numbers
from usergpt_jax.report.html import Html, details, element, html, join, section, table, tiles
from usergpt_jax.report.inputs import BENCH, CURRICULUM, EVENTS, MUB, STAGES, RunData
from usergpt_jax.report.scores import SUMMARY, TAGS, Scores

_DASH = "–"


def head(data: RunData, scores: Scores) -> list[Html]:
    """One sentence on the run, and tiles with its key figures."""
    versions = list(dict.fromkeys(manifest.version for manifest in data.manifests.values()))
    seeds = list(dict.fromkeys(str(m.config["seed"]) for m in data.manifests.values() if "seed" in m.config))
    done = f"{len(data.manifests)} of {len(STAGES)} stages complete"
    made = f"; made by usergpt_jax {', '.join(versions)}" if versions else ""
    seeded = f", seed {', '.join(seeds)}" if seeds else ""
    sentence = f"From raw behaviour logs to personas. Run “{data.name}”: {done}{made}{seeded}."
    return [element("p", sentence, class_="lead"), tiles(_tiles(data, scores))]


def _tiles(data: RunData, scores: Scores) -> list[tuple[str, str, str]]:
    entries = []
    if data.events is not None:
        each = data.events.n_events / max(data.events.n_users, 1)
        entries.append(("Users", numbers.count(data.events.n_users), f"{numbers.count(round(each))} events each"))
        entries.append(("Events", numbers.count(data.events.n_events), f"from {len(data.events.by_source)} sources"))
    if sizes := data.mean_sizes("chars"):
        raw, mub = sizes
        detail = f"{raw:,.0f} to {mub:,.0f} characters a user"
        entries.append(("Removed by semantize", numbers.percent(1 - mub / max(raw, 1.0)), detail))
    models = scores.models(TAGS)
    if models and (last := scores.get(models[-1], TAGS, "avg")):
        others = [
            f"{name} {result.value:.3f}"
            for name in ("majority", "linear")
            if (result := scores.get(name, TAGS, "avg")) and name != models[-1]
        ]
        entries.append((f"Tag {scores.average}, {models[-1]}", f"{last.value:.3f}", ", ".join(others)))
    summaries = scores.models(SUMMARY)
    if summaries and (last := scores.get(summaries[-1], SUMMARY, "acc_ex")):
        start = scores.get("stage3", SUMMARY, "acc_ex") if summaries[-1] == "df_grpo" else None
        detail = f"SFT start {start.value:.3f}" if start else numbers.bounds(last)
        entries.append((f"Acc_Ex, {summaries[-1]}", f"{last.value:.3f}", detail))
    if data.manifests:
        seconds = sum(manifest.wall_seconds for manifest in data.manifests.values())
        entries.append(("Wall time", numbers.duration(seconds), "all stages together"))
    return entries


def pipeline_section(data: RunData) -> Html:
    """Stages with their rows and time, and the config each was made with."""
    rows = []
    for folder, name in STAGES.items():
        if folder in data.manifests:
            manifest = data.manifests[folder]
            seconds = numbers.duration(manifest.wall_seconds)
            rows.append(
                [name, element("code", f"{folder}/"), _made(folder, data), seconds, element("code", manifest.hash[:10])]
            )
        else:
            rows.append(
                [name, element("code", f"{folder}/"), element("span", "not run yet", class_="absent"), _DASH, _DASH]
            )
    configs = [details(f"{STAGES[folder]}: counts and config", _full(m)) for folder, m in data.manifests.items()]
    return section(
        "pipeline",
        "Pipeline",
        table(
            ["Stage", "Folder", "Made", "Wall time", "Hash"],
            rows,
            caption="One folder a stage. The hash covers a stage's config and the hashes of its inputs.",
            numeric=(3,),
            style="wide",
        ),
        *configs,
    )


def _made(folder: str, data: RunData) -> Html:
    """What a stage made, in a few figures."""
    if folder == EVENTS and data.events is not None:
        return _counts({"users": data.events.n_users, "events": data.events.n_events})
    if folder == MUB and data.sizes is not None:
        return _counts({"users": data.sizes.height, "tokens": int(data.sizes["mub_tokens"].sum())})
    flat = flatten(data.manifests[folder].counts)
    counts = {name: len(value) if isinstance(value, list) else value for name, value in flat}
    if folder == CURRICULUM:
        counts = {
            f"questions in {name.removeprefix('questions.')}": value
            for name, value in counts.items()
            if name.startswith("questions.")
        }
    return _counts(dict(list(counts.items())[:8])) if counts else html(_DASH)


def _full(manifest: Manifest) -> Html:
    rows = [
        *([f"counts.{name}", _written(value)] for name, value in flatten(manifest.counts)),
        *([f"config.{name}", _written(value)] for name, value in flatten(manifest.config)),
        ["version", manifest.version],
        ["hash", manifest.hash],
    ]
    return table(["Key", "Value"], rows, caption=f"All that {manifest.stage}/manifest.json records.")


def _counts(counts: Mapping[str, Any]) -> Html:
    entries = (
        element("li", element("b", _written(value)), " ", element("span", plain(name)))
        for name, value in counts.items()
    )
    return element("ul", join(entries), class_="counts")


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or _DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return numbers.count(value) if isinstance(value, int) or value >= 0.01 or value == 0 else f"{value:.3g}"


def plain(name: str) -> str:
    """A key as words: "filtered_price" -> "filtered price"."""
    return name.replace("_", " ").replace(".", " · ")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings with dotted names, in order."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        else:
            yield name, value


def footer(data: RunData) -> str:
    """How this page was made."""
    benched = " Results are of simulated users; they say nothing about real ones." if BENCH in data.manifests else ""
    return (
        f"Made by launch/report.py from the files of “{data.name}” alone: the same files give the same page.{benched}"
    )
