"""The tag task: one question about one attribute of a user.

`prompt`, `parse` and `score` live here once, so that the training reward and the benchmark are the same function.
"""

import json

from usergpt_jax import gazetteer
from usergpt_jax.schema import NA, Tag
from usergpt_jax.tasks import output
from usergpt_jax.tasks.similarity import Similarity, list_similarity, similarity
from usergpt_jax.tasks.wording import PromptConfig, output_text, tag_question

NAME = "tags"


def prompt(tag: Tag, config: PromptConfig) -> str:
    """The question, up to where the model's output starts."""
    return tag_question(tag, config)


def target(tag: Tag, value: str, cited: str) -> str:
    """The output to learn: cited evidence (or a word that there is none) and the value."""
    return output_text(tag.name, cited, json.dumps({tag.name: value}, ensure_ascii=False))


def parse(tag: Tag, text: str) -> tuple[str, str]:
    """Reads a model output into (value, reasoning).

    Raises:
      MalformedOutput: wrong form, another key than the tag, or a value outside the tag's set.
    """
    parsed = output.parse(text)
    if set(parsed.answer) != {tag.name}:
        raise output.MalformedOutput(f"expected the one key {tag.name!r}, got {sorted(parsed.answer)}")
    return valid_value(tag, parsed.answer[tag.name]), parsed.think


def valid_value(tag: Tag, value: object) -> str:
    """The value in its normal form.

    Raises:
      MalformedOutput: not a string, empty, outside a closed set, or more items than an open tag takes.
    """
    if not isinstance(value, str) or not value.strip():
        raise output.MalformedOutput(f"{tag.name}: expected text, got {value!r}")
    value = value.strip()
    if value == NA:
        return value
    if not tag.is_open and value not in tag.values:
        raise output.MalformedOutput(f"{tag.name}: {value!r} is not one of its values")
    if tag.is_open and len(items_of(value)) > tag.max_items:
        raise output.MalformedOutput(f"{tag.name}: more than {tag.max_items} items")
    return value


def items_of(value: str) -> list[str]:
    """The items of an open tag's value: "pets, fitness" -> ["pets", "fitness"]."""
    return [item.strip() for item in value.split(",") if item.strip()]


def score(tag: Tag, predicted: str, gold: str, similar: Similarity = similarity) -> float:
    """Credit in [0, 1]: exact for closed tags, soft F1 for lists, exact after gazetteer lookup for cities.

    Args:
      tag: the tag.
      predicted: the value to score.
      gold: the right one.
      similar: compares two items of a list.

    Paper: §3.3.4 (exact match for closed tags, embedding similarity for open ones).
    """
    if predicted == gold:
        return 1.0
    if NA in (predicted, gold) or not tag.is_open:
        return 0.0
    if tag.max_items > 1:
        return list_similarity(items_of(predicted), items_of(gold), similar)
    known, right = gazetteer.city_named(predicted), gazetteer.city_named(gold)
    return float(known is not None and known == right)
