"""The page's building blocks. A plain `str` is text and gets escaped; only `Html` is trusted as markup."""

import importlib.resources
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from usergpt_jax.report import palette

# Control and bidirectional-override characters: log text must not change how the page around it reads.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Html(str):
    """Markup that this package made."""


def html(content: str) -> Html:
    """Markup as it is; plain text escaped."""
    return content if isinstance(content, Html) else Html(escape(_UNSAFE.sub("\N{REPLACEMENT CHARACTER}", content)))


def join(parts: Iterable[str], between: str = "") -> Html:
    """The parts, each escaped unless it is markup, one after another."""
    return Html(html(between).join(html(part) for part in parts))


def element(tag: str, *content: str, **attributes: str | None) -> Html:
    """`<tag attribute="...">content</tag>`: `class_` writes class, `aria_label` aria-label; None is left out."""
    given = {key.strip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    written = "".join(f' {key}="{html(value)}"' for key, value in given.items())
    return Html(f"<{tag}{written}>{join(content)}</{tag}>")


def shorten(text: str, max_chars: int) -> str:
    """The text, cut with an ellipsis."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"


def section(name: str, title: str, *content: str) -> Html:
    """A section with a heading that the table of contents links to."""
    return element("section", element("h2", title, id=name), "\n", *content, aria_labelledby=name)


def absent(stage: str) -> Html:
    """The sentence that stands for a stage without results."""
    return element("p", f"Not run yet: {stage}.", class_="absent")


def tiles(entries: Sequence[tuple[str, str, str]]) -> Html:
    """Key figures in a row: (name, figure, detail)."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", name),
                element("dd", figure, class_="figure"),
                element("dd", detail, class_="detail"),
                class_="tile",
            )
            for name, figure, detail in entries
        ),
        class_="tiles",
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, numeric: Sequence[int] = (), style: str = ""
) -> Html:
    """A table whose first column names the row.

    Args:
      head: column titles.
      rows: cells; a cell that is a whole `<td>` or `<th>` already is taken as it is.
      caption: what the table shows, with units.
      numeric: columns that are aligned to the right.
      style: CSS classes of the table.
    """

    def cell(column: int, content: str) -> Html:
        if isinstance(content, Html) and content.startswith(("<td", "<th")):
            return content
        kind = "num" if column in numeric else None
        if column == 0:
            return element("th", content, scope="row", class_=kind)
        return element("td", content, class_=kind)

    titles = [element("th", name, scope="col", class_="num" if i in numeric else None) for i, name in enumerate(head)]
    body = [element("tr", *(cell(i, content) for i, content in enumerate(row))) for row in rows]
    inside = (
        element("caption", element("span", caption)),
        element("thead", element("tr", *titles)),
        element("tbody", join(body, "\n")),
    )
    return element("div", element("table", *inside, class_=style), class_="scroll")


def figure(title: str, svg: str, caption: str = "") -> Html:
    """A plot with its title; `svg` carries its own alternative text."""
    parts = [element("h4", title), Html(svg)]
    return element("figure", *parts, *([element("figcaption", caption)] if caption else []))


def panels(figures: Iterable[str]) -> Html:
    """Plots side by side, as many as the screen is wide."""
    return element("div", join(figures, "\n"), class_="panels")


def legend(entries: Mapping[str, str]) -> Html:
    """What the colours mean: label -> colour name."""

    def entry(label: str, colour: str) -> Html:
        swatch = element("span", class_="swatch", style=f"background: var(--{colour})", aria_hidden="true")
        return element("li", swatch, label)

    return element("ul", *(entry(label, colour) for label, colour in entries.items()), class_="legend")


def details(title: str, *content: str) -> Html:
    """Content that opens on a click."""
    return element("details", element("summary", title), *content)


def document(title: str, head: Sequence[str], sections: Mapping[str, tuple[str, str]], foot: str) -> str:
    """The whole page: one file that asks for nothing else.

    Args:
      title: of the page.
      head: what stands under the title.
      sections: name -> (title for the table of contents, the section).
      foot: the last line.
    """
    css = importlib.resources.files("usergpt_jax.data").joinpath("report.css").read_text(encoding="utf-8")
    links = (element("li", element("a", name, href=f"#{key}")) for key, (name, _) in sections.items())
    nav = element("nav", element("ul", *links), aria_label="Contents")
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            element("title", title),
            f"<style>\n{palette.css_variables()}{css}</style>",
            "</head>",
            "<body>",
            element("header", element("h1", title), *head, nav),
            element("main", join((body for _, body in sections.values()), "\n")),
            element("footer", element("p", foot)),
            "</body>",
            "</html>\n",
        )
    )
