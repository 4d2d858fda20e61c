"""Other titles from a gold one: new brands, new nouns, other variants, more marketing, so that copying is learnt.

A model trained on the shelf alone learns the shelf. Here most titles sell a brand that never was, under a noun put
together from two, so what tells brand, noun and variant apart is their place and their neighbours.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from usergpt_jax.tasks.refinement import Refined, leaf, surface_words

_NEW_BRAND, _NEW_NOUN, _NEW_VARIANT = 0.65, 0.4, 0.2
_NO_CATEGORY, _QUERY, _MORE_NOISE = 0.4, 0.06, 0.15
# fmt: off
# fmt: off
_STARTS = ("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "t", "v", "w", "x", "y", "z",
           "br", "ch", "cl", "dr", "fl", "gr", "kr", "pl", "sh", "st", "th", "tr", "zh")
# fmt: on
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ao", "ei", "ia", "ou", "ua")
_ENDS = ("", "", "", "n", "ng", "l", "r", "s", "t", "x", "m", "k")


@dataclasses.dataclass(frozen=True)
class Example:
    """A training example: the words of a title, its category or None, and the answer."""

    title: str
    category: str | None
    answer: Refined


class Augmenter:
    """Draws training examples from gold titles.

    Args:
      gold: (title, category, answer, brand) of training rows only: words of new brands and nouns come from them.
      noise: marketing phrases to add.
    """

    def __init__(self, gold: Sequence[tuple[str, str, Refined, str]], noise: Sequence[str]):
        self._gold = gold
        self._noise = noise
        self._brand_words = sorted({word for _, _, _, brand in gold for word in brand.split()})
        self._entities = sorted({answer.entity for _, _, answer, _ in gold})
        self._name_words = sorted({word for entity in self._entities for word in entity.split()})
        variants = {
            one for _, _, answer, brand in gold for one in answer.attributes if one != brand and one[0].isupper()
        }
        self._variants = sorted(variants)

    def __len__(self) -> int:
        return len(self._gold)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """One example made from the gold title at `index`."""
        title, category, answer, brand = self._gold[index]
        words = surface_words(title)
        new_category: str | None = category
        if brand and rng.random() < _NEW_BRAND:
            words, answer = _swap(words, answer, brand, self._new_brand(rng))
        if rng.random() < _NEW_NOUN:
            new = self._new_noun(rng)
            replaced = _replace(words, surface_words(answer.entity), surface_words(new))
            if replaced is not None:
                words, answer = replaced, answer._replace(entity=new)
                new_category = self._new_category(new, rng)
        others = [one for one in answer.attributes if one in self._variant_set]
        if others and rng.random() < _NEW_VARIANT:
            words, answer = _swap(words, answer, others[0], self._pick(self._variants, rng))
        if rng.random() < _QUERY:
            words, answer = self._query(answer, rng)
        elif rng.random() < _MORE_NOISE and self._noise:
            phrase = self._pick(self._noise, rng).title().split()
            words = [*phrase, *words] if rng.random() < 0.4 else [*words, *phrase]
        return Example(" ".join(words), None if rng.random() < _NO_CATEGORY else new_category, answer)

    @functools.cached_property
    def _variant_set(self) -> frozenset[str]:
        return frozenset(self._variants)

    def _pick(self, choices: Sequence[str], rng: np.random.Generator) -> str:
        return choices[int(rng.integers(len(choices)))]

    def _new_brand(self, rng: np.random.Generator) -> str:
        """Made-up words, words of known brands, or plain words that elsewhere name goods."""
        words = []
        for _ in range(1 + int(rng.random() < 0.5) + int(rng.random() < 0.1)):
            draw = rng.random()
            if draw < 0.55:
                words.append(_made_up(rng))
            else:
                words.append(self._pick(self._brand_words if draw < 0.85 else self._name_words, rng).title())
        return " ".join(words)

    def _new_noun(self, rng: np.random.Generator) -> str:
        """The head of one noun after the front of another, or after a word that never was."""
        front, head = self._pick(self._entities, rng).split(), self._pick(self._entities, rng).split()
        draw = rng.random()
        if draw < 0.3:
            return " ".join(head)
        if draw < 0.45:
            return f"{_made_up(rng)} {head[-1]}"
        if draw < 0.55:
            return " ".join([*head[:-1], _made_up(rng)])
        return " ".join([*(front[:-1] or front)[-2:], head[-1]])

    def _new_category(self, entity: str, rng: np.random.Generator) -> str:
        words = entity.split()[-int(rng.integers(1, 3)) :]
        plural = rng.random() < 0.3 and not words[-1].endswith("s")
        return leaf(" ".join(words) + ("s" if plural else ""))

    def _query(self, answer: Refined, rng: np.random.Generator) -> tuple[list[str], Refined]:
        """What someone types: the noun, perhaps with a variant."""
        variants = tuple(one for one in answer.attributes if one in self._variant_set)[: int(rng.random() < 0.7)]
        return surface_words(" ".join((answer.entity, *variants)).lower()), Refined(answer.entity, variants)


def _made_up(rng: np.random.Generator) -> str:
    """A word that never was, such as "Zhaolun"."""
    parts = (_STARTS, _VOWELS, _ENDS)
    drawn = [part[int(rng.integers(len(part)))] for _ in range(int(rng.integers(1, 4))) for part in parts]
    return "".join(drawn).capitalize()


def _swap(words: list[str], answer: Refined, old: str, new: str) -> tuple[list[str], Refined]:
    """Another name for an attribute, in title and answer; nothing changes when the title does not spell it out."""
    replaced = _replace(words, surface_words(old), surface_words(new))
    if replaced is None:
        return words, answer
    attributes = tuple(dict.fromkeys(new if one == old else one for one in answer.attributes))
    return replaced, answer._replace(attributes=attributes)


def _replace(words: list[str], old: list[str], new: list[str]) -> list[str] | None:
    """`words` with the first run `old`, in any case, replaced; None without such a run."""
    lower, wanted = [word.lower() for word in words], [word.lower() for word in old]
    n = len(wanted)
    start = next((i for i in range(len(words) - n + 1) if lower[i : i + n] == wanted), None) if n else None
    return None if start is None else [*words[:start], *new, *words[start + n :]]
