"""The leaf that a title names in words: the head of its first noun phrase, if a leaf is known by it.

WHITE JIGSAW PUZZLE TIN -> [jigsaw puzzle] tin       the longest phrase wins, "Jigsaw Puzzle"
BLUE UMBRELLA STAND     -> umbrella [stand]          of equals the last wins, since English heads come last
TEAPOT WITH UMBRELLA    -> [teapot] | umbrella       the first piece with a noun, pieces being cut at prepositions
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from usergpt_jax.semantize.categories.leaves import NO_LEAF, Leaves
from usergpt_jax.semantize.categories.words import GENDERS, words_of

_MOTIFS = ("Food", "Fresh")  # an apple or an egg on a title is more often a pattern than food
_MOTIF_WORDS = 3  # unless it is the only noun of so short a text
# Confidence by the words of the phrase and whether another noun follows it: ("one" | "more", "last" | "inner").
# Shares found right by reading (docs/categories.md); simulated titles alone would give all but the last nearly 1.
CONFIDENCE = {("more", "last"): 0.97, ("more", "inner"): 0.70, ("one", "last"): 0.92, ("one", "inner"): 0.15}
_CUT = frozenset(("in", "with", "of", "for", "and", "on", "to", "from", "w", "by", "at", "or", "up"))
_HOLDS = frozenset(("bag", "box", "set", "pack", "tin", "jar", "tube", "bottle", "pair", "bundle", "case"))


class Found(NamedTuple):
    """A leaf with the confidence in it."""

    leaf: int
    confidence: float


class _Span(NamedTuple):
    """A phrase in a title; the greatest is its head."""

    length: int
    is_solid: bool  # no motif
    end: int
    start: int
    leaf: int

    @property
    def is_word_motif(self) -> bool:
        """Whether it is one word that is more often a pattern."""
        return self.length == 1 and not self.is_solid


def find(text: str, leaves: Leaves, allowed: Collection[int] | None = None) -> Found | None:
    """The leaf that a text names.

    Args:
      text: a title without marketing words (`refine.without_marketing`).
      leaves: to choose from.
      allowed: the only leaves that may be found, if not all.
    """
    words = words_of(text)
    spans = _first_piece(_spans(words, leaves), words)
    spans = [span for span in spans if not span.is_word_motif] or spans
    if not spans:
        return None
    best = _gendered(max(spans), words, leaves)
    if best.leaf == NO_LEAF:
        named = [span for span in spans if span.leaf != NO_LEAF]
        if not named:
            return None
        best = _gendered(max(named), words, leaves)
        confidence = CONFIDENCE["one", "inner"]
    else:
        follows = any(span.start >= best.end for span in spans)
        follows |= best.is_word_motif and len(words) > _MOTIF_WORDS
        confidence = CONFIDENCE["more" if best.length > 1 else "one", "inner" if follows else "last"]
    return Found(best.leaf, confidence) if allowed is None or best.leaf in allowed else None


def _spans(words: Sequence[str], leaves: Leaves) -> list[_Span]:
    """At each word the longest phrase that starts there."""
    found = []
    for start, first in enumerate(words):
        for length in range(min(leaves.longest.get(first, 0), len(words) - start), 0, -1):
            leaf = leaves.phrases.get(" ".join(words[start : start + length]))
            if leaf is not None:
                if not (length == 1 and first in _HOLDS and words[start + 1 : start + 2] == ["of"]):
                    is_solid = leaf == NO_LEAF or leaves.level1[leaf] not in _MOTIFS
                    found.append(_Span(length, is_solid, start + length, start, leaf))
                break
    return found


def _first_piece(spans: list[_Span], words: Sequence[str]) -> list[_Span]:
    """The spans before the first preposition that stands after a span."""
    if not spans:
        return []
    end = next((place for place in range(spans[0].end, len(words)) if words[place] in _CUT), len(words))
    return [span for span in spans if span.start < end]


def _gendered(span: _Span, words: Sequence[str], leaves: Leaves) -> _Span:
    """Women's Slim Shirt: the buyer and the goods make one phrase, wherever the buyer stands."""
    goods = " ".join(words[span.start : span.end])
    for gender in GENDERS:
        if gender in words and (leaf := leaves.phrases.get(f"{gender} {goods}", NO_LEAF)) != NO_LEAF:
            return span._replace(leaf=leaf, is_solid=True)
    return span
