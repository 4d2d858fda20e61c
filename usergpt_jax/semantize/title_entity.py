"""The product noun of a title that has no category: "WHITE HANGING HEART T-LIGHT HOLDER" -> "T-Light Holder"."""

import re

from usergpt_jax.semantize import lexicon

_PACK = re.compile(
    r"\b(?:set|pack|box|packs|sets|tube|bag|s)\s*(?:of\s*|/\s*)\d+\s*(?:of\b)?|\b\d+\s*/\s*\d+\b", re.IGNORECASE
)
_OF_MATERIAL = re.compile(r"\b(\w+) of (wicker|glass|metal|wood|paper|leather|silk|cotton|wool)\b", re.IGNORECASE)
_DESIGN = re.compile(r"(?<=\s)[\w'-]+\s+(?:design|motif|pattern|print)s?\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:[-'&.][^\W_]+)*")
_NUMBER = re.compile(r"[\d.,%+x/-]+")
_CUT = frozenset(("in", "with", "of", "for", "and", "on", "to", "from", "w", "by", "at", "or", "up", "the"))
_COUNTS = frozenset(("one", "two", "three", "four", "five", "six", "eight", "ten", "twelve"))
_SINGULAR_IN_S = frozenset(("christmas", "canvas", "gas", "pyjamas", "series", "texas", "paris", "xmas", "tights"))


def title_entity(text: str) -> str:
    """The entity, in Title Case; "" when the text has no word.

    The title is cut at prepositions; in the first piece that has one, the longest noun phrase of the lexicon is taken
    (the last of equals, since English heads come last), and a single noun keeps one plain word before it. A title
    without any lexicon noun gives the last words of its first piece.

    Args:
      text: a title without brackets, marketing words and units.
    """
    plain = _DESIGN.sub(" ", _OF_MATERIAL.sub(r"\2 \1", _PACK.sub(" ", text)))
    pieces: list[list[str]] = [[]]
    for word in _WORD.findall(plain.lower()):
        if word in _CUT:
            pieces.append([])
        elif not _NUMBER.fullmatch(word) and len(word) > 1 and word not in _COUNTS:
            pieces[-1].append(word)
    pieces = [piece for piece in pieces if piece]
    for piece in pieces:
        if found := _noun_phrase(piece):
            return title_case(" ".join(found))
    if not pieces:
        return ""
    head = [word for word in pieces[0] if not _is_modifier(word)] or pieces[0]
    return title_case(" ".join([*head[-2:-1], singular(head[-1])]))


def _is_modifier(word: str) -> bool:
    return word in lexicon.words("modifiers") or word in lexicon.audiences()


def _noun_phrase(words: list[str]) -> list[str]:
    """The longest lexicon phrase of a piece, its last word in the lexicon's number; [] when there is none."""
    nouns = lexicon.words("nouns")
    for length in (3, 2, 1):
        for end in range(len(words), length - 1, -1):
            start = end - length
            for last in (words[end - 1], singular(words[end - 1])):
                phrase = [*words[start : end - 1], last]
                if " ".join(phrase) not in nouns:
                    continue
                before = words[start - 1] if start else ""
                return [before, *phrase] if length == 1 and before and not _is_modifier(before) else phrase
    return []


def singular(word: str) -> str:
    """The word without its plural ending, by rules good enough for one spelling per noun."""
    if len(word) < 4 or word in _SINGULAR_IN_S or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def title_case(text: str) -> str:
    """A text in Title Case; one in mixed case (iPhone, LED Lamp) keeps its letters."""
    if not (text.islower() or text.isupper()):
        return text
    return re.sub(r"(?<![^\W_])(?<!['’])[^\W\d_]", lambda match: match.group().upper(), text.lower())
