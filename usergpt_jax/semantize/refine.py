"""Refinement: from a noisy title to one core entity and at most three attributes, once per distinct title.

With a category the leaf of the category is the core entity and the title only lends attributes. Without one the entity
is the product noun that the title's head ends in. Marketing words, brackets and units go first in both cases.

Paper: §2.2. Differs from the paper: rules and lexicons instead of a fine-tuned LM.
"""

import dataclasses
import functools
import importlib.resources
import re
import unicodedata

import polars as pl

from usergpt_jax import gazetteer

MAX_ATTRIBUTES = 3
_MAX_READ_CHARS = 500  # a title is read this far

_BRACKETS = re.compile(r"【[^】]*】|\[[^\]]*\]|\{[^}]*\}|《[^》]*》|「[^」]*」|\*[^*]*\*|\([^)]*\)")
_PACK = re.compile(
    r"\b(?:set|pack|box|packs|sets|tube|bag)\s*(?:of\s*|/\s*)\d+\s*(?:of\b)?|\b\d+\s*/\s*\d+\b|\bset\s*/\s*\d+", re.IGNORECASE
)
_UNIT = re.compile(
    r"(?<![\w.])\d+(?:[.,]\d+)?\s*(?:x\s*\d+(?:[.,]\d+)?\s*)?"
    r"(?:pcs?|pieces?|packs?|pk|tier|sheets?|bags?|boxes|bottles|rolls?|count|ct|ml|cl|l|kg|g|mg|oz|lb|cm|mm|m|inch(?:es)?|"
    r"in|w|v|mah|gb|tb|%(?:\s*off)?|x|pairs?|tablets|capsules|drawers?|hooks?|colours?|'?s)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:[-'’&.][^\W_]+)*", re.UNICODE)
_NUMBER = re.compile(r"[\d.,%+x/-]+$")
_CUT = frozenset(("in", "with", "of", "for", "and", "on", "to", "from", "w", "by", "at", "or"))
_LEAF = re.compile(r"\s*(?:>|::|\||\s/\s|»)\s*")
_STAGE = re.compile(
    r"\b(?:(?:size|stage)\s*(?P<stage>[\dA-Z]{1,3})"
    r"|(?P<age>\d{1,2}\s*(?:-|–|to)\s*\d{1,2}\s*(?:months?|years?|yrs?|m|y))"
    r"|grade\s*(?P<grade>\d{1,2})"
    r"|(?P<letter>NB|XS|XL|XXL|XXXL))\b",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Refined:
    """What a title comes down to.

    Attributes:
      entity: the core entity, Title Case; "" when nothing is left.
      attributes: at most `MAX_ATTRIBUTES`, most salient first: size or stage, audience, brand.
    """

    entity: str
    attributes: tuple[str, ...]


def lexicon_lines(name: str) -> list[str]:
    """Entries of `data/refine_<name>.txt`, without comments."""
    path = importlib.resources.files("usergpt_jax") / "data" / f"refine_{name}.txt"
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@functools.cache
def _nouns() -> frozenset[str]:
    return frozenset(lexicon_lines("nouns"))


@functools.cache
def _modifiers() -> frozenset[str]:
    return frozenset(lexicon_lines("modifiers"))


@functools.cache
def _marketing() -> re.Pattern[str]:
    phrases = sorted(lexicon_lines("marketing_words"), key=len, reverse=True)
    return re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, phrases)) + r")(?![\w-])", re.IGNORECASE)


@functools.cache
def _audiences() -> dict[str, str]:
    return dict(line.split("\t") for line in lexicon_lines("audience"))


@functools.cache
def _audience_pattern() -> re.Pattern[str]:
    words = sorted(_audiences(), key=len, reverse=True)
    return re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, words)) + r")(?![\w-])", re.IGNORECASE)


def refine_title(title: str, category: str | None = None) -> Refined:
    """Refines one title.

    Args:
      title: as logged; any text.
      category: the log's category, perhaps a path such as "Baby > Wet Wipes", or None.
    """
    text = unicodedata.normalize("NFKC", title[:_MAX_READ_CHARS]).replace("’", "'")
    text = _MARKETING_SYMBOLS.sub(" ", _BRACKETS.sub(" ", text)) if _BRACKETS.sub("", text).strip() else text
    text = _marketing().sub(" ", text)
    leaf = category_leaf(category) if category else ""
    entity = leaf or _entity_of_title(text)
    return Refined(entity, _attributes(text, entity, with_brand=bool(leaf)))


_MARKETING_SYMBOLS = re.compile(r"[!！~★☆❤♥♪]+")


def category_leaf(category: str) -> str:
    """The last part of a category path, in Title Case."""
    parts = [part for part in _LEAF.split(unicodedata.normalize("NFKC", category).replace("_", " ")) if part.strip()]
    return _title_case(parts[-1].split()) if parts else ""


def _entity_of_title(text: str) -> str:
    """The product noun of a title without category, with at most one word before it."""
    plain = _UNIT.sub(" ", _PACK.sub(" ", text))
    segments: list[list[str]] = [[]]
    for word in _WORD.findall(plain.lower()):
        if word in _CUT:
            segments.append([])
        elif not _NUMBER.fullmatch(word) and len(word) > 1:
            segments[-1].append(word)
    segments = [segment for segment in segments if segment]
    for segment in segments:
        if found := _noun_phrase(segment):
            return _title_case(found)
    if not segments:
        return ""
    head = [word for word in segments[0] if word not in _modifiers()] or segments[0]
    return _title_case([*head[-2:-1], _singular(head[-1])])


def _noun_phrase(words: list[str]) -> list[str]:
    """The longest lexicon phrase (the last of equals) of a segment; a single noun keeps the plain word before it."""
    singular = [_singular(word) for word in words]
    for length in (3, 2, 1):
        for end in range(len(words), length - 1, -1):
            start = end - length
            phrase = [*words[start : end - 1], singular[end - 1]]
            if " ".join(phrase) not in _nouns() and " ".join([*phrase[:-1], words[end - 1]]) not in _nouns():
                continue
            if " ".join(phrase) not in _nouns():
                phrase[-1] = words[end - 1]
            before = words[start - 1] if start else ""
            if length == 1 and before and before not in _modifiers():
                return [before, *phrase]
            return phrase
    return []


def _singular(word: str) -> str:
    """The word without its plural ending, by rules good enough for one spelling per noun."""
    if len(word) < 4 or word.endswith(("ss", "us", "is", "'s")) or word in _nouns():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def _title_case(words: list[str]) -> str:
    """Words in Title Case; a word in mixed or short capitals (iPhone, LED) keeps its letters."""
    text = " ".join(words)
    if not (text.islower() or text.isupper()):
        return text
    return re.sub(r"(?<![^\W_])(?<!['’])[^\W\d_]", lambda match: match.group().upper(), text.lower())


def _attributes(text: str, entity: str, *, with_brand: bool) -> tuple[str, ...]:
    """Size or stage, audience and brand that the title states and the entity does not."""
    folded = entity.casefold()
    found: list[str] = []
    if stage := _STAGE.search(text):
        if age := stage.group("age"):
            found.append(re.sub(r"\s+", " ", age.lower()))
        elif grade := stage.group("grade"):
            found.append(f"grade {grade}")
        else:
            found.append(f"size {(stage.group('stage') or stage.group('letter')).upper()}")
    for match in _audience_pattern().finditer(text):
        audience = _audiences()[match.group(1).lower()]
        if audience not in found and audience.rstrip("s") not in folded:
            found.append(audience)
            break
    if with_brand and (brand := _brand(text, folded)):
        found.append(brand)
    return tuple(found[:MAX_ATTRIBUTES])


def _brand(text: str, folded_entity: str) -> str:
    """The capitalised word that opens a title, unless it is a word of the entity, an audience or a modifier."""
    match = _WORD.search(_UNIT.sub(" ", text))
    word = match.group() if match else ""
    known = word.casefold()
    if not word[:1].isupper() or len(word) < 2 or known in folded_entity or _singular(known) in folded_entity:
        return ""
    if known in _modifiers() or known in _audiences() or known in _CUT or known in _nouns():
        return ""
    return word


def refine_table(titles: pl.DataFrame) -> pl.DataFrame:
    """Refines each distinct pair.

    Args:
      titles: distinct `title`, `category`.

    Returns:
      the pairs with `entity` (str) and `attributes` (list of str).
    """
    refined = [refine_title(title, category) for title, category in titles.select("title", "category").iter_rows()]
    return titles.select("title", "category").with_columns(
        pl.Series("entity", [one.entity for one in refined], pl.String),
        pl.Series("attributes", [list(one.attributes) for one in refined], pl.List(pl.String)),
    )


def place_table(places: pl.Series) -> pl.DataFrame:
    """Each distinct place with `city`: the gazetteer's name of the city in it, or the place's own text."""
    found = [gazetteer.city_in(place) for place in places]
    cities = [city.name if city else place for city, place in zip(found, places, strict=True)]
    return pl.DataFrame({"place": places, "city": pl.Series(cities, dtype=pl.String)})
