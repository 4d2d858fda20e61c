"""Damping: robots, loops and bursts, which would drown what a person does.

Nobody looks at one thing a hundred times a day: of the events about one title by one action on one day, the first
`max_repeats_a_day` count. And a day with more than `max_browsing_a_day` searches and clicks is a robot's or a broken
client's: none of its searches and clicks count. Purchases and visits of that day do.
"""

from typing import NamedTuple

import numpy as np

from usergpt_jax import schema
from usergpt_jax.semantize.aggregate import SECONDS_PER_DAY
from usergpt_jax.semantize.coded import Coded

_BROWSING = [schema.ACTIONS.index(name) for name in ("search", "click")]


class Damped(NamedTuple):
    """Which events count [E], and how many do not: repeats of a day, and events of days that are a robot's."""

    counts: np.ndarray
    repeats: int
    robot: int


def damp(log: Coded, *, max_repeats_a_day: int, max_browsing_a_day: int) -> Damped:
    """Judges the events of whole days; days are independent of each other.

    Args:
      log: events sorted by user and time.
      max_repeats_a_day: events of one user, day, action and title that count.
      max_browsing_a_day: searches and clicks of a user and day above which none of them counts.
    """
    day = log.second // SECONDS_PER_DAY
    browsing = np.isin(log.action, _BROWSING)
    new_day = np.diff(day, prepend=day[:1] - 1) != 0
    new_day[1:] |= log.user[1:] != log.user[:-1]
    of_day = np.cumsum(new_day) - 1
    robot = browsing & (np.bincount(of_day, weights=browsing)[of_day] > max_browsing_a_day) if len(log) else browsing
    again = _rank(of_day, log) >= max_repeats_a_day
    repeats = again & ~robot
    return Damped(~robot & ~repeats, int(repeats.sum()), int(robot.sum()))


def _rank(of_day: np.ndarray, log: Coded) -> np.ndarray:
    """How many earlier events of the day have this title and action [E]."""
    key = (of_day.astype(np.int64) * len(schema.ACTIONS) + log.action) << 31 | log.title
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    rank = np.empty(len(key), np.int32)
    rank[order] = np.arange(len(key)) - np.repeat(starts, np.diff(starts, append=len(key)))
    return rank
