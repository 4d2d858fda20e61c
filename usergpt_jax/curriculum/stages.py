"""From votes to training questions: stages 1 to 3 and the reinforcement set. Paper: §3.3."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from usergpt_jax.curriculum.voting import CONTROVERSIAL, DROPPED, STANDARD, Vote
from usergpt_jax.schema import NA, Question, TagSchema
from usergpt_jax.tasks import evidence, summary, tag_prediction

_MAX_SUMMARY_CITATIONS = 4


def tag_questions(
    schema: TagSchema, labels: Mapping[str, str], votes: Mapping[str, Vote], outcome: str
) -> list[Question]:
    """A user's questions of one outcome: `STANDARD` (stage 1) or `CONTROVERSIAL` (stage 2)."""
    return [
        Question(
            task=tag_prediction.NAME,
            tag=tag.name,
            output=tag_prediction.target(tag, labels[tag.name], votes[tag.name].think or ""),
            label=labels[tag.name],
        )
        for tag in schema.tags
        if votes[tag.name].outcome == outcome
    ]


def summary_question(
    schema: TagSchema, labels: Mapping[str, str], votes: Mapping[str, Vote], min_supported_frac: float
) -> Question | None:
    """The user's composite question (stage 3), or None when the user is no seed.

    A seed user's labels break no consistency rule, and the teachers supported at least `min_supported_frac` of them.
    The portrait is kept only if every attribute read out of it is the label.
    """
    supported = [votes[name].outcome != DROPPED for name in schema.names]
    if schema.violations(labels) or np.mean(supported) < min_supported_frac:
        return None
    read = summary.extract(schema, summary.compose(schema, labels))
    if any(tag_prediction.score(tag, read.get(tag.name, NA), labels[tag.name]) < 1.0 for tag in schema.tags):
        return None
    cited = [
        citation
        for name in schema.names
        for citation in evidence.citations(votes[name].think or "")[:1]
        if labels[name] != NA
    ]
    think = evidence.cite(sorted(dict.fromkeys(cited), key=lambda c: c.line)[:_MAX_SUMMARY_CITATIONS])
    label = json.dumps(dict(labels), sort_keys=True)
    return Question(summary.NAME, "", summary.target(schema, labels, think), label)


def reinforcement_question(labels: Mapping[str, str]) -> Question:
    """A composite question without a target output: the label alone decides the reward."""
    return Question(summary.NAME, "", "", json.dumps(dict(labels), sort_keys=True))


def stratified(cells: Sequence[str], per_cell: int, rng: np.random.Generator) -> list[int]:
    """Indices of at most `per_cell` users of each cell, drawn at random, in order.

    Paper: §3.3 (reinforcement users stratified by sex and age, at most 100 a cell).
    """
    order = rng.permutation(len(cells))
    taken: dict[str, int] = {}
    kept = []
    for index in order:
        cell = cells[int(index)]
        if taken.get(cell, 0) < per_cell:
            taken[cell] = taken.get(cell, 0) + 1
            kept.append(int(index))
    return sorted(kept)


OUTCOME_OF_STAGE = {"stage1": STANDARD, "stage2": CONTROVERSIAL}
