"""The cross-platform tool graph: typed calls, and the table that walks on it.

A tool needs some types in hand and gives others; call B may follow call A where what B needs is surely in hand once A
was called, whichever way the walk came. `data/transitions.csv` weighs those edges by platform and by how far a session
will get (its reach), and `Tools.next_call` holds them as a lookup: one random number, one gather, one step of the walk.

Paper: §2.1 (tool graph in the manner of VitaBench; decision process over idle, browsing, searching, ordering).
"""

import dataclasses
import functools

import numpy as np

from usergpt_jax import locales, schema
from usergpt_jax.core.errors import InputError

REACHES = ("browsing", "searching", "ordering")
STATES = ("idle", *REACHES)
RESOLUTION = 1024  # chances of a step are multiples of 1 / RESOLUTION
MAX_CALLS = 40  # of a walk, the last always `close`
FINISH_CALLS = 5  # a walk that is to order heads for the counter when so many calls are left
START = "account"  # what is in hand before the first call


@dataclasses.dataclass(frozen=True)
class Tools:
    """The graph as arrays over tools [K] and modes [M = sources x reaches].

    Attributes:
      names: of the tools; number 0 is `close`, which ends a walk.
      sources: source number, -1 for `close` [K].
      states: number in `STATES` [K].
      requires: types needed, a set for each tool.
      provides: types given, a set for each tool.
      emits: number in `schema.ACTIONS` of the event that a call leaves, -1 for none [K].
      opening: the first call of each source [5].
      next_call: the tool after `tool` in `mode` for each of RESOLUTION draws: uint8 [2, M, K, RESOLUTION]; plane 1 is
        for walks that must come to an end: the shortest way to the order, or `close`.
    """

    names: tuple[str, ...]
    sources: np.ndarray
    states: np.ndarray
    requires: tuple[frozenset[str], ...]
    provides: tuple[frozenset[str], ...]
    emits: np.ndarray
    opening: np.ndarray
    next_call: np.ndarray

    def number(self, name: str) -> int:
        """The number of a tool."""
        return self.names.index(name)


def mode_of(source: int, reach: int) -> int:
    """Row of `Tools.next_call` for a source number and a number in `REACHES`."""
    return source * len(REACHES) + reach


@functools.cache
def load(locale: str) -> Tools:
    """The tool graph of a locale."""
    read = functools.partial(locales.read_rows, locale=locale)
    return parse(read("tools.csv"), read("transitions.csv"))


def parse(tool_rows: list[dict[str, str]], transition_rows: list[dict[str, str]]) -> Tools:
    """The tool graph of the rows of `tools.csv` and `transitions.csv`.

    Raises:
      InputError: an unknown name, a weight that is not positive, an edge whose target needs what is not in hand, or a
        walk that cannot end.
    """
    names = tuple(row["tool"] for row in tool_rows)
    if names[0] != "close" or len(set(names)) != len(names):
        raise InputError("tools.csv: tools must be distinct and start with 'close'")
    known = {"source": ("any", *schema.SOURCES), "state": STATES, "emits": ("", *schema.ACTIONS)}
    for row in tool_rows:
        for column, values in known.items():
            if row[column] not in values:
                raise InputError(f"tools.csv: {row['tool']}: unknown {column} {row[column]!r}")
    requires, provides = (tuple(frozenset(row[c].split()) for row in tool_rows) for c in ("requires", "provides"))
    sources = np.array([known["source"].index(row["source"]) - 1 for row in tool_rows])
    states = np.array([STATES.index(row["state"]) for row in tool_rows])
    weights, row_of = _weights(names, transition_rows)
    opening = np.array([_opening(sources, states, requires, number) for number in range(len(schema.SOURCES))])
    _check_types(row_of, names, requires, provides, opening)
    return Tools(
        names=names,
        sources=sources,
        states=states,
        requires=requires,
        provides=provides,
        emits=np.array([schema.ACTIONS.index(row["emits"]) if row["emits"] else -1 for row in tool_rows]),
        opening=opening,
        next_call=np.stack([_lookup(weights), _lookup(_shortest(weights, row_of, names, opening))]),
    )


def _opening(sources: np.ndarray, states: np.ndarray, requires: tuple[frozenset[str], ...], source: int) -> int:
    found = [n for n in np.nonzero(sources == source)[0] if states[n] == 0 and requires[n] == {START}]
    if len(found) != 1:
        raise InputError(f"tools.csv: source {schema.SOURCES[source]!r} needs exactly one idle tool that opens it")
    return int(found[0])


def _weights(names: tuple[str, ...], rows: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the edges, float64 [M, K, K], and the row of transitions.csv that each is from, 0 for none."""
    weights = np.zeros((len(schema.SOURCES) * len(REACHES), len(names), len(names)))
    row_of = np.zeros(weights.shape, np.int64)
    for number, row in enumerate(rows, start=1):
        where = f"transitions.csv row {number}, {row['source']}.{row['reach']}: {row['from']} -> {row['to']}"
        for column, values in {"source": schema.SOURCES, "reach": REACHES, "from": names, "to": names}.items():
            if row[column] not in values:
                raise InputError(f"{where}: unknown {column} {row[column]!r}")
        mode = mode_of(schema.SOURCES.index(row["source"]), REACHES.index(row["reach"]))
        edge = mode, names.index(row["from"]), names.index(row["to"])
        weights[edge] = locales.positive(row["weight"], where, "weight")
        row_of[edge] = number
    weights[:, 0, 0] = 1.0  # `close` stays closed
    return weights, row_of


def _check_types(
    row_of: np.ndarray,
    names: tuple[str, ...],
    requires: tuple[frozenset[str], ...],
    provides: tuple[frozenset[str], ...],
    opening: np.ndarray,
) -> None:
    """Raises unless every edge finds in hand what it needs, whichever way the walk came."""
    everything = frozenset().union(*provides, {START})
    for mode, edges in enumerate(row_of > 0):
        first = opening[mode // len(REACHES)]
        held = [everything] * len(names)  # what is surely in hand after a tool: shrinks to the fixed point
        held[first] = frozenset({START}) | provides[first]
        for _ in names:
            for start, end in np.argwhere(edges):
                if end not in (0, first):
                    held[end] &= held[start] | provides[end]
        for start, end in np.argwhere(edges):
            if missing := requires[end] - held[start]:
                where = f"transitions.csv row {row_of[mode, start, end]}, {_mode_name(mode)}"
                raise InputError(
                    f"{where}: {names[start]} -> {names[end]}: needs {', '.join(sorted(missing))}, which is not in hand"
                )


def _mode_name(mode: int) -> str:
    return f"{schema.SOURCES[mode // len(REACHES)]}.{REACHES[mode % len(REACHES)]}"


def _shortest(weights: np.ndarray, row_of: np.ndarray, names: tuple[str, ...], opening: np.ndarray) -> np.ndarray:
    """Edges of the shortest way to `close` only: 0/1 [M, K, K]."""
    n_modes, n_tools, _ = weights.shape
    distance = np.full((n_modes, n_tools), np.inf)
    distance[:, 0] = 0.0
    for _ in range(n_tools):
        step = np.where(weights > 0, distance[:, None, :], np.inf).min(axis=2) + 1.0
        distance[:, 1:] = np.minimum(distance, step)[:, 1:]
    used = (weights > 0).any(axis=2) | (weights > 0).any(axis=1)
    stuck = np.argwhere(used & ~(distance < FINISH_CALLS))
    stuck = [pair for pair in stuck if pair[1] not in opening]
    if stuck:
        mode, tool = (int(number) for number in stuck[0])
        rows = np.append(row_of[mode, tool], row_of[mode, :, tool])  # all that name the tool
        where = f"transitions.csv row {rows[rows > 0].min()}, {_mode_name(mode)}"
        raise InputError(f"{where}: no way from {names[tool]} to close in {FINISH_CALLS} calls")
    target = np.where(weights > 0, distance[:, None, :], np.inf).argmin(axis=2)
    nearest = np.zeros_like(weights)
    np.put_along_axis(nearest, target[..., None], 1.0, axis=2)
    return nearest


def _lookup(weights: np.ndarray) -> np.ndarray:
    """The next tool of each draw: uint8 [M, K, RESOLUTION]. Tools without edges lead to `close`."""
    weights = weights.copy()
    weights[..., 0] += weights.sum(axis=2) == 0
    edges = np.round(np.cumsum(weights, axis=2) / weights.sum(axis=2, keepdims=True) * RESOLUTION)
    draws = np.arange(RESOLUTION)
    return (edges[..., None, :] <= draws[:, None]).sum(axis=-1).astype(np.uint8)
