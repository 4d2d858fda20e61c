"""The words that texts are compared by: lower case, singular, without hyphens and apostrophes, in one spelling."""

import functools
import re
import unicodedata

from usergpt_jax.semantize.lexicon import singular
from usergpt_jax.semantize.refine import HYPHEN

GENDERS = ("women", "men", "kid")
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHE = re.compile(r"['’]")
_LATIN = re.compile(r"[ -~]*")
# What stands right of a word here is how it is spelt.
_SPELLING = {
    "colour": "color", "jewellery": "jewelry", "pajama": "pyjama", "pajamas": "pyjama", "pyjamas": "pyjama",
    "tyre": "tire", "mould": "mold", "grey": "gray", "licence": "license", "centre": "center", "organiser": "organizer",
    "moisturiser": "moisturizer", "yoghurt": "yogurt", "xmas": "christmas", "woman": "women", "womens": "women",
    "lady": "women", "mens": "men", "man": "men", "gent": "men", "gentleman": "men", "gentlemen": "men",
    "children": "kid", "childrens": "kid", "child": "kid", "boy": "kid", "girl": "kid", "photograph": "photo",
}  # fmt: skip


def words_of(text: str) -> list[str]:
    """The words of a text: "Ladies' T-Shirts" -> ["women", "t", "shirt"]."""
    if not _LATIN.fullmatch(text):
        text = unicodedata.normalize("NFKC", text)
    plain = _APOSTROPHE.sub("", text.replace(HYPHEN, "-"))
    return [_stem(word) for word in _WORD.findall(plain.lower())]


@functools.lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    word = _SPELLING.get(word, word)
    one = singular(word)
    return _SPELLING.get(one, one)
