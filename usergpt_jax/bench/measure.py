"""From scores to results: every metric of every model in every scope, and the paired differences between models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.bench import metrics
from usergpt_jax.bench.items import Item
from usergpt_jax.bench.score import JUDGE_AXES, SummaryScores, TagScores
from usergpt_jax.schema import NA, Result, TagSchema

TAGS, SUMMARY = "tags", "summary"


class Measured(NamedTuple):
    """A metric of a model before averaging: Float[U] credit and weight (see `metrics.estimate`)."""

    credit: np.ndarray
    weight: np.ndarray


Key = tuple[str, str, str]  # task, metric, scope


def scopes(schema: TagSchema) -> dict[str, list[int]]:
    """Scope name to the indices of its tags: "all", each dimension, each tag."""
    found = {"all": list(range(len(schema.tags)))}
    for dimension in schema.dimensions:
        found[f"dimension:{dimension}"] = [i for i, tag in enumerate(schema.tags) if tag.dimension == dimension]
    return {**found, **{f"tag:{tag.name}": [i] for i, tag in enumerate(schema.tags)}}


def known_mask(schema: TagSchema, items: Sequence[Item]) -> np.ndarray:
    """Float[U A]: 1 where the gold is not NA."""
    return np.array([[float(item.gold[name] != NA) for name in schema.names] for item in items])


def measure_tags(schema: TagSchema, scores: TagScores, known: np.ndarray, pass_k: Sequence[int]) -> dict[Key, Measured]:
    """Avg@n over all items, over those with and without a gold of NA, Pass@k, and the share of malformed outputs.

    Args:
      schema: of the tags.
      scores: Float[U A N] credits.
      known: from `known_mask`.
      pass_k: the ks of Pass@k, each at most N.
    """
    n_samples = scores.credit.shape[-1]
    lists = np.array([tag.max_items > 1 for tag in schema.tags])
    needed = np.where(lists, metrics.PASS_CREDIT_OF_LISTS, metrics.PASS_CREDIT)
    n_passed = (scores.credit >= needed[:, None]).sum(-1)
    average, everything = scores.credit.mean(-1), np.ones(known.shape)
    by_metric = {
        f"avg@{n_samples}": (average, everything),
        f"avg@{n_samples}_known": (average * known, known),
        f"avg@{n_samples}_na": (average * (1 - known), 1 - known),
        "format_failure": (scores.malformed.mean(-1), everything),
        **{f"pass@{k}": (metrics.pass_at_k(n_samples, n_passed, k), everything) for k in pass_k},
    }
    return _by_scope(schema, TAGS, by_metric)


def measure_summaries(
    schema: TagSchema, scores: SummaryScores, known: np.ndarray, items: Sequence[Item]
) -> dict[Key, Measured]:
    """Acc_Ex, COV_Ex and attribute accuracy by scope; BLEU, judge axes, sizes and compression over all.

    Compression is the share of the raw log's, or the MUB's, tokens that the portraits save, over all users and
    well-formed samples together.
    """
    everything = np.ones(known.shape)
    by_scope = {
        "acc_ex": (scores.credit.mean(1), everything),
        "cov_ex": (scores.worded.mean(1), known),
        "acc_attributes": (scores.attributes.mean(1), everything),
    }
    users = np.ones(len(items))
    formed = (1.0 - scores.malformed).mean(1)
    overall = {
        "format_failure": Measured(scores.malformed.mean(1), users),
        "bleu_2": Measured(scores.bleu[..., 0].mean(1), users),
        "bleu_4": Measured(scores.bleu[..., 1].mean(1), users),
        **{f"judge_{axis}": Measured(scores.judge[..., i].mean(1), users) for i, axis in enumerate(JUDGE_AXES)},
        "summary_tokens": Measured(scores.tokens.mean(1), formed),
    }
    for name, sizes in (("raw", [item.raw_tokens for item in items]), ("mub", [item.mub_tokens for item in items])):
        before = np.array(sizes) * formed
        overall[f"saved_from_{name}"] = Measured(before - scores.tokens.mean(1), before)
    return {
        **_by_scope(schema, SUMMARY, by_scope),
        **{(SUMMARY, name, "all"): measured for name, measured in overall.items()},
    }


def results(measured: Mapping[str, Mapping[Key, Measured]], draws: np.ndarray) -> list[Result]:
    """One result a model and metric; a metric whose weight is 0 everywhere is left out.

    Args:
      measured: model to its metrics.
      draws: from `metrics.draw_weights`, shared by all models.
    """
    found = []
    for model, by_key in measured.items():
        for (task, metric, scope), (credit, weight) in by_key.items():
            estimate = metrics.estimate(credit, weight, draws)
            if estimate is not None:
                found.append(Result(model, task, metric, scope, *estimate))
    return found


def differences(
    measured: Mapping[str, Mapping[Key, Measured]],
    pairs: Sequence[tuple[str, str]],
    keys: Sequence[Key],
    draws: np.ndarray,
) -> list[Result]:
    """Paired differences, model "a - b", for each pair and key that both models have."""
    found = []
    for a, b in pairs:
        for key in keys:
            one, other = measured[a][key], measured[b][key]
            value = one.credit.sum() / one.weight.sum() - other.credit.sum() / other.weight.sum()
            drawn = metrics.ratio_draws(*one, draws) - metrics.ratio_draws(*other, draws)
            estimate = metrics.interval(value, drawn, int((one.weight > 0).sum()))
            found.append(Result(f"{a} - {b}", *key, *estimate))
    return found


def gap_closed(
    measured: Mapping[str, Mapping[Key, Measured]],
    models: Sequence[str],
    low: str,
    high: str,
    key: Key,
    draws: np.ndarray,
) -> Iterator[Result]:
    """How far each model is on the way from `low` (0) to `high` (1), if `high` is above `low` in all draws."""
    floor, ceiling = measured[low][key], measured[high][key]
    gap = metrics.ratio_draws(*ceiling, draws) - metrics.ratio_draws(*floor, draws)
    if gap.min() <= 0:
        return
    start, end = (one.credit.sum() / one.weight.sum() for one in (floor, ceiling))
    for model in models:
        one = measured[model][key]
        drawn = (metrics.ratio_draws(*one, draws) - metrics.ratio_draws(*floor, draws)) / gap
        value = (one.credit.sum() / one.weight.sum() - start) / (end - start)
        estimate = metrics.interval(value, drawn, int((one.weight > 0).sum()))
        yield Result(model, key[0], f"gap_{low}_to_{high}", key[2], *estimate)


def _by_scope(
    schema: TagSchema, task: str, by_metric: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> dict[Key, Measured]:
    """Sums Float[U A] credits and weights over the tags of each scope."""
    return {
        (task, metric, scope): Measured(credit[:, tags].sum(1), weight[:, tags].sum(1))
        for metric, (credit, weight) in by_metric.items()
        for scope, tags in scopes(schema).items()
    }
