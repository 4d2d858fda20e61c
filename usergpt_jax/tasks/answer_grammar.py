r"""The form of an answer as an automaton: what `parse` accepts, written as `target` writes it.

    <think> any text </think><answer>{"pet": "cat"}</answer>                    a closed tag: one of its values, or NA
    <think> any text </think><answer>{"interests": "tea, go"}</answer>          an open tag: up to `max_items` items
    <think> any text </think><answer>{"attributes": {...}, "summary": "..."}</answer>

The reasoning holds neither a think, an answer nor a turn mark. A free value is a JSON string whose items begin with
something visible. All text is valid UTF-8. Escapes are JSON's but for \u, which only control characters
need, and \/, which could spell a mark.
"""

import json

from usergpt_jax.corpus.byte_automaton import END, REFUSED, Builder, ByteAutomaton
from usergpt_jax.corpus.token_automaton import lift
from usergpt_jax.corpus.tokenizer import ANSWER, ANSWER_END, IM_END, IM_START, THINK, THINK_END, Tokenizer
from usergpt_jax.models.grammar import Grammar
from usergpt_jax.schema import NA, Tag, TagSchema

_MARKS = (THINK, THINK_END, ANSWER, ANSWER_END, IM_START, IM_END)
_ESCAPED, _ESCAPED_VISIBLE = '"\\bfnrt', '"\\'  # not "/", by which a mark could be spelled otherwise
_WIDE_SPACES = [chr(code) for code in range(0x80, 0x3001) if chr(code).isspace()]


def task_grammar(tokenizer: Tokenizer, vocab_size: int, schema: TagSchema) -> Grammar:
    """The grammar of all outputs: `start[g]` is that of the g-th tag, the last one that of the summary.

    Args:
      tokenizer: of the model.
      vocab_size: V of the model.
      schema: what is asked.
    """
    return lift(task_automaton(schema), tokenizer, vocab_size)


def task_automaton(schema: TagSchema) -> ByteAutomaton:
    """The outputs of `tag_prediction`, one start a tag, and last of `summary`."""
    builder = Builder()
    closing = builder.text("}" + ANSWER_END, END)
    tags = [_output(builder, "{" + _key(tag.name), _value(builder, tag, closing)) for tag in schema.tags]
    return builder.automaton([*tags, _portrait(builder, schema)])


def _portrait(builder: Builder, schema: TagSchema) -> int:
    text = _filled(builder, {'"': builder.text("}" + ANSWER_END, END)})
    then = builder.text("}, " + _key("summary"), text)
    for i, tag in reversed(list(enumerate(schema.tags))):
        then = builder.text((", " if i else "") + _key(tag.name), _value(builder, tag, then))
    return _output(builder, '{"attributes": {', then)


def _output(builder: Builder, opening: str, then: int) -> int:
    """A whole output whose answer starts with `opening` and goes on with `then`."""
    thinking = builder.loop()
    seam = builder.text(ANSWER + opening, then)
    builder.free_text(thinking, {**dict.fromkeys(_MARKS, REFUSED), THINK_END: seam})
    return builder.text(THINK, thinking)


def _key(name: str) -> str:
    return f'{_quoted(name)}: "'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(builder: Builder, tag: Tag, then: int) -> int:
    """A tag's value behind its opening quote, the closing one included."""
    if not tag.is_open:
        return builder.choice([_quoted(value)[1:] for value in (*tag.values, NA)], then)
    item = _filled(builder, {'"': then, ",": REFUSED})
    for _ in range(tag.max_items - 1):
        item = _filled(builder, {'"': then, ",": builder.text(" ", item)})
    return item


def _filled(builder: Builder, stops: dict[str, int]) -> int:
    """Text inside a JSON string that begins with something visible and goes on up to one of `stops`."""
    inside = builder.loop()
    refused = dict.fromkeys((*map(chr, range(0x20)), *_MARKS), REFUSED)
    builder.free_text(inside, {**refused, "\\": builder.choice(_ESCAPED, inside), **stops})
    escape = builder.choice(_ESCAPED_VISIBLE, inside)
    ways = {**dict.fromkeys(map(ord, (" ", *stops)), REFUSED), ord("\\"): escape}
    return builder.first(inside, ways, _WIDE_SPACES)
