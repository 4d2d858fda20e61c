"""The refiner `rules`: where brand, noun and variant stand in a title, by word lists and capitals.

A title without marketing reads brand, descriptions, noun, variant; where marketing was cut out it has a seam, which no
name crosses. The noun is the longest phrase of the noun list, or of the category's leaf; travel goods say "in City".

Paper: §2.2 (the baseline "NER and hand rules").
"""

import functools
import hashlib
import pathlib
import re
from typing import NamedTuple

import polars as pl

from usergpt_jax import gazetteer
from usergpt_jax.semantize import lexicon, refine, title_entity
from usergpt_jax.semantize.refiners import enrich
from usergpt_jax.semantize.refiners.answers import SCHEMA
from usergpt_jax.semantize.refiners.cache import Refiner
from usergpt_jax.tasks.refinement import MAX_ATTRIBUTES, parted

_BATCH_TITLES = 20_000
_SEAM = "|"
_TABLES = ("brands.csv", "catalog.csv", "cities.csv", "renames.csv")  # what enrichment and the gazetteer read
_CODE = re.compile(r"(?=.*\d)(?=.*[A-Z])[A-Z]{1,3}\d{2,4}")
_TRIP = re.compile(r"^(?P<goods>.+?)\s+(?:in|to)\s+(?P<city>[^,|]+?)\s*(?:,\s*(?P<variant>[^|]+))?$")
_AIM = re.compile(r"\bfor (?:the )?((?:[\w'-]+ )?[\w'-]+)\b", re.IGNORECASE)
_MAX_BRAND_WORDS, _MAX_VARIANT_WORDS = 3, 3
_COUNTS = frozenset(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"))
_SMALL = frozenset(("and", "of", "the", "&"))


class Nouns(NamedTuple):
    """Noun phrases by their singular words, and the most words that one has."""

    phrases: frozenset[tuple[str, ...]]
    longest: int


def nouns_of(entries: frozenset[str]) -> Nouns:
    """The noun list as phrases."""
    phrases = frozenset(
        tuple(map(title_entity.singular, entry.replace("-", refine.HYPHEN).split())) for entry in entries
    )
    return Nouns(phrases, max(map(len, phrases), default=0))


@functools.cache
def _listed_nouns() -> Nouns:
    return nouns_of(lexicon.words("nouns"))


def refiner() -> Refiner:
    """The rules as a refiner; its identity changes with code and word lists."""
    return Refiner("rules", identity(), answers, _BATCH_TITLES)


@functools.cache
def identity() -> str:
    """Hash of the code, word lists and tables that decide an answer."""
    here, package = pathlib.Path(__file__).parent, pathlib.Path(__file__).parents[2]
    code = [here / f"{name}.py" for name in ("answers", "enrich", "rules")]
    code += [here.parent / f"{name}.py" for name in ("lexicon", "refine", "title_entity")]
    code += [package / "gazetteer.py", package / "tasks" / "refinement.py", package / "tasks" / "pointing.py"]
    tables = [path for path in (package / "data").rglob("*.csv") if path.name in _TABLES]
    digest = hashlib.sha256()
    for path in (*code, *sorted(tables), *sorted((package / "data").glob("refine_*.txt"))):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def with_rules(identity_of_model: str) -> str:
    """Identity of a model that the rules help out, so a change of either starts a new cache."""
    return hashlib.sha256(f"{identity_of_model}:{identity()}".encode()).hexdigest()


def answers(pairs: pl.DataFrame, nouns: Nouns | None = None) -> pl.DataFrame:
    """Answers of the rules.

    Args:
      pairs: `title`, `category`.
      nouns: instead of the noun list.
    """
    texts = (
        pairs.lazy()
        .select(
            refine.without_marketing(pl.col("title")).str.replace_all(r"\s{2,}", f" {_SEAM} ").alias("text"),
            refine.leaf(pairs["category"]),
        )
        .collect()
    )
    listed = nouns or _listed_nouns()
    rows = []
    for title, text, leaf in zip(pairs["title"], texts["text"], texts["leaf"], strict=True):
        entity, attributes = _refined(text, leaf, listed)
        rows.append((entity or enrich.entity_of(title, leaf) or title_entity.title_entity(title), attributes, None))
    made = pl.DataFrame(
        rows, schema={name: SCHEMA[name] for name in ("entity", "attributes", "fallback")}, orient="row"
    )
    return pl.concat([pairs.select("title", "category"), made], how="horizontal")


def _refined(text: str, leaf: str | None, nouns: Nouns) -> tuple[str, list[str]]:
    """Entity ("" when no noun is found) and attributes of a title without marketing."""
    trip = _TRIP.match(text)
    if trip and (city := gazetteer.city_in(trip["city"])) is not None:
        words = [word for word in _words(trip["goods"]) if not _CODE.fullmatch(word)]
        start, end = _noun(words, leaf, nouns)
        brand = " ".join(word for word in words[:start] if word not in (_SEAM, ","))
        if "," in words[:start]:  # a sight, which is not who sells
            brand = ""
        stated = [city.name, (trip["variant"] or "").strip(" ,"), brand]
        return _name(words[start:end]), [one for one in stated if one][:MAX_ATTRIBUTES]
    words = [word for word in _words(parted(text)) if not _CODE.fullmatch(word)]
    start, end = _noun(words, leaf, nouns)
    front, back = words[:start], words[end:]
    if start == end:  # no noun: all of it may be a brand
        front, back = words, []
    brand, front = _brand(front)
    variant = _variant(back)
    if not brand and len(variant) > 1 and text != text.lower():  # a brand at the end: "Wall Wild Feast"
        n = 2 if _is_count(variant[0]) else 1
        brand, variant = _brand(variant[n:])[0], variant[:n]
    stated = [brand, " ".join(variant), _audience(" ".join((*words[:start], _SEAM, *words[end:]))), _material(front)]
    unique = list(dict.fromkeys(one for one in stated if one))
    return _name(words[start:end]), [one.replace(refine.HYPHEN, "-") for one in unique[:MAX_ATTRIBUTES]]


def _words(text: str) -> list[str]:
    return re.sub(r"([,()])", r" \1 ", text).split()


def _name(words: list[str]) -> str:
    return title_entity.title_case(" ".join(words).replace(refine.HYPHEN, "-")) if words else ""


def _noun(words: list[str], leaf: str | None, nouns: Nouns) -> tuple[int, int]:
    """Where the noun stands: the longest listed phrase, one that shares a word with the leaf before all others."""
    stems = [title_entity.singular(word.lower()) for word in words]
    own = tuple(title_entity.singular(word) for word in (leaf or "").lower().replace("-", refine.HYPHEN).split())
    best, found = (False, 0, 0), (0, 0)
    for length in range(max(nouns.longest, len(own)), 0, -1):
        for start in range(len(words) - length + 1):
            phrase = tuple(stems[start : start + length])
            if phrase not in nouns.phrases and phrase != own:
                continue
            rank = (bool(set(phrase) & set(own)), length, -start if length > 1 else start)
            if rank > best:
                best, found = rank, (start, start + length)
    return found


def _is_plain(word: str) -> bool:
    """A word that describes, and so ends a name."""
    lower = word.lower().replace(refine.HYPHEN, "-")
    return lower in lexicon.words("modifiers") or lower in lexicon.audiences() or lower == "for"


def _brand(words: list[str]) -> tuple[str, list[str]]:
    """The capitalised words that open a title up to a seam, a material or a plain word, and what follows them."""
    words = words[1:] if words[:1] == [_SEAM] else words
    n = 0
    while n < min(len(words), _MAX_BRAND_WORDS) and words[n] not in (_SEAM, ",", "("):
        small = n and words[n] in _SMALL
        if not small and (_is_plain(words[n]) or _is_material(words, n) or not words[n][:1].isupper()):
            break
        n += 1
    brand = words[:n]
    loud = brand and all(word.isupper() for word in brand) and sum(map(len, brand)) > 4
    return " ".join(word.capitalize() if loud else word for word in brand), words[n:]


def _variant(words: list[str]) -> list[str]:
    """What follows the noun up to a seam, without colours and plain words unless there is nothing else."""
    if words[:1] == [_SEAM]:  # marketing stood right after the noun
        words = words[1:]
    if words[:1] == ["("] and ")" in words:  # a branch or a tariff
        words = words[words.index(")") + 1 :]
    words = [word for word in words if word != ","]
    end = next((i for i, word in enumerate(words) if word in (_SEAM, "(") or word.lower() == "for"), len(words))
    said = words[:end]
    telling = [
        word
        for before, word in zip(["", *said], said, strict=False)
        if _is_count(before) or not (_is_plain(word) or word.lower() in lexicon.words("colours"))
    ]
    return (telling or said)[:_MAX_VARIANT_WORDS]


def _is_count(word: str) -> bool:
    """Whether a word belongs with the next: "Four Tier", "350 ml", "Size XL"."""
    return word[:1].isdigit() or word.lower() in _COUNTS or word.lower() in ("size", "stage", "grade")


def _is_material(words: list[str], start: int) -> bool:
    """Whether a material stands there; one word that opens a name, as in "Titanium Lab", does not count."""
    named, after = lexicon.words("materials"), words[start + 1 : start + 2]
    if " ".join(words[start : start + 2]).lower() in named:
        return True
    opens = start == 0 and after and after[0] != _SEAM and not _is_plain(after[0])
    return words[start].lower() in named and not opens


@functools.cache
def _audience_pattern() -> re.Pattern[str]:
    longest_first = sorted(lexicon.audiences(), key=lambda word: (-len(word), word))
    return re.compile(r"(?<![\w'])(" + "|".join(map(re.escape, longest_first)) + r")(?![\w'])", re.IGNORECASE)


def _audience(text: str) -> str:
    """Whom a title says it is for, in its words."""
    aimed = _AIM.search(text)
    if aimed and _audience_pattern().search(aimed[1]):
        return aimed[1].lower()
    found = _audience_pattern().search(text)
    return found[1].lower() if found else ""


def _material(words: list[str]) -> str:
    """What it is made of, as said between brand and noun."""
    for length in (2, 1):
        for start in range(len(words) - length + 1):
            phrase = " ".join(words[start : start + length]).lower()
            if phrase in lexicon.words("materials"):
                return phrase
    return ""
