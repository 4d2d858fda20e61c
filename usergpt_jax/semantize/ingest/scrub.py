"""Personal data in free text: e-mail addresses, phone and card numbers, street addresses give way to plain words.

The rules would rather miss than destroy a title:
- email: a name, an @ and a domain with a dot.
- card: 13 to 19 digits, in one or in groups, that pass the Luhn check and are no EAN-13, ISBN-13 or GTIN-14.
- phone: +country and 7 to 14 digits; (555) 123-4567, 555-123-4567 or 555.123.4567; a leading 0 with its groups written
  apart, 020 7946 0958 or 06 12 34 56 78; Tel or Fax with 7 digits or more; the 11 digits of a Chinese mobile.
- address: a house number, one to three capitalised words and Street, Road, Avenue, Lane, Boulevard, Rd, Ave, Blvd or
  St, and then the end, a comma, a bracket or a number ("12 Baker Street, London"; "6 Abbey Road bags" stays); or the
  German order, "Hauptstraße 12".
"""

import re
from collections.abc import Callable

import polars as pl

_EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_CARD = r"\b\d(?:[ -]?\d){12,18}\b"
_PHONE = (
    r"(^|[^\w+.-])\+\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,11}\b",
    r"(^|[^\w+.-])(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}\b",
    r"(^|[^\w+.-])(?:0[1-9]\d{1,3}[ /-]\d{3,4}[ -]?\d{3,4}|0[1-9]\d{3}[ /-]\d{5,6}|0[1-9](?:[ .]\d\d){4})\b",
    r"((?:^|\W)(?i:tel|fax)\b[.: ]{0,3})\+?\d(?:[ ()/.-]{0,2}\d){6,13}\b",
    r"(^|[^\w+.-])1[3-9]\d{9}\b",
)
_ADDRESS = (
    r"(^|[^\w.,/-])\d{1,5}[A-Za-z]? (?:[A-Z][a-z'’]+ ){1,3}(?:Street|Road|Avenue|Lane|Boulevard|Rd\.?|Ave\.?|Blvd\.?|"
    r"St\.?)( *$| *[,;)\n]| \d)",
    r"(^|\s)[A-ZÄÖÜ][a-zäöüß]+(?:straße|strasse|str\.) \d{1,4} ?[a-z]?( *$| *[,;)\n])",
)


def _is_card(digits: str) -> bool:
    numbers = [int(digit) for digit in digits]
    luhn = sum(numbers[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in numbers[-2::-2])
    gtin = sum(numbers[-1::-2]) + 3 * sum(numbers[-2::-2])
    return luhn % 10 == 0 and len(set(digits)) > 1 and not (len(digits) in (13, 14) and gtin % 10 == 0)


def _without_cards(text: str) -> str:
    def word(found: re.Match[str]) -> str:
        return "(card)" if _is_card(re.sub(r"\D", "", found[0])) else found[0]

    return re.sub(_CARD, word, text, flags=re.ASCII)


def _emails(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(_EMAIL, "(email)")


def _cards(texts: pl.Series) -> pl.Series:
    return texts.map_elements(_without_cards, return_dtype=pl.String)


def _phones(texts: pl.Series) -> pl.Series:
    for pattern in _PHONE:
        texts = texts.str.replace_all(pattern, "${1}(phone)")
    return texts


def _addresses(texts: pl.Series) -> pl.Series:
    for pattern in _ADDRESS:
        texts = texts.str.replace_all(pattern, "${1}(address)${2}")
    return texts


# Kind -> what texts must hold to be worth a look, and their replacement; cards before phones, which are shorter.
_RULES: dict[str, tuple[str, Callable[[pl.Series], pl.Series]]] = {
    "email": (_EMAIL, _emails),
    "card": (_CARD, _cards),
    "phone": (r"\d(?:[ ()/.-]{0,2}\d){6}", _phones),
    "address": (r"Street|Road|Avenue|Lane|Boulevard|Rd|Ave|Blvd|St|straße|strasse|str\.", _addresses),
}
KINDS = ("email", "phone", "card", "address")


def scrub(column: pl.Series, kinds: tuple[str, ...]) -> tuple[pl.Series, dict[str, int]]:
    """Replaces personal data, looking at each distinct text once.

    Args:
      column: texts, perhaps null.
      kinds: of `KINDS`.

    Returns:
      the texts, and kind -> how many of them it was replaced in.
    """
    known = column.value_counts(name="count")
    old, counts = known[column.name], known["count"]
    new, found = old, {}
    for kind, (hint, replace) in _RULES.items():
        if kind not in kinds:
            continue
        candidate = new.str.contains(hint).fill_null(False)
        if not candidate.any():
            continue
        replaced = pl.Series([None], dtype=pl.String).new_from_index(0, len(new))
        replaced = replaced.scatter(candidate.arg_true(), replace(new.filter(candidate)))
        replaced = replaced.zip_with(candidate, new)
        changed = (replaced != new).fill_null(False)
        if changed.any():
            found[kind] = int(counts.filter(changed).sum())
        new = replaced
    changed = (new != old).fill_null(False)
    return (column.replace(old.filter(changed), new.filter(changed)) if changed.any() else column), found
