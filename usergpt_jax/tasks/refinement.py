"""The refinement task: a noisy title becomes "core entity | attribute; attribute; attribute".

A refiner may only say what it was told: a core entity made of words of title and category, attributes of words of the
title. So an answer can be checked without gold, and one that fails is told apart from one that holds (`grounded`).

Paper: §2.2. Differs from the paper: answers are checked against the title.
"""

import collections
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from usergpt_jax.corpus.tokenizer import ANSWER, ANSWER_END, IM_END, IM_START
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.overlap import rouge_l, rouge_n

NAME = "refinement"
MAX_ATTRIBUTES = 3
MAX_READ_CHARS = 300  # a title is read this far
_MAX_ANSWER_CHARS = 200
INSTRUCTIONS = (
    "You clean product and place titles. For each numbered title write one line: the same number, then the core entity "
    '(the product noun, not the brand), then " | " and at most 3 attributes joined by "; ": first the brand, then the '
    "variant (size, colour, flavour, city), then whom it is made for. Copy words from the title. Drop marketing words "
    'and phrases such as "Kid Friendly" or "Student Favourite". A category, when given, stands after the title in '
    "angle brackets. Write nothing else.\n"
    "Example: 1. [Hot Sale] Woodrow Sturdy Display Shelf Four Tier Free Shipping <Shelves>\n"
    "Answer: 1. Display Shelf | Woodrow; Four Tier"
)
_HUMP = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
_MARKS = re.compile(r"([^\w\s'&.%-])|(?<!\d)(\.)(?!\d)")
_LEAF = re.compile(r"^.*(?:>|::|\||\s/\s|»)")


class Refined(NamedTuple):
    """A core entity and at most `MAX_ATTRIBUTES` attributes, brand first where there is one."""

    entity: str
    attributes: tuple[str, ...]


def surface_words(title: str) -> list[str]:
    """Words and marks of a title as it spells them; names written in one word are parted: "TerraViva" -> Terra Viva."""
    text = unicodedata.normalize("NFKC", title[:MAX_READ_CHARS]).replace("’", "'")
    return _MARKS.sub(r" \1\2 ", parted(text)).split()


def parted(text: str) -> str:
    """A text whose joined names are parted: "TerraViva tea" -> "Terra Viva tea"; iPhone stays."""
    return _HUMP.sub(" ", text)


def plain(text: str) -> str:
    """A title as a small model reads it: lower case, marks apart, one space before each word."""
    return "".join(f" {word}" for word in surface_words(text)).lower()


def leaf(category: str) -> str:
    """The last part of a category path: "Baby > Wet_Wipes" -> "Wet Wipes"."""
    return " ".join(_LEAF.sub("", category.replace("_", " ").strip(" >|/:»")).split())


def target(refined: Refined) -> str:
    """The answer's text: "Wet Wipes | Huggies; baby"."""
    attributes = "; ".join(refined.attributes[:MAX_ATTRIBUTES])
    return f"{refined.entity} | {attributes}" if attributes else refined.entity


def parse(text: str) -> Refined:
    """Reads an answer.

    Raises:
      MalformedOutput: no core entity, more than `MAX_ATTRIBUTES` attributes, an over-long or many-lined answer.
    """
    text = text.strip().removesuffix(IM_END).strip()
    if len(text) > _MAX_ANSWER_CHARS or "\n" in text:
        raise MalformedOutput("the answer is longer than a line")
    if any(control in text for control in (IM_START, IM_END, ANSWER, ANSWER_END)):
        raise MalformedOutput("a control string stands in the answer")
    entity, *rest = text.split("|")
    if len(rest) > 1:
        raise MalformedOutput("expected one | in the answer")
    attributes = [" ".join(one.split()) for one in (rest[0] if rest else "").split(";")]
    attributes = list(dict.fromkeys(one for one in attributes if one))
    if len(attributes) > MAX_ATTRIBUTES:
        raise MalformedOutput(f"{len(attributes)} attributes, expected at most {MAX_ATTRIBUTES}")
    entity = " ".join(entity.split())
    if not any(char.isalnum() for char in entity):
        raise MalformedOutput("no core entity")
    return Refined(entity, tuple(attributes))


class Checked(NamedTuple):
    """An answer without what the title does not say; `n_dropped` attributes went."""

    refined: Refined
    n_dropped: int


def grounded(refined: Refined, title: str, category: str | None) -> Checked:
    """An answer in the title's own spelling; attributes that are no run of words of the title go.

    The core entity comes in Title Case. A brand that only SHOUTS in a title of mixed case is spelt as a name.

    Raises:
      MalformedOutput: the core entity has a word that neither title nor category holds.
    """
    surface = surface_words(title)
    lower = [word.lower() for word in surface]
    known = {_stem(word) for word in (*lower, *plain(leaf(category or "")).split())}
    words = plain(refined.entity).split()
    if strange := [word for word in words if _stem(word) not in known]:
        raise MalformedOutput(f"the core entity has the word {strange[0]!r}, which the title lacks")
    found = [_spelt(plain(one).split(), surface, lower) for one in refined.attributes]
    kept = tuple(one for one in found if one)
    entity = " ".join(_as_name(word) for word in _in_case(words, surface, lower))
    return Checked(Refined(entity, kept), len(found) - len(kept))


def _stem(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 else word


def _in_case(words: Sequence[str], surface: Sequence[str], lower: Sequence[str]) -> list[str]:
    spelling = dict(zip(lower, surface, strict=True))
    shouted = _is_shouted(surface)
    return [word if shouted else spelling.get(word, word) for word in words]


def _spelt(words: Sequence[str], surface: Sequence[str], lower: Sequence[str]) -> str:
    """A run of the title's words in its spelling, "" when the title has no such run; spaces may lie elsewhere."""
    letters = "".join(words)
    for start in range(len(lower)):
        joined, end = "", start
        while end < len(lower) and len(joined) < len(letters):
            joined, end = joined + lower[end], end + 1
        if letters and joined == letters:
            break
    else:
        return ""
    if list(lower[start:end]) != list(words):
        return " ".join(word.capitalize() for word in words)
    run = surface[start:end]
    loud = all(word.isupper() for word in run) and sum(map(len, run)) > 4 and not _is_shouted(surface)
    return " ".join(word.capitalize() if loud else word for word in run)


def _is_shouted(surface: Sequence[str]) -> bool:
    return sum(word.isupper() for word in surface) > len(surface) / 2


def _as_name(word: str) -> str:
    return re.sub(r"(?<![^\W_])(?<!['’])[a-z]", lambda match: match.group().upper(), word) if word.islower() else word


class Scores(NamedTuple):
    """How close an answer comes to gold, each in [0, 1]; case does not matter.

    Attributes:
      entity: the core entity is the same.
      exact: so are all attributes, in any order.
      attribute_f1: of the sets of attributes; 1 when both are empty.
      rouge_1: of the words of entity and attributes.
      rouge_l: likewise.
    """

    entity: float
    exact: float
    attribute_f1: float
    rouge_1: float
    rouge_l: float


def words_of(refined: Refined) -> str:
    """Entity and attributes in a row without marks, which would count as easy words in overlap scores."""
    return " ".join((refined.entity, *refined.attributes)).lower()


def score(predicted: Refined, gold: Refined) -> Scores:
    """Scores an answer."""
    ours, right = (collections.Counter(one.lower() for one in side.attributes) for side in (predicted, gold))
    matched, total = sum((ours & right).values()), sum(ours.values()) + sum(right.values())
    same = predicted.entity.lower() == gold.entity.lower()
    texts = words_of(predicted), words_of(gold)
    return Scores(
        entity=float(same),
        exact=float(same and ours == right),
        attribute_f1=2 * matched / total if total else 1.0,
        rouge_1=rouge_n(*texts, 1),
        rouge_l=rouge_l(*texts),
    )
