import pytest

from usergpt_jax.report.html import Html, element, html, shorten, table


@pytest.mark.parametrize("text", ["<b>", "a & b", '"quoted"', "it's"])
def test_plain_text_is_escaped_and_markup_is_not(text):
    assert not set("<>\"'") & set(html(text))
    assert html(html(text)) == html(text)
    assert element("p", text) == f"<p>{html(text)}</p>"
    assert element("p", Html("<b>x</b>")) == "<p><b>x</b></p>"


def test_control_and_direction_characters_are_replaced():
    assert html("a\x00b\x1bc\u202ed\u2066e") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    assert html("line\nbreak\ttab") == "line\nbreak\ttab"


def test_attributes_are_escaped_and_none_is_left_out():
    assert element("a", "x", href='"><script>', class_=None) == '<a href="&quot;&gt;&lt;script&gt;">x</a>'
    assert element("span", class_="num", aria_label="y") == '<span class="num" aria-label="y"></span>'


def test_first_column_of_a_table_heads_its_row():
    made = table(["name", "n"], [["<a>", "1"]], caption="what", numeric=(1,))
    assert '<th scope="row">&lt;a&gt;</th><td class="num">1</td>' in made


def test_a_cell_cannot_pass_for_markup_by_its_looks():
    assert "<td>&lt;td&gt;" in table(["a", "b"], [["x", "<td>"]], caption="")


def test_long_text_is_cut():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abc defg", 5) == "abc…"
