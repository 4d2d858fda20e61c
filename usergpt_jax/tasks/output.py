"""The one form of a model's output: `<think>reasoning</think><answer>{valid JSON}</answer>`."""

import dataclasses
import json
import re
from typing import Any

from usergpt_jax.corpus.tokenizer import ANSWER, ANSWER_END, IM_END, THINK, THINK_END

_FORM = re.compile(
    re.escape(THINK) + r"(.*?)" + re.escape(THINK_END) + r"\s*" + re.escape(ANSWER) + r"(.*?)" + re.escape(ANSWER_END),
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Output:
    """A well-formed output.

    Attributes:
      think: the reasoning.
      answer: the JSON object.
    """

    think: str
    answer: dict[str, Any]


class MalformedOutput(ValueError):
    """An output is not of the form; the message says why."""


def parse(text: str) -> Output:
    """Reads a model output; an end token and outer white space do not matter.

    Raises:
      MalformedOutput: the tags are missing, doubled or out of order, or the answer is no JSON object.
    """
    text = text.strip().removesuffix(IM_END).strip()
    match = _FORM.fullmatch(text)
    if match is None:
        raise MalformedOutput("not of the form <think>...</think><answer>...</answer>")
    think, answer = match.groups()
    if any(mark in think + answer for mark in (THINK, THINK_END, ANSWER, ANSWER_END)):
        raise MalformedOutput("a think or answer tag stands twice")
    try:
        content = json.loads(answer)
    except json.JSONDecodeError as error:
        raise MalformedOutput(f"the answer is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise MalformedOutput(f"the answer is no JSON object: {answer[:40]!r}")
    return Output(think.strip(), content)
