"""Prices and quantities: numbers out of text with currency marks, thousands separators and either decimal mark."""

import polars as pl

# Symbols with a country's letters before them, ISO codes, and the names that shops write out.
_MARK = r"(?:[A-Z]{1,3}\p{Sc}|\p{Sc}|[A-Z]{3}|kr\.?|zł|Fr\.|Rs\.?|元|円)"
_BEFORE = rf"^([+-]?)\s*({_MARK})\s*([+-]?[\d.,])"
_AFTER = rf"([\d.,])\s*({_MARK})$"
_GAP = r"(\d)[\s\u{a0}\u{202f}'’](\d{3})"  # 1 234,50 and 1'234.50
_COMMA = r"^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)?(?:,\d*)?$"
_POINT = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?$"


def marks(text: pl.Expr) -> pl.Expr:
    """The currency mark before or after a number, null where there is none."""
    text = text.str.strip_chars()
    return pl.coalesce(text.str.extract(_BEFORE, 2), text.str.extract(_AFTER, 2))


def without_marks(text: pl.Expr) -> pl.Expr:
    """The number without its currency mark."""
    return text.str.strip_chars().str.replace(_BEFORE, "${1}${3}").str.replace(_AFTER, "${1}")


def number(text: pl.Expr, decimal_comma: bool) -> pl.Expr:
    """A number from text, null where it is none.

    With `decimal_comma` "1.234,50" and "1234,5" are numbers; without, "1,234.50" and "1234.5". Spaces and apostrophes
    may part thousands in both.
    """
    text = text.str.strip_chars().str.replace(r"^[−–]", "-")
    for _ in range(2):  # neighbouring groups share a digit
        text = text.str.replace_all(_GAP, "${1}${2}")
    if decimal_comma:
        plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        word = text.str.contains(r"^[A-Za-z]+$")  # nan, inf
        return pl.when(text.str.contains(_COMMA) | word).then(plain).cast(pl.Float64, strict=False)
    plain = pl.when(text.str.contains(_POINT)).then(text.str.replace_all(",", "", literal=True)).otherwise(text)
    return plain.cast(pl.Float64, strict=False)
