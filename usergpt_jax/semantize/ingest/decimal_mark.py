"""Which decimal mark the numbers of a log have, as far as samples tell.

"12,50" and "1.299,00" are numbers with a decimal comma only, "12.50" without; "1,299" and "12" are numbers either way.
"""

import polars as pl

from usergpt_jax.semantize.ingest import amounts

_READ_SHARE = 0.9  # of the values, for a column to be one of numbers


def is_number(values: pl.Series) -> bool:
    """Whether a column is one of numbers, with either mark."""
    return values.dtype.is_numeric() or max(_shares(values)) >= _READ_SHARE


def has_comma(values: pl.Series) -> bool | None:
    """Whether a column of numbers has decimal commas; None where its values do not tell."""
    if values.dtype.is_numeric() or not is_number(values):
        return None
    point, comma = _shares(values)
    return None if point == comma else comma > point


def doubt(values: pl.Series) -> str:
    """The first value that is another number with the other mark, in words; "" for none."""
    if values.dtype.is_numeric():
        return ""
    both = _read(values).filter(pl.col("point") != pl.col("comma"))
    if not both.height:
        return ""
    text, point, comma = both.row(0)
    return f"{text!r} may be {point:.10g} or {comma:.10g}: see decimal_comma"


def _read(values: pl.Series) -> pl.DataFrame:
    text = amounts.without_marks(pl.col("text"))
    frame = values.cast(pl.String).to_frame("text")
    return frame.select("text", point=amounts.number(text, False), comma=amounts.number(text, True))


def _shares(values: pl.Series) -> tuple[float, float]:
    """The share of the values that are numbers without and with decimal comma."""
    read = _read(values)
    rows = max(read.height, 1)
    return read["point"].count() / rows, read["comma"].count() / rows
