"""The summary task: all attributes of a user at once, and a short portrait that replaces the log.

Paper: §3.1 (composite summary), §3.3.4 (reward), §4 (Acc_Ex, COV_Ex). Differs from the paper: the extractor and the
judge are programs, not language models, so that scores are free, exact and the same everywhere.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping

from usergpt_jax.schema import NA, Tag, TagSchema
from usergpt_jax.tasks import output, tag_prediction
from usergpt_jax.tasks.wording import SUMMARY_TOPIC, output_text, summary_question

NAME = "summary"
NOTHING_KNOWN = "The log tells too little."


def prompt() -> str:
    """The question, up to where the model's output starts."""
    return summary_question()


def compose(schema: TagSchema, values: Mapping[str, str]) -> str:
    """Words the attributes as a portrait, one sentence a dimension; NA is left out."""
    sentences = []
    for dimension, title in schema.dimensions.items():
        clauses = [
            _clause(tag, values.get(tag.name, NA))
            for tag in schema.tags
            if tag.dimension == dimension and values.get(tag.name, NA) != NA
        ]
        if clauses:
            sentences.append(f"{title}: {', '.join(clauses)}.")
    return " ".join(sentences) or NOTHING_KNOWN


def target(schema: TagSchema, values: Mapping[str, str], cited: str) -> str:
    """The output to learn."""
    attributes = {tag.name: values.get(tag.name, NA) for tag in schema.tags}
    answer = {"attributes": attributes, "summary": compose(schema, values)}
    return output_text(SUMMARY_TOPIC, cited, json.dumps(answer, ensure_ascii=False))


@dataclasses.dataclass(frozen=True)
class Persona:
    """A parsed summary output: `attributes` by tag name, `summary` text, `think` reasoning."""

    attributes: dict[str, str]
    summary: str
    think: str


def parse(schema: TagSchema, text: str) -> Persona:
    """Reads a model output.

    Raises:
      MalformedOutput: wrong form, a missing or unknown attribute, a value outside its set, or an empty summary.
    """
    parsed = output.parse(text)
    attributes, summary = parsed.answer.get("attributes"), parsed.answer.get("summary")
    if set(parsed.answer) != {"attributes", "summary"} or not isinstance(attributes, dict):
        raise output.MalformedOutput('expected {"attributes": {...}, "summary": "..."}')
    if set(attributes) != set(schema.names):
        odd = sorted(set(attributes) ^ set(schema.names))
        raise output.MalformedOutput(f"attribute {odd[0]!r} is missing or unknown")
    if not isinstance(summary, str) or not summary.strip():
        raise output.MalformedOutput("the summary is empty")
    valid = {tag.name: tag_prediction.valid_value(tag, attributes[tag.name]) for tag in schema.tags}
    return Persona(valid, summary.strip(), parsed.think)


def extract(schema: TagSchema, summary: str) -> dict[str, str]:
    """Reads the attributes out of a summary by their wording; a tag not worded, or worded two ways, is left out."""
    found = {}
    for tag in schema.tags:
        values = _worded(tag, summary)
        if len(values) == 1:
            found[tag.name] = values.pop()
    return found


@dataclasses.dataclass(frozen=True)
class JudgeWeights:
    """Weights of the judge's four axes; they are normalised to sum to 1."""

    completeness: float
    consistency: float
    conciseness: float
    aesthetics: float


def judge(schema: TagSchema, persona: Persona, max_summary_chars: int) -> dict[str, float]:
    """Scores a portrait on the paper's four axes, each in [0, 1].

    - completeness: share of the attributes that the portrait conveys as stated (a stated NA: not worded at all);
    - consistency: 1, less a quarter for each broken rule or tag worded two ways;
    - conciseness: 1 up to `max_summary_chars`, then falling as the length grows, times the share of distinct clauses;
    - aesthetics: share met of: starts with a capital, ends with a stop, no doubled punctuation, no JSON or "NA".
    """
    text = persona.summary
    worded = {tag.name: _worded(tag, text) for tag in schema.tags}
    extracted = {name: next(iter(values)) for name, values in worded.items() if len(values) == 1}
    conveyed = [extracted.get(name, NA) == value for name, value in persona.attributes.items()]
    twice = sum(len(values) > 1 for values in worded.values())
    clauses = [clause.strip() for clause in re.split(r"[.,;:]", text) if clause.strip()]
    form = [
        text[0].isupper(),
        text[-1] == ".",
        not re.search(r"[.,;:]\s*[.,;:]", text),
        not re.search(r'[{}"]|\bNA\b', text),
    ]
    return {
        "completeness": sum(conveyed) / len(conveyed),
        "consistency": max(0.0, 1.0 - 0.25 * (twice + len(schema.violations(persona.attributes)))),
        "conciseness": min(1.0, max_summary_chars / len(text)) * len(set(clauses)) / max(len(clauses), 1),
        "aesthetics": sum(form) / len(form),
    }


def quality(axes: Mapping[str, float], weights: JudgeWeights) -> float:
    """Weighted mean of the judge's axes, in [0, 1]."""
    by_axis = dataclasses.asdict(weights)
    return sum(by_axis[axis] * value for axis, value in axes.items()) / sum(by_axis.values())


def accuracy(schema: TagSchema, predicted: Mapping[str, str], gold: Mapping[str, str]) -> float:
    """Mean credit over all tags; a tag absent from `predicted` counts as NA."""
    credits = [tag_prediction.score(tag, predicted.get(tag.name, NA), gold[tag.name]) for tag in schema.tags]
    return sum(credits) / len(credits)


def _clause(tag: Tag, value: str) -> str:
    if tag.is_open:
        return tag.phrases["{}"].format(" and ".join(tag_prediction.items_of(value)))
    return tag.phrases[value]


def _worded(tag: Tag, summary: str) -> set[str]:
    """The values of a tag whose wording stands in the text."""
    pattern = _pattern(tuple(tag.phrases.values()))
    if tag.is_open:
        matches = pattern.findall(summary)
        return {", ".join(item.strip() for item in match.split(" and ")) for match in matches}
    values = {phrase.lower(): value for value, phrase in tag.phrases.items()}
    return {values[match.lower()] for match in pattern.findall(summary)}


@functools.cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of the phrases as whole words, the longest first; of a template, what stands in its place."""
    if phrases == (phrases[0],) and "{}" in phrases[0]:
        return re.compile(r"(?<!\w)" + re.escape(phrases[0]).replace(r"\{\}", r"([^.,;]+)"), re.IGNORECASE)
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE)
