"""The words of every prompt: role, task, input and question, written once.

Paper: §3.3 (role, task with objective and constraints, input, output as valid JSON with concise reasoning).
"""

import dataclasses
from collections.abc import Iterable

from usergpt_jax.corpus.tokenizer import (
    ANSWER,
    ANSWER_END,
    IM_END,
    IM_START,
    MAX_LINES,
    THINK,
    THINK_END,
    TURN_TO_ASSISTANT,
)
from usergpt_jax.schema import NA, Tag, TagSchema

SYSTEM = (
    "You are a professional user profile analyst. "
    "Read the numbered lines of the user's behaviour log and answer from their evidence alone. "
    "Write NA where the log tells too little. Cite lines briefly, then answer in valid JSON."
)
SUMMARY_QUESTION = "Summarise the user."
NO_EVIDENCE = "no line tells"
SUMMARY_TOPIC = "user"


@dataclasses.dataclass(frozen=True)
class PromptConfig:
    """How prompts are worded.

    Attributes:
      list_options: whether a closed tag's question lists its values; a model that was not trained on the schema needs
        them, one trained from scratch on it saves the tokens.
    """

    list_options: bool


def trunk_head() -> str:
    """What stands before the MUB: trusted text with control strings."""
    return f"{IM_START}system\n{SYSTEM}{IM_END}\n{IM_START}user"


def number_lines(mub: str) -> list[str]:
    r"""The MUB lines as the model sees them, "\\nL1 [Source: ...": numbered from 1 so that they can be cited."""
    return [f"\nL{number} {line}" for number, line in enumerate(mub.split("\n"), start=1) if line]


def tag_question(tag: Tag, config: PromptConfig) -> str:
    """The branch that asks for one tag, up to where the model's output starts."""
    options = f" Options: {', '.join((*tag.values, NA))}." if config.list_options and tag.values else ""
    return f"\n{tag.question}{options}{TURN_TO_ASSISTANT}"


def summary_question() -> str:
    """The branch that asks for the whole persona, up to where the model's output starts."""
    return f"\n{SUMMARY_QUESTION}{TURN_TO_ASSISTANT}"


def output_text(topic: str, cited: str, answer_json: str) -> str:
    """A model output: reasoning, answer, end token.

    Args:
      topic: what the reasoning is about, a word; it puts the question next to where the evidence is named.
      cited: the evidence, from `evidence.cite`; "" when there is none.
      answer_json: the answer.
    """
    return f"{THINK}{topic}: {cited or NO_EVIDENCE}{THINK_END}{ANSWER}{answer_json}{ANSWER_END}{IM_END}"


def wording(schema: TagSchema) -> list[str]:
    """The fixed texts of prompts and outputs, plain, as training sample for a tokenizer."""
    return list(_plain_texts(schema))


def _plain_texts(schema: TagSchema) -> Iterable[str]:
    """Cut where the parts vary; a space leads its text (see `tokenizer.train_sentencepiece`)."""
    yield from (
        "system",
        "user",
        SUMMARY_QUESTION,
        f" {NO_EVIDENCE}",
        f"{SUMMARY_TOPIC}:",
        '{"attributes": {',
        '}, "summary": "',
        '."}',
    )
    yield from (sentence if i == 0 else f" {sentence}" for i, sentence in enumerate(SYSTEM.split(". ")))
    for number in range(1, MAX_LINES + 1):
        yield from (f" (L{number})", f" (L{number}),")
    for tag in schema.tags:
        yield from (tag.question, f"{tag.name}:")
        for value in (*tag.values, *tag.known_values, NA):
            yield f'{{"{tag.name}": "{value}"}}'
            yield f'"{tag.name}": "{value}",'
            yield f' "{tag.name}": "{value}",'
        if tag.max_items > 1:
            yield from (text for value in tag.known_values for text in (value, f", {value}", f" and {value}"))
        yield f'{{"{tag.name}": "'
        yield f' "{tag.name}": "'
        for phrase in tag.phrases.values():
            yield from (" " + phrase.replace(" {}", ""), ", " + phrase.replace(" {}", ""))
    yield from (f' "{tag.name}": "{value}"' for tag in schema.tags[-1:] for value in (*tag.values, NA))
    for title in schema.dimensions.values():
        yield from (f"{title}:", f". {title}:")
