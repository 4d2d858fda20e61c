import math

import polars as pl
import pytest

from usergpt_jax.semantize.ingest import amounts


def parse(text, decimal_comma):
    frame = pl.DataFrame({"x": [text]})
    return frame.select(amounts.number(amounts.without_marks(pl.col("x")), decimal_comma)).item()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1,234.50", 1234.5), ("$12.5", 12.5), ("US$ 12.5", 12.5), ("12.00 kr", 12.0), ("USD 3", 3.0), ("-$3", -3.0)),
        *(("1 234 567.5", 1234567.5), ("1'234.50", 1234.5), ("−3", -3.0), ("1,234", 1234.0), ("1e3", 1000.0)),
        *(("free", None), ("12,50", None), ("1.234.5", None), ("", None)),
    ],
)
def test_numbers_with_a_decimal_point(text, value):
    assert parse(text, decimal_comma=False) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1.234,50", 1234.5), ("€ 12,5", 12.5), ("12,00 EUR", 12.0), ("1 234,5", 1234.5), ("-3", -3.0)),
        *(("1.234.567", 1234567.0), ("1.5", None), ("1,2,3", None), ("gratis", None)),
    ],
)
def test_numbers_with_a_decimal_comma(text, value):
    assert parse(text, decimal_comma=True) == value


@pytest.mark.parametrize("decimal_comma", [False, True])
def test_nan_is_read_as_nan(decimal_comma):
    assert math.isnan(parse("NaN", decimal_comma))


def test_marks_are_named():
    frame = pl.DataFrame({"x": ["€ 3", "3 EUR", "US$3", "3", "free"]})
    assert frame.select(amounts.marks(pl.col("x")))["x"].to_list() == ["€", "EUR", "US$", None, None]
