"""The reward of a sampled portrait: format, atomic accuracy, summary quality. Paper: §3.3.4."""

import dataclasses
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.schema import TagSchema
from usergpt_jax.tasks import summary
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.summary import JudgeWeights


@dataclasses.dataclass(frozen=True)
class RewardConfig:
    """What a good portrait is.

    Attributes:
      judge: weights of the judge's axes.
      max_summary_chars: length up to which a portrait counts as concise.
    """

    judge: JudgeWeights
    max_summary_chars: int


class Rewards(NamedTuple):
    """Rewards of groups of samples, each Float[B G] in [0, 1].

    Attributes:
      well_formed: 1 when think and answer tags and JSON are right.
      atomic: mean credit of the stated attributes.
      quality: the judge's weighted axes.
      extracted: mean credit of the attributes read out of the portrait; watched, not rewarded.
    """

    well_formed: np.ndarray
    atomic: np.ndarray
    quality: np.ndarray
    extracted: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """What a sample that passed the filters earns: atomic accuracy plus quality, Float[B G] in [0, 2]."""
        return self.atomic + self.quality


def score(texts: Sequence[Sequence[str]], labels: Sequence[str], schema: TagSchema, config: RewardConfig) -> Rewards:
    """Scores samples `texts[group][sample]` against the labels (JSON, tag to value) of their users."""
    rows = [
        [_score_one(text, json.loads(label), schema, config) for text in group]
        for group, label in zip(texts, labels, strict=True)
    ]
    return Rewards(*np.moveaxis(np.array(rows, np.float32), -1, 0))


def _score_one(text: str, gold: dict[str, str], schema: TagSchema, config: RewardConfig) -> tuple[float, ...]:
    try:
        persona = summary.parse(schema, text)
    except MalformedOutput:
        return (0.0, 0.0, 0.0, 0.0)
    axes = summary.judge(schema, persona, config.max_summary_chars)
    return (
        1.0,
        summary.accuracy(schema, persona.attributes, gold),
        summary.quality(axes, config.judge),
        summary.accuracy(schema, summary.extract(schema, persona.summary), gold),
    )
