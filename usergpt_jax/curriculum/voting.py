"""Voting: five outputs of two teachers a question, sorted by how many agree with the pseudo-label.

Paper: §3.3 (>= 4 of 5: standard; 1 to 3: controversial, kept if the stronger teacher agrees; none:
dropped).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from usergpt_jax.curriculum.teachers import Answers
from usergpt_jax.schema import NA, Tag
from usergpt_jax.tasks import tag_prediction

STANDARD, CONTROVERSIAL, DROPPED = "standard", "controversial", "dropped"


@dataclasses.dataclass(frozen=True)
class Vote:
    """The outcome for one user and tag.

    Attributes:
      votes: how many outputs agree with the label.
      outcome: one of `STANDARD`, `CONTROVERSIAL`, `DROPPED`.
      think: the kept output's reasoning; None when no output was kept.
    """

    votes: int
    outcome: str
    think: str | None


@dataclasses.dataclass(frozen=True)
class VotingConfig:
    """How teachers vote.

    Attributes:
      outputs_per_teacher: outputs of each of the two teachers; (3, 2) makes the paper's five.
      standard_votes: agreeing outputs that make a question standard.
      expert_outputs: outputs of the stronger teacher on a controversial question; the first that agrees is kept.
      list_agreement: least soft F1 at which two lists of an open tag agree.
    """

    outputs_per_teacher: tuple[int, ...]
    standard_votes: int
    expert_outputs: int
    list_agreement: float


def agrees(tag: Tag, value: str, label: str, config: VotingConfig) -> bool:
    """Whether a teacher's value counts as the label."""
    return tag_prediction.score(tag, value, label) >= (config.list_agreement if tag.max_items > 1 else 1.0)


def vote(
    tag: Tag,
    labels: Sequence[str],
    teachers: Sequence[Answers],
    expert: Answers,
    rng: np.random.Generator,
    config: VotingConfig,
) -> list[Vote]:
    """Collects the outputs on one tag for all users and decides each question."""
    drawn = [
        (teacher, teacher.sample(rng))
        for teacher, count in zip(teachers, config.outputs_per_teacher, strict=True)
        for _ in range(count)
    ]
    second = [(expert, expert.sample(rng)) for _ in range(config.expert_outputs)]
    result = []
    for user, label in enumerate(labels):
        right = [teacher for teacher, values in drawn if agrees(tag, values[user], label, config)]
        if len(right) >= config.standard_votes:
            kept = right[int(rng.integers(len(right)))]
            result.append(Vote(len(right), STANDARD, _think(kept, user, label)))
        elif right:
            matching = [teacher for teacher, values in second if agrees(tag, values[user], label, config)]
            think = _think(matching[0], user, label) if matching else None
            result.append(Vote(len(right), CONTROVERSIAL if matching else DROPPED, think))
        else:
            result.append(Vote(0, DROPPED, None))
    return result


def _think(teacher: Answers, user: int, label: str) -> str:
    return "" if label == NA else teacher.think(user, label)
