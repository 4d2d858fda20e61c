"""The product noun of a title that has no category: "WHITE HANGING HEART T-LIGHT HOLDER" -> "T-Light Holder"."""

import re
from typing import NamedTuple

from usergpt_jax.semantize import lexicon
from usergpt_jax.semantize.lexicon import singular

_PACK = re.compile(
    r"\b(?:set|pack|box|packs|sets|tube|bag|s)\s*(?:of\s*|/\s*)\d+\s*(?:of\b)?|\b\d+\s*/\s*\d+\b", re.IGNORECASE
)
_OF_MATERIAL = re.compile(r"\b(\w+) of (wicker|glass|metal|wood|paper|leather|silk|cotton|wool)\b", re.IGNORECASE)
_DESIGN = re.compile(r"(?<=\s)[\w'-]+\s+(?:design|motif|pattern|print)s?\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:[-'&.][^\W_]+)*|,(?=\s)")
_NUMBER = re.compile(r"[\d.,%+x/-]*[\d.%+x/-]")
_CUT = frozenset(("in", "with", "of", "for", "and", "on", "to", "from", "w", "by", "at", "or", "up", "the"))
_COUNTS = frozenset(("one", "two", "three", "four", "five", "six", "eight", "ten", "twelve"))
_LOOKS = frozenset(
    ("big", "dec", "giant", "jumbo", "large", "little", "medium", "mini", "set", "short", "small", "tall")
)
# With materials and other modifiers, words that alone name nothing.
_THEMES = frozenset(("christmas", "easter", "felt", "halloween", "porcelain", "wooden", "xmas"))
# Modifiers that are what is sold when they follow a plain word.
_FIGURES = frozenset(
    ("butterfly", "daisy", "doily", "feather", "flag", "heart", "leaf", "rose", "sketchbook", "skull", "star")
)
_HOLDERS = frozenset(("bottle", "box", "can", "carton", "cup", "glass", "jar", "pack", "pot", "tin", "tube"))


class _Span(NamedTuple):
    """A noun phrase of the lexicon in a piece of a title."""

    start: int
    end: int
    commas: int  # before it
    noun: str

    @property
    def rank(self) -> tuple[int, int, int]:
        """The longest, of equals the one before a comma, then the last."""
        return self.end - self.start, -self.commas, self.end

    @property
    def is_motif(self) -> bool:
        """Whether it is more often pictured than sold."""
        return self.noun in lexicon.words("motifs")


def title_entity(text: str) -> str:
    """The entity, in Title Case; "" when the text has no word.

    The title is cut at prepositions; in the first piece that has one, a noun phrase of the lexicon is taken (`_head`),
    and a single noun keeps one plain word before it. A title without any lexicon noun gives the last words of its first
    piece that has more than bare modifiers.

    Args:
      text: a title without brackets, marketing words and units.
    """
    whole = _OF_MATERIAL.sub(r"\2 \1", _PACK.sub(" ", text))
    plain = _DESIGN.sub(" ", whole)
    for read in (plain, whole):  # the second, since a print itself may be sold
        for piece in _pieces(read):
            if found := _noun_phrase(piece):
                return title_case(found)
    pieces = _pieces(plain) or _pieces(whole)
    named = next(filter(None, map(_last_words, pieces)), "")
    return title_case(named or " ".join(word for word in pieces[0][-2:] if word != ",") if pieces else "")


def _last_words(words: list[str]) -> str:
    """The last plain word of a piece up to its comma, with one before it; "" where there are but bare modifiers.

    LAUREL HEART ANTIQUE GOLD -> laurel heart; CHRISTMAS GINGHAM HEART -> christmas heart, since none is plain.
    """
    words = " ".join(words).strip(" ,").partition(" ,")[0].split()
    bare = (lexicon.words("materials") | _THEMES) - {"rubber"}  # which erases
    plain = [i for i, word in enumerate(words) if not _is_modifier(word) and word not in bare]
    figures = [i for i, word in enumerate(words) if singular(word) in _FIGURES]
    if plain:
        after = next((i for i in range(plain[-1] + 1, len(words)) if words[i] not in bare), -1)
        end = after if after in figures else plain[-1]
    else:
        looks = bare | _LOOKS | lexicon.words("colours")
        others = [i for i, word in enumerate(words) if i and word not in looks]
        if not (figures or others):
            return ""
        end = (figures or others)[-1]
    told = [word for word in words[:end] if not _is_modifier(word)] or ([] if plain else words[:end])
    return " ".join([*told[-1:], singular(words[end])])


def _pieces(text: str) -> list[list[str]]:
    """The words of each piece of a title that has any."""
    pieces: list[list[str]] = [[]]
    for word in _WORD.findall(text.lower()):
        if word in _CUT:
            pieces.append([])
        elif not _NUMBER.fullmatch(word) and (len(word) > 1 or word == ",") and word not in _COUNTS:
            pieces[-1].append(word)
    return [piece for piece in pieces if set(piece) - {","}]


def _is_modifier(word: str) -> bool:
    return word in lexicon.words("modifiers") or word in lexicon.audiences()


def _noun_phrase(words: list[str]) -> str:
    """The head of a piece as the lexicon writes it; "" when there is none."""
    stems, nouns = [singular(word) for word in words], lexicon.nouns()
    spans = [
        _Span(start, start + length, words[:start].count(","), " ".join(stems[start : start + length]))
        for length in (1, 2, 3)
        for start in range(len(words) - length + 1)
        if " ".join(stems[start : start + length]) in nouns
    ]
    if not spans:
        return ""
    head = _head(spans)
    before = words[head.start - 1] if head.start else ""
    has_more = head.end - head.start == 1 and before not in ("", ",") and not _is_modifier(before)
    return f"{before} {nouns[head.noun]}" if has_more else nouns[head.noun]


def _head(spans: list[_Span]) -> _Span:
    """The longest phrase, the last of equals since English heads come last; but goods before what they picture.

    JUMBO BAG PAISLEY PARK -> bag; but TIN DARK CHOCOLATE -> chocolate, which the tin holds.
    """
    best = max(spans, key=lambda span: span.rank)
    if not best.is_motif:
        return best
    goods = [
        span
        for span in spans
        if not span.is_motif and (span.start >= best.end or (span.end <= best.start and span.noun not in _HOLDERS))
    ]
    return max(goods, key=lambda span: span.rank, default=best)


def title_case(text: str) -> str:
    """A text in Title Case; one in mixed case (iPhone, LED Lamp) keeps its letters."""
    if not (text.islower() or text.isupper()):
        return text
    return re.sub(r"(?<![^\W_])(?<!['’])[^\W\d_]", lambda match: match.group().upper(), text.lower())
