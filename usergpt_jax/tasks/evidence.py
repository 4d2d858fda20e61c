"""Evidence: the MUB lines that a reasoning cites, and whether they really hold what it says."""

import dataclasses
import re

_TOPIC = re.compile(r"^[a-z_]+: ")
_CITATION = re.compile(r"(.+) \(L(\d+)\)")


@dataclasses.dataclass(frozen=True)
class Citation:
    """A claim that MUB line `line` (numbered from 1) holds `item`."""

    line: int
    item: str


def cite(citations: list[Citation]) -> str:
    """Writes citations as the reasoning does: "Cat Litter (L3), Milk Powder (L12)".

    The item comes before its line, because what was seen decides the answer, and where only supports it.
    """
    return ", ".join(f"{citation.item} (L{citation.line})" for citation in citations)


def citations(think: str) -> list[Citation]:
    """Reads the citations out of a reasoning ("pet: Cat Litter (L3)"); anything else in it is passed over."""
    matches = (_CITATION.fullmatch(part.strip()) for part in _TOPIC.sub("", think).split(", "))
    return [Citation(int(match.group(2)), match.group(1)) for match in matches if match]


def line_items(line: str) -> list[str]:
    """The items of one MUB line."""
    _, bar, items = line.partition("] | ")
    return items.split(", ") if bar else []


def grounded(think: str, mub: str) -> list[int]:
    """Numbers of the cited MUB lines that do hold the cited item, in order, each once."""
    lines = mub.split("\n")
    true = [
        citation.line
        for citation in citations(think)
        if 1 <= citation.line <= len(lines) and citation.item in line_items(lines[citation.line - 1])
    ]
    return list(dict.fromkeys(true))
