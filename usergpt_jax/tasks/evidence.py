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


def core(item: str) -> str:
    """The item without its attributes: "Lipstick (premium)" -> "Lipstick"."""
    return item.partition(" (")[0]


def grounded(think: str, mub: str) -> list[int]:
    """Numbers of the MUB lines that hold what a reasoning cites, in order, each once.

    What was seen is checked, and where is put right: the cited line if it holds the item, else the first line that
    does, whatever its attributes. An item that stands nowhere grounds nothing.
    """
    lines = [{core(item) for item in line_items(line)} for line in mub.split("\n")]
    found = []
    for citation in citations(think):
        holding = [number for number, items in enumerate(lines, start=1) if core(citation.item) in items]
        if holding:
            found.append(citation.line if citation.line in holding else holding[0])
    return list(dict.fromkeys(found))
