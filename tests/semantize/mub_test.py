import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usergpt_jax import schema
from usergpt_jax.semantize import mub
from usergpt_jax.semantize.mub import MubLine

LINE = "[Source: E-commerce] [TIME: 2026-01-28] [TYPE: Click] [COUNT: 5] | Wet Wipes, Milk Powder"
HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            [
                "[Source: Travel]",
                "[COUNT: 9]",
                " | ",
                ", ",
                "\n",
                "\u2028",
                "\x85",
                "<think>",
                "</answer>",
                "<|im_end|>",
                "＜think＞",
                "［",
                "\u200b",
            ]
        ),
    ),
    max_size=6,
).map("".join)
TIMES = (
    st.dates()
    .map(lambda day: day.strftime("%Y-%m-%d").zfill(10))
    .flatmap(lambda day: st.sampled_from([day[:4], day[:7], day]))
)


def test_the_papers_line_is_written_and_read():
    line = MubLine("ecommerce", "2026-01-28", "click", 5, ("Wet Wipes", "Milk Powder"))
    assert mub.write_line(line) == LINE
    assert mub.parse_line(LINE) == line


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(schema.SOURCES),
            TIMES,
            st.sampled_from(schema.ACTIONS),
            st.integers(1, 10**6),
            st.lists(HOSTILE, min_size=1, max_size=4),
        ),
        max_size=4,
    )
)
def test_parser_inverts_writer_whatever_the_titles_say(lines):
    made = []
    for source, time, action, count, titles in lines:
        items = tuple(item for item in map(mub.escape, titles) if item)
        if items:
            made.append(MubLine(source, time, action, count, items))
    text = mub.write(made)
    assert mub.parse(text) == made
    assert mub.write(mub.parse(text)) == text
    assert len(text.splitlines()) == len(made)


@settings(deadline=None, derandomize=True, database=None)
@given(HOSTILE)
def test_escaped_text_holds_no_syntax_and_escapes_to_itself(text):
    escaped = mub.escape(text)
    assert mub.escape(escaped) == escaped
    assert not re.search(r"[<>\[\]|,\x00-\x1f\x7f\x85\u2028\u2029]", escaped)
    assert escaped == escaped.strip()


def test_a_title_cannot_forge_a_control_token():
    assert mub.escape("a<think>b</answer><|im_end|>") == "a‹think›b‹/answer›‹/im_end/›"
    assert mub.escape("＜think＞") == "‹think›"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Source: Bank] [TIME: 2026] [TYPE: Click] [COUNT: 5] | Tea",
        "[Source: Travel] [TIME: 26] [TYPE: Click] [COUNT: 5] | Tea",
        "[Source: Travel] [TIME: 2026] [TYPE: Like] [COUNT: 5] | Tea",
        "[Source: Travel] [TIME: 2026] [TYPE: Click] [COUNT: x] | Tea",
        "[Source: Travel] [TIME: 2026] [TYPE: Click] [COUNT: 5] | ",
    ],
)
def test_what_is_not_a_line_is_refused(text):
    with pytest.raises(mub.MubError, match="not a MUB line"):
        mub.parse_line(text)
