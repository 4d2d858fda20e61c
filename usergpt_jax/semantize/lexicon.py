"""The word lists of refinement, `data/refine_*.txt`: one entry a line, lower case, "#" starts a comment line."""

import functools
import importlib.resources

# Ending of a plural -> what may stand in its place, the rule first; a word that the nouns know wins over the rule.
_ENDINGS = (
    ("ies", ("y", "ie")),
    ("ches", ("ch", "che")),
    ("shes", ("sh", "she")),
    ("xes", ("x", "xe")),
    ("sses", ("ss", "sse")),
    ("zzes", ("zz", "zze")),
    ("tzes", ("tz", "tze")),
    ("zes", ("ze", "z")),
    ("ses", ("se", "s")),
    ("oes", ("o", "oe")),
    ("s", ("",)),
)


@functools.cache
def entries(name: str) -> tuple[str, ...]:
    """Entries of `data/refine_<name>.txt`, in order."""
    path = importlib.resources.files("usergpt_jax") / "data" / f"refine_{name}.txt"
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


@functools.cache
def words(name: str) -> frozenset[str]:
    """The same as a set."""
    return frozenset(entries(name))


@functools.cache
def audiences() -> dict[str, str]:
    """Word in a title -> audience attribute."""
    return _pairs("audience")


@functools.cache
def nouns() -> dict[str, str]:
    """Noun phrase with every word in the singular -> as an entity has it: "sock" -> "socks"."""
    found: dict[str, str] = {}
    for entry in entries("nouns"):
        found.setdefault(" ".join(map(singular, entry.replace("&", " ").split())), entry)
    return found


@functools.lru_cache(maxsize=1 << 16)
def singular(word: str) -> str:
    """The word, lower case, without its plural ending, by rules good enough for one spelling a noun."""
    if (listed := _plurals().get(word)) is not None:
        return listed
    if len(word) < 4 or word.endswith(("ss", "us", "is", "'s")):
        return word
    for ending, others in _ENDINGS:
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            if len(stem) == 1:  # pies, ties
                return word[:-1]
            return next((stem + other for other in others if stem + other in _noun_words()), stem + others[0])
    return word


def _pairs(name: str) -> dict[str, str]:
    return {left: right for left, _, right in (line.partition("\t") for line in entries(name))}


@functools.cache
def _plurals() -> dict[str, str]:
    return _pairs("plurals")


@functools.cache
def _noun_words() -> frozenset[str]:
    return frozenset(word for entry in entries("nouns") for word in entry.split())
