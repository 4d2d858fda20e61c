"""The decision process of sessions: transitions between its states, and between actions."""

import numpy as np
from jaxtyping import Float

from usergpt_jax import locales, schema
from usergpt_jax.simulate.fidelity import behaviour, statistics
from usergpt_jax.simulate.fidelity.log import Log
from usergpt_jax.simulate.fidelity.targets import Measure

STATES = ("idle", "browsing", "searching", "ordering")
_SHOWN = (("idle", "browsing"), ("idle", "searching"), ("browsing", "ordering"), ("searching", "browsing"),
          ("ordering", "idle"))  # fmt: skip
# Every name that `measures` can give; a log whose provenance names no tools gives the first only.
NAMES = ("events a shopping session", *(f"{a} to {b}" for a, b in _SHOWN))


def state_transitions(log: Log, locale: str) -> Float[np.ndarray, "4 4"] | None:
    """Counts of moves between `STATES`, rows from, columns to; None for a log whose provenance names no tools.

    Calls that leave no event are not seen; a session starts from idle and ends there.
    """
    if log.hidden is None or log.hidden.tool is None:
        return None
    declared = {row["tool"]: row["state"] for row in locales.read_rows("tools.csv", locale)}
    number = np.array([STATES.index(declared.get(tool, "idle")) for tool in log.hidden.tool.values])
    state, session = number[log.hidden.tool.number], behaviour.sessions(log)
    counts = statistics.transitions(session, state, len(STATES))
    first = np.diff(session, prepend=-1) > 0
    last = np.append(first[1:], True)
    counts[0] += np.bincount(state[first], minlength=len(STATES))
    counts[:, 0] += np.bincount(state[last], minlength=len(STATES))
    return counts


def action_transitions(log: Log) -> Float[np.ndarray, "6 6"]:
    """Counts of one action followed by another within a session, in the order of `schema.ACTIONS`."""
    return statistics.transitions(behaviour.sessions(log), log.action.astype(np.int64), len(schema.ACTIONS))


def measures(log: Log, locale: str) -> dict[str, Measure]:
    """Shares of some moves, and how long sessions are."""
    shopping = log.source == schema.SOURCES.index("ecommerce")
    per_session = np.bincount(behaviour.sessions(log)[shopping])
    per_session = per_session[per_session > 0]
    found = {"events a shopping session": Measure(*statistics.mean_with_error(per_session.astype(np.float64)))}
    counts = state_transitions(log, locale)
    if counts is not None:
        shares = statistics.row_shares(counts)
        found |= {f"{a} to {b}": Measure(float(shares[STATES.index(a), STATES.index(b)])) for a, b in _SHOWN}
    return found
