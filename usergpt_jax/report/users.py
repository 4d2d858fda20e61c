"""Two example users: raw rows, MUB with the cited lines marked, the model's tags beside the truth, the portrait."""

import datetime
from collections.abc import Sequence

from usergpt_jax.report import numbers
from usergpt_jax.report.examples import Example, TagAnswer
from usergpt_jax.report.html import Html, absent, element, join, section, shorten, table

TITLE = "Two users, from log to persona"
_MAX_TITLE_CHARS = 110
_MAX_LINE_CHARS = 600
_MAX_CELL_CHARS = 60
_COLUMNS = ("time", "source", "action", "title", "category", "place", "price", "quantity")


def users_section(examples: Sequence[Example]) -> Html:
    """The examples, and the rule that chose them."""
    if not examples:
        return section("users", TITLE, absent("bench"))
    rule = (
        f"Held-out users ranked by the mean credit of {examples[0].model} over all tags and samples; shown are the "
        "median user and the one at the lower quartile, so neither is a lucky pick. Ties go by user id."
    )
    return section("users", TITLE, element("p", rule), *(_user(example) for example in examples))


def _user(example: Example) -> Html:
    cited = {line for answer in example.answers for line in answer.lines}
    raw, mub = example.sizes
    right = sum(answer.credit >= 1.0 for answer in example.answers)
    facts = (
        f"{numbers.count(example.n_events)} events, {numbers.count(raw)} tokens; MUB {len(example.mub_lines)} lines, "
        f"{numbers.count(mub)} tokens; {right} of {len(example.answers)} tags right, mean credit of all samples "
        f"{example.score:.3f}."
    )
    return element(
        "article",
        element("h3", f"{example.place}: {example.user_id}"),
        element("p", facts, class_="note"),
        element("p", element("b", "The raw log.")),
        _rows(example),
        element(
            "p", element("b", "What the model reads."), " ", element("mark", "Marked"), " lines are cited as evidence."
        ),
        _mub(example.mub_lines, cited),
        element("p", element("b", "What it answers.")),
        _answers(example.answers),
        element("p", element("b", "The portrait it writes.")),
        element("blockquote", shorten(example.summary, 4000) or "No well-formed portrait among the samples."),
    )


def _rows(example: Example) -> Html:
    columns = [name for name in _COLUMNS if any(row.event[name] is not None for row in example.rows)]
    rows = [
        [f"L{row.line}" if row.line else "–", *(_value(name, row.event[name]) for name in columns)]
        for row in example.rows
    ]
    caption = (
        f"{len(rows)} of {numbers.count(example.n_events)} raw rows: those behind cited lines first, then the latest."
    )
    numeric = [i for i, name in enumerate(columns, start=1) if name in ("price", "quantity")]
    return table(["Line", *columns], rows, caption=caption, numeric=numeric, style="wide")


def _value(name: str, value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime.datetime):
        return element("span", value.strftime("%Y-%m-%d %H:%M"), style="white-space: nowrap")
    if isinstance(value, float):
        return f"{value:,.2f}" if name == "price" else f"{value:g}"
    return (
        element("td", shorten(str(value), _MAX_TITLE_CHARS), class_="text")
        if name == "title"
        else shorten(str(value), 40)
    )


def _mub(lines: Sequence[str], cited: set[int]) -> Html:
    items = (
        element(
            "li",
            element("span", f"L{number}", class_="line"),
            shorten(line, _MAX_LINE_CHARS),
            class_="cited" if number in cited else None,
        )
        for number, line in enumerate(lines, start=1)
    )
    return element("ol", join(items, "\n"), class_="mub mono")


def _answers(answers: Sequence[TagAnswer]) -> Html:
    rows = []
    for answer in answers:
        credit = "✓" if answer.credit >= 1.0 else "✗" if answer.credit <= 0.0 else f"{answer.credit:.2f}"
        style = "right" if answer.credit >= 1.0 else "wrong"
        rows.append(
            [
                answer.tag,
                shorten(answer.truth, _MAX_CELL_CHARS),
                shorten(answer.value, _MAX_CELL_CHARS),
                element("span", credit, class_=style),
                f"{answer.votes}/{answer.n_samples}",
                ", ".join(f"L{line}" for line in answer.lines) or "–",
            ]
        )
    return table(
        ["Tag", "Truth", "Model", "Credit", "Samples", "Evidence"],
        rows,
        caption="The value most samples answer, how many do, and the lines they cite. NA: the log tells too little.",
        numeric=(4,),
        style="wide sticky",
    )
