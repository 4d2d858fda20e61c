"""The catalogue's leaves, and the phrases by which they are known."""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import lexicon
from usergpt_jax.semantize.categories.words import GENDERS, words_of

SYNONYMS = "leaf_synonyms.csv"
NO_LEAF = -1
KINDS = ("name", "noun", "synonym", "query")  # the earlier one wins a phrase that two leaves claim


@dataclasses.dataclass(frozen=True)
class Leaves:
    """Leaves that categories may be mapped to.

    Attributes:
      names, level1, level2: of each leaf [L].
      phrases: words joined by a blank, as `words_of` gives them -> leaf, or NO_LEAF for goods that no leaf holds.
      kinds: number in `KINDS` of each phrase that has a leaf.
      texts: what each leaf is called, in full [L]: name, noun, synonyms, then its queries and levels.
      others: phrases of goods that no leaf holds.
    """

    names: tuple[str, ...]
    level1: tuple[str, ...]
    level2: tuple[str, ...]
    phrases: Mapping[str, int]
    kinds: Mapping[str, int]
    texts: tuple[tuple[str, ...], ...]
    others: tuple[str, ...]

    @functools.cached_property
    def number(self) -> dict[str, int]:
        """Leaf name -> number."""
        return {name: number for number, name in enumerate(self.names)}

    @functools.cached_property
    def longest(self) -> dict[str, int]:
        """First word of a phrase -> words of the longest phrase that starts with it."""
        found: dict[str, int] = collections.defaultdict(int)
        for phrase in self.phrases:
            first, *rest = phrase.split()
            found[first] = max(found[first], 1 + len(rest))
        return dict(found)

    def under(self, group: str) -> tuple[int, ...]:
        """Leaves of a level2, "Home" or "Books > Home", whatever its case; () when there is none."""
        wanted = group.casefold()
        return tuple(
            number
            for number, (above, name) in enumerate(zip(self.level1, self.level2, strict=True))
            if wanted in (name.casefold(), f"{above} > {name}".casefold())
        )


@functools.cache
def load(locale: str = locales.DEFAULT, sources: tuple[str, ...] = ()) -> Leaves:
    """The leaves of a locale.

    Args:
      locale: name of the locale.
      sources: of `schema.SOURCES`, those that the log has; () for all. What other sources sell keeps its phrases, so
        that a toy museum in a shop's log is neither a museum nor a toy.

    Raises:
      InputError: no such locale, no leaf on these sources, or a synonym of an unknown leaf.
    """
    rows = locales.read_rows("catalog.csv", locale, ("leaf", "level1", "level2", "source", "noun", "variants"))
    renamed = locales.renames(locale)
    synonyms: dict[str, list[str]] = collections.defaultdict(list)
    for row in locales.read_rows(SYNONYMS, locale, ("leaf", "phrases")):
        synonyms[renamed.get(row["leaf"], row["leaf"])] += row["phrases"].split("|")
    if unknown := sorted(synonyms.keys() - {row["leaf"] for row in rows} - {""}):
        raise InputError(f"{SYNONYMS} of locale {locale!r}: {unknown[0]!r} is no leaf of catalog.csv")
    sold = [row for row in rows if not sources or row["source"] in sources]
    if not sold:
        raise InputError(f"config.semantize: no leaf of catalog.csv is on {', '.join(sources)}")
    return build(sold, synonyms, [*(row[key] for row in rows for key in ("leaf", "noun")), *lexicon.entries("nouns")])


def build(
    rows: Sequence[Mapping[str, str]], synonyms: Mapping[str, Sequence[str]], others: Iterable[str] = ()
) -> Leaves:
    """Leaves from rows of the catalogue.

    Args:
      rows: `leaf`, `level1`, `level2`, `noun`, `variants` (joined by |).
      synonyms: leaf -> phrases; those of "" belong to no leaf.
      others: further names of goods that belong to no leaf, unless a leaf claims them.
    """
    claims: dict[str, dict[int, int]] = collections.defaultdict(dict)  # phrase -> leaf -> best kind
    texts = []
    for number, row in enumerate(rows):
        queries = [f"{row['noun']} {variant}" for variant in row["variants"].split("|") if variant]
        said = [(0, row["leaf"]), (1, row["noun"]), *((2, one) for one in synonyms.get(row["leaf"], ()))]
        for kind, text in [*said, *((3, query) for query in queries)]:
            if phrase := " ".join(words_of(text)):
                claims[phrase][number] = min(kind, claims[phrase].get(number, kind))
        levels = f"{row['leaf']} {row['noun']} {row['level2']} {row['level1']}"
        texts.append((*dict.fromkeys(text for _, text in said), *queries, levels))
    phrases: dict[str, int] = {}
    kinds: dict[str, int] = {}
    for phrase, by_leaf in claims.items():
        kind = min(by_leaf.values())
        best = [number for number, its in by_leaf.items() if its == kind]
        phrases[phrase] = best[0] if len(best) == 1 else NO_LEAF
        if len(best) == 1:
            kinds[phrase] = kind
    for text in (*synonyms.get("", ()), *others):
        if phrase := " ".join(words_of(text)):
            phrases.setdefault(phrase, NO_LEAF)
    for gender in GENDERS:  # a buyer is no goods
        phrases.pop(gender, None)
    names, level1, level2 = ([row[key] for row in rows] for key in ("leaf", "level1", "level2"))
    none = tuple(phrase for phrase, leaf in phrases.items() if leaf == NO_LEAF)
    return Leaves(tuple(names), tuple(level1), tuple(level2), phrases, kinds, tuple(texts), none)
