"""The page's building blocks: text is escaped, everything stands in one file that asks for nothing else."""

from collections.abc import Iterable, Sequence
from html import escape

from usergpt_jax.simulate.fidelity.figures import COLOURS

_CSS = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Noto Sans", sans-serif; }
h1 { font-size: 1.8rem; margin: 0 0 .4rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .4rem; }
p, caption { color: var(--muted); max-width: 52rem; text-align: left; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--faint); vertical-align: top; }
thead th { color: var(--muted); border-color: var(--rule); }
tbody th { font-weight: 500; white-space: nowrap; }
.num { text-align: right; white-space: nowrap; }
.ok { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.note { color: var(--muted); font-size: .92em; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1rem 1.4rem; }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; font-size: .9rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
"""
_VERDICTS = {"ok": "ok", "MISS": "bad", "SOLVED": "bad", "CHANCE": "bad"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, numeric: Sequence[int] = ()) -> str:
    """A table whose first column names the row; `numeric` columns are aligned to the right."""

    def cell(column: int, text: str) -> str:
        kind = "num" if column in numeric else _VERDICTS.get(text, "note" if column == len(head) - 1 else "")
        tag = 'th scope="row"' if column == 0 else "td"
        return f'<{tag} class="{kind}">{escape(text)}</{tag.split()[0]}>'

    titles = "".join(
        f'<th scope="col"{" class=num" if i in numeric else ""}>{escape(t)}</th>' for i, t in enumerate(head)
    )
    body = "\n".join("<tr>" + "".join(cell(i, text) for i, text in enumerate(row)) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def panels(figures: Iterable[tuple[str, str]]) -> str:
    """Plots side by side: (title, SVG)."""
    parts = (f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in figures)
    return '<div class="panels">' + "\n".join(parts) + "</div>"


def section(title: str, lead: str, *content: str) -> str:
    """A heading with a sentence and what stands under it."""
    return f"<section><h2>{escape(title)}</h2>\n<p>{escape(lead)}</p>\n" + "\n".join(content) + "</section>"


def document(title: str, lead: str, sections: Iterable[str]) -> str:
    """The whole page."""
    light, dark = (" ".join(f"--{name}: {pair[i]};" for name, pair in COLOURS.items()) for i in (0, 1))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>\n<style>:root {{ {light} }}\n'
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}{_CSS}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n" + "\n".join(sections) + "</body></html>\n"
    )
