"""From a model's samples about one user to one persona: vote, check the evidence, repair contradictions, write it up.

A value is reported only when enough samples agree on it and at least one of them cites a MUB line that really holds
what is cited; otherwise the tag is NA and says why. A made-up value must not survive, even where it is plausible.

Paper: §3.1 (attributes agree with one another and with the behaviour), §3.2 (over-interpretation). Differs from the
paper: it reports one sample; ours votes over several and may abstain.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

from usergpt_jax import gazetteer
from usergpt_jax.schema import NA, Tag, TagSchema
from usergpt_jax.tasks import evidence, summary, tag_prediction
from usergpt_jax.tasks.output import MalformedOutput

# Why a tag is NA although the model did not answer NA.
REASONS = ("malformed", "low_confidence", "no_evidence", "inconsistent")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is reported of one tag.

    Attributes:
      value: in the tag's normal form, or NA.
      confidence: share of all samples, malformed ones included, that answered the winning value, in [0, 1]; of a list,
        the mean share of its items. A value that was withheld keeps its confidence.
      evidence: numbers of the MUB lines, from 1, that the winning samples cite and that hold what they cite.
      reason: one of `REASONS` when the value was withheld; "" otherwise, also when NA itself won the vote.
    """

    value: str
    confidence: float
    evidence: tuple[int, ...]
    reason: str

    def withheld(self, reason: str) -> "Verdict":
        """The same tag as NA."""
        return Verdict(NA, self.confidence, (), reason)

    def to_json(self) -> dict[str, object]:
        """JSON-ready; `reason` only where there is one."""
        content: dict[str, object] = {
            "value": self.value,
            "confidence": round(self.confidence, 4),
            "evidence": list(self.evidence),
        }
        return {**content, "reason": self.reason} if self.reason else content


@dataclasses.dataclass(frozen=True)
class Persona:
    """One user's consolidated profile; `summary_source` is "model" or "composed"."""

    tags: dict[str, Verdict]
    summary: str
    summary_source: str

    @property
    def values(self) -> dict[str, str]:
        """Tag name to value."""
        return {name: verdict.value for name, verdict in self.tags.items()}


def consolidate(
    schema: TagSchema,
    mub: str,
    tag_outputs: Mapping[str, Sequence[str]],
    summary_outputs: Sequence[str],
    min_confidence: float,
) -> Persona:
    """Turns samples about one user into one persona.

    Args:
      schema: the tags asked about.
      mub: the log that the model read.
      tag_outputs: tag name to sampled outputs.
      summary_outputs: sampled outputs of the summary task; may be empty.
      min_confidence: vote share below which a value is withheld, in [0, 1].
    """
    voted = {tag.name: vote(tag, mub, tag_outputs[tag.name]) for tag in schema.tags}
    honest = {name: withhold(verdict, min_confidence) for name, verdict in voted.items()}
    tags = repair(schema, honest)
    text, source = write_summary(schema, mub, tags, summary_outputs)
    return Persona(tags, text, source)


def vote(tag: Tag, mub: str, outputs: Sequence[str]) -> Verdict:
    """The value most samples answer, with the grounded lines those samples cite; ties go to the better grounded value.

    A list is voted on item by item: an item that at least half of the samples list is in.
    """
    samples = _parsed(tag, outputs)
    if not samples:
        return Verdict(NA, 0.0, (), "malformed")
    if tag.max_items > 1:
        return _vote_on_items(tag, mub, samples, len(outputs))
    by_value: dict[str, list[str]] = collections.defaultdict(list)
    for value, think in samples:
        by_value[_normal(tag, value)].append(think)
    lines = {value: _lines(mub, thinks) for value, thinks in by_value.items()}
    winner = max(by_value, key=lambda value: (len(by_value[value]), len(lines[value])))
    share = len(by_value[winner]) / len(outputs)
    return Verdict(winner, share, () if winner == NA else lines[winner], "")


def withhold(verdict: Verdict, min_confidence: float) -> Verdict:
    """NA unless enough samples agree and a line of the log bears them out."""
    if verdict.value == NA:
        return verdict
    if verdict.confidence < min_confidence:
        return verdict.withheld("low_confidence")
    return verdict if verdict.evidence else verdict.withheld("no_evidence")


def repair(schema: TagSchema, tags: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Withholds the least confident tag of those in a broken rule until no rule is broken."""
    tags = dict(tags)
    while broken := schema.violations({name: verdict.value for name, verdict in tags.items()}):
        involved = {name for rule in broken for name in (rule.if_tag, rule.then_tag)}
        weakest = min((name for name in schema.names if name in involved), key=lambda name: tags[name].confidence)
        tags[weakest] = tags[weakest].withheld("inconsistent")
    return tags


def write_summary(schema: TagSchema, mub: str, tags: Mapping[str, Verdict], outputs: Sequence[str]) -> tuple[str, str]:
    """The model's portrait that agrees best with `tags`, or one composed of them when each contradicts them.

    A portrait also has to cite something that the log holds; where nothing is known there is nothing to choose.

    Returns:
      (summary, "model" or "composed").
    """
    values = {name: verdict.value for name, verdict in tags.items()}
    if all(value == NA for value in values.values()):
        return summary.compose(schema, values), "composed"
    best, best_agreement = None, -1.0
    for text in outputs:
        try:
            persona = summary.parse(schema, text)
        except MalformedOutput:
            continue
        if contradicts(schema, persona.summary, values):
            continue
        if not evidence.grounded(persona.think, mub):
            continue
        agreement = summary.accuracy(schema, summary.extract(schema, persona.summary), values)
        if agreement > best_agreement:
            best, best_agreement = persona.summary, agreement
    if best is None:
        return summary.compose(schema, values), "composed"
    return best, "model"


def contradicts(schema: TagSchema, text: str, values: Mapping[str, str]) -> bool:
    """Whether any clause of a portrait words an attribute otherwise than `values`; saying less is no contradiction."""
    for clause in re.split(r"[.,;:]", text):
        for name, worded in summary.extract(schema, clause).items():
            tag = schema[name]
            if tag.max_items > 1 and values[name] != NA:
                if not set(_folded(worded)) <= set(_folded(values[name])):
                    return True
            elif _normal(tag, worded) != _normal(tag, values[name]):
                return True
    return False


def _vote_on_items(tag: Tag, mub: str, samples: Sequence[tuple[str, str]], n_outputs: int) -> Verdict:
    listed = [(dict.fromkeys(_folded(value)), think) for value, think in samples]
    votes = collections.Counter(item for items, _ in listed for item in items)
    n_na = votes.pop(NA.casefold(), 0)
    kept = [item for item, count in votes.most_common(tag.max_items) if 2 * count >= n_outputs]
    if not kept:
        top = max(votes.values(), default=0)
        share = max(n_na, top) / n_outputs
        return Verdict(NA, share, (), "" if n_na >= top else "low_confidence")
    confidence = sum(votes[item] for item in kept) / (len(kept) * n_outputs)
    lines = _lines(mub, [think for items, think in listed if any(item in items for item in kept)])
    return Verdict(", ".join(kept), confidence, lines, "")


def _parsed(tag: Tag, outputs: Sequence[str]) -> list[tuple[str, str]]:
    """(value, reasoning) of the outputs that are well-formed."""
    parsed = []
    for text in outputs:
        try:
            parsed.append(tag_prediction.parse(tag, text))
        except MalformedOutput:
            continue
    return parsed


def _normal(tag: Tag, value: str) -> str:
    """One spelling a value: cities by the gazetteer."""
    if tag.is_open and value != NA and (city := gazetteer.city_named(value)):
        return city.name
    return value


def _folded(value: str) -> list[str]:
    return [item.casefold() for item in tag_prediction.items_of(value)]


def _lines(mub: str, thinks: Sequence[str]) -> tuple[int, ...]:
    return tuple(sorted({line for think in thinks for line in evidence.grounded(think, mub)}))
