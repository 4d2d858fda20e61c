"""From sampled outputs to numbers a user: credits of the tag task and measures of the summary task.

Summary measures, each a mean over a user's samples:

- Acc_Ex: mean credit over all tags of the attributes that `summary.extract` reads out of the portrait, a tag that it
  does not word counting as NA;
- COV_Ex: of the tags whose gold is not NA, the share that the portrait words in exactly one way;
- acc_attributes: mean credit over all tags of the JSON attributes;
- BLEU-2, BLEU-4: against the portrait composed of the gold values;
- judge axes: see `summary.judge`, here between 0 and 1.

A malformed or empty output scores 0 in all of them, on every tag, so silence never pays: without this rule an empty
portrait would earn every tag whose gold is NA.

Paper: §4. Differs from the paper: extractor and judge are programs (see `tasks/summary.py`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.bench import metrics
from usergpt_jax.bench.items import Item
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.schema import NA, TagSchema
from usergpt_jax.tasks import summary, tag_prediction
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.similarity import Similarity, similarity

JUDGE_AXES = ("completeness", "consistency", "conciseness", "aesthetics")


class TagScores(NamedTuple):
    """Tag task of one model: Float[U A N] credit in [0, 1], and whether each output is malformed (credit 0)."""

    credit: np.ndarray
    malformed: np.ndarray


class SummaryScores(NamedTuple):
    """Summary task of one model, arrays over users and samples but for the per-tag ones.

    Attributes:
      credit: Float[U N A], credit of each extracted tag.
      worded: Float[U N A], 1 where a tag whose gold is not NA is worded in one way.
      attributes: Float[U N A], credit of each JSON attribute.
      malformed: Float[U N], 1 for malformed outputs.
      bleu: Float[U N 2], BLEU-2 and BLEU-4.
      judge: Float[U N 4], in the order of `JUDGE_AXES`.
      tokens: Float[U N], size of the portrait, 0 for malformed outputs.
    """

    credit: np.ndarray
    worded: np.ndarray
    attributes: np.ndarray
    malformed: np.ndarray
    bleu: np.ndarray
    judge: np.ndarray
    tokens: np.ndarray


def score_tags(
    schema: TagSchema,
    items: Sequence[Item],
    texts: Sequence[Sequence[Sequence[str]]],
    similar: Similarity = similarity,
) -> TagScores:
    """Scores texts[user][tag][sample]; `similar` compares items of open lists."""
    n_samples = len(texts[0][0])
    credit = np.zeros((len(items), len(schema.tags), n_samples))
    malformed = np.zeros(credit.shape, bool)
    for u, (item, by_tag) in enumerate(zip(items, texts, strict=True)):
        for a, (tag, outputs) in enumerate(zip(schema.tags, by_tag, strict=True)):
            for n, text in enumerate(outputs):
                try:
                    value, _ = tag_prediction.parse(tag, text)
                except MalformedOutput:
                    malformed[u, a, n] = True
                    continue
                credit[u, a, n] = tag_prediction.score(tag, value, item.gold[tag.name], similar)
    return TagScores(credit, malformed)


def score_summaries(
    schema: TagSchema,
    items: Sequence[Item],
    texts: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    max_summary_chars: int,
    similar: Similarity = similarity,
) -> SummaryScores:
    """Scores texts[user][sample].

    Args:
      schema: of the tags.
      items: the users.
      texts: outputs of the summary task.
      tokenizer: measures portraits.
      max_summary_chars: up to where a portrait counts as concise.
      similar: compares items of open lists.
    """
    U, N, A = len(items), len(texts[0]), len(schema.tags)
    scores = SummaryScores(
        credit=np.zeros((U, N, A)),
        worded=np.zeros((U, N, A)),
        attributes=np.zeros((U, N, A)),
        malformed=np.zeros((U, N)),
        bleu=np.zeros((U, N, 2)),
        judge=np.zeros((U, N, len(JUDGE_AXES))),
        tokens=np.zeros((U, N)),
    )
    for u, (item, outputs) in enumerate(zip(items, texts, strict=True)):
        right = summary.compose(schema, item.gold)
        for n, text in enumerate(outputs):
            try:
                persona = summary.parse(schema, text)
            except MalformedOutput:
                scores.malformed[u, n] = 1.0
                continue
            found = summary.extract(schema, persona.summary)
            axes = summary.judge(schema, persona, max_summary_chars)
            scores.credit[u, n] = _credits(schema, found, item, similar)
            scores.worded[u, n] = [item.gold[name] != NA and name in found for name in schema.names]
            scores.attributes[u, n] = _credits(schema, persona.attributes, item, similar)
            scores.bleu[u, n] = [metrics.bleu(persona.summary, right, order) for order in (2, 4)]
            scores.judge[u, n] = [axes[axis] for axis in JUDGE_AXES]
            scores.tokens[u, n] = len(tokenizer.encode(persona.summary))
    return scores


def _credits(schema: TagSchema, predicted: dict[str, str], item: Item, similar: Similarity) -> list[float]:
    return [tag_prediction.score(tag, predicted.get(tag.name, NA), item.gold[tag.name], similar) for tag in schema.tags]
