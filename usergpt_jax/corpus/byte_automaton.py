r"""Automata over the bytes of UTF-8 text, built from the end: each part is told the state that comes after it.

    builder = Builder()
    start = builder.text('{"pet": "', builder.choice(['cat"', 'dog"'], builder.text("}", END)))

States that are left by the same bytes to the same states are one state, so equal endings are stored once.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

REFUSED = -1
END = 0  # the state in which an output is complete; no byte leads out of it

_TAIL = (0x80, 0xBF)
# Lead bytes of the characters above ASCII, and what may follow them (RFC 3629): no overlong form, no surrogate.
_WIDE = (
    ((0xC2, 0xDF), (_TAIL,)),
    ((0xE0, 0xE0), ((0xA0, 0xBF), _TAIL)),
    ((0xE1, 0xEC), (_TAIL, _TAIL)),
    ((0xED, 0xED), ((0x80, 0x9F), _TAIL)),
    ((0xEE, 0xEF), (_TAIL, _TAIL)),
    ((0xF0, 0xF0), ((0x90, 0xBF), _TAIL, _TAIL)),
    ((0xF1, 0xF3), (_TAIL, _TAIL, _TAIL)),
    ((0xF4, 0xF4), ((0x80, 0x8F), _TAIL, _TAIL)),
)


class ByteAutomaton(NamedTuple):
    """`next_state[s, byte]`, `REFUSED` where the byte may not come; one start a question; complete in `END`."""

    next_state: np.ndarray  # Int[S 256]
    start: np.ndarray  # Int[G]


class Builder:
    """Makes states; a state is a number, and `ways` tells which byte leads from it to which state."""

    def __init__(self):
        self._rows: list[np.ndarray] = []
        self._known: dict[bytes, int] = {}
        self.state({})  # END

    def automaton(self, starts: Iterable[int]) -> ByteAutomaton:
        """All states made so far, those that `starts` makes included."""
        start = np.array(list(starts), np.int32)
        return ByteAutomaton(np.stack(self._rows), start)

    def state(self, ways: Mapping[int, int]) -> int:
        """The state with these ways and no others."""
        row = _row(ways)
        key = row.tobytes()
        if key not in self._known:
            self._known[key] = len(self._rows)
            self._rows.append(row)
        return self._known[key]

    def text(self, text: str, then: int) -> int:
        """Reads exactly this text."""
        for byte in reversed(text.encode()):
            then = self.state({byte: then})
        return then

    def choice(self, texts: Iterable[str], then: int) -> int:
        """Reads any of the texts, none of which may be the start of another."""
        return self._choice(sorted({text.encode() for text in texts}), then)

    def _choice(self, texts: list[bytes], then: int) -> int:
        if texts == [b""]:
            return then
        return self.state(
            {lead: self._choice([t[1:] for t in texts if t[0] == lead], then) for lead in {t[0] for t in texts}}
        )

    def loop(self) -> int:
        """A state whose ways `free_text` sets later, so that others can lead to it before."""
        self._rows.append(_row({}))
        return len(self._rows) - 1

    def free_text(self, loop: int, stops: Mapping[str, int]) -> None:
        """Lets `loop` read any text up to where it spells a key of `stops`, which leads to the state of that key.

        Args:
          loop: from `loop()`.
          stops: ASCII texts and states, `REFUSED` for what the text may not hold.
        """
        prefixes = sorted({stop[:n] for stop in stops for n in range(len(stop))}, key=len)
        node = {prefix: loop if not prefix else self.loop() for prefix in prefixes}
        letters = sorted(set("".join(stops)))
        anything = {**dict.fromkeys(range(0x80), loop), **self.wide(loop)}

        def after(read: str) -> int:
            """The state for the longest end of `read` that starts or spells a stop."""
            ends = (read[i:] for i in range(len(read) + 1))
            return next(stops[end] if end in stops else node[end] for end in ends if end in stops or end in node)

        for prefix, state in node.items():
            self._rows[state] = _row({**anything, **{ord(letter): after(prefix + letter) for letter in letters}})

    def first(self, loop: int, ways: Mapping[int, int], refused: Iterable[str]) -> int:
        """Like `loop` for one character, but for the ASCII ones in `ways` and the wider ones in `refused`."""
        row = dict(enumerate(self._rows[loop].tolist()))
        return self.state({**row, **self.wide(loop, refused), **ways})

    def wide(self, then: int, refused: Iterable[str] = ()) -> dict[int, int]:
        """Ways that read one character above ASCII, but for those refused."""
        left = [character.encode() for character in refused]
        return {
            lead: self._tail([r[1:] for r in left if r[0] == lead], tails, then)
            for (low, high), tails in _WIDE
            for lead in range(low, high + 1)
        }

    def _tail(self, refused: list[bytes], ranges: tuple[tuple[int, int], ...], then: int) -> int:
        """Reads the further bytes of a character, but for those refused."""
        if not ranges:
            return REFUSED if b"" in refused else then
        (low, high), *rest = ranges
        ways = dict.fromkeys(range(low, high + 1), self._tail([], tuple(rest), then))
        for lead in {r[0] for r in refused}:
            ways[lead] = self._tail([r[1:] for r in refused if r[0] == lead], tuple(rest), then)
        return self.state(ways)


def _row(ways: Mapping[int, int]) -> np.ndarray:
    row = np.full(256, REFUSED, np.int32)
    row[list(ways.keys())] = list(ways.values())
    return row
