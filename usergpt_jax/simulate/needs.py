"""The library of desires from `data/needs.csv`: who has them, how often, when, and what they lead to.

A desire's rate is `rate` sessions a year times one factor for each group in `weights` (`factors` has the grammar). A
factor of 0 is a precondition: the desire does not exist without it. All is held as integer log factors in 1/64 nat.

Paper: §2.1 (latent needs, desire library in the manner of LifeSim). Differs from the paper: its library was not
published; this one has a few hundred desires of our own.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from usergpt_jax import locales, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, catalog, evolution, factors, fixed, preferences, priors
from usergpt_jax.simulate.fixed import LOG_ZERO
from usergpt_jax.simulate.topics import TOPIC_THEMES
from usergpt_jax.tags import HPR18

__all__ = [
    "CAUSE_OF_KIND", "DRIVERS", "FEATURE_NAMES", "GOALS", "KINDS", "LOG_ZERO", "MAX_LEAVES", "PLACES", "THEMES",
    "TOPIC_THEMES", "Needs", "load", "parse",
]  # fmt: skip

MAX_LEAVES = 6
MAX_GIFT = 10.0
# Sessions a year: the largest weight of a desire (see `fixed.WEIGHTS`), so a higher rate would not be any higher.
MAX_RATE = float(fixed.WEIGHTS[-1] // fixed.UNIT)
# Pressure counts eighths of a cadence in whole 1 / 2**12 a day (see `week_tables`): 5 % too slow at worst for this many
# days, and never at all for more than 2**15.
MAX_CADENCE_DAYS = 1500
THEMES = (
    "childcare", "dining", "education", "elder care", "entertainment", "mental health", "sport and health", "travel",
    "household", "home", "beauty", "apparel", "digital", "pets", "gifts", "work", "hobbies", "mobility", "finance",
    "relationships",
)  # fmt: skip
DRIVERS = ("environment", "biological", "cognitive", "routine")
PLACES = (
    "none",
    "home",
    "work",
    "zone",
    "school",
    "station",
    "dest_home",
    "dest_business",
    "dest_leisure",
    "dest_outbound",
    "dest_near",
)
KINDS = ("need", "gift", "bait", "routine")
# What an intent aims at, and at what a platform lets it aim.
GOALS = ("order", "browse", "book", "visit", "record")
_GOALS_OF_SOURCE = {
    "ecommerce": ("order", "browse"),
    "delivery": ("order", "browse"),
    "travel": ("book", "browse"),
    "poi": ("visit", "book", "browse"),
    "other": ("record", "order"),
}
# A kind is also the cause of the events that a desire of the user leads to.
CAUSE_OF_KIND = np.array([schema.CAUSES.index(kind) for kind in KINDS], np.int32)
COLUMNS = (
    "name", "theme", "driver", "goal", "rate", "kind", "gift", "cadence_days", "place", "evidence", "weights", "leaves",
)  # fmt: skip

_STATE_GROUPS = {
    **{tag: HPR18[tag].values for tag in evolution.STATE_TAGS},
    "phase": evolution.PHASES,
    "car": ("no", "yes"),
}
# Groups of which several values may hold at once, or none.
_SEVERAL_HOLD = ("phase", "interests", "preference", "averse", "calendar", "topic")
# What each state feature [F] means, (group, value), in the order of `evolution.features`.
FEATURE_NAMES = tuple((group, value) for group, values in _STATE_GROUPS.items() for value in values)


@dataclasses.dataclass(frozen=True)
class Needs:
    """The library as arrays over desires [N]; log factors are integers in 1/64 nat, `LOG_ZERO` or less is never.

    Attributes:
      names: desire names.
      themes: one of `THEMES` each.
      drivers: one of `DRIVERS` each.
      kinds: number in `KINDS` [N].
      goals: one of `GOALS` each.
      sources: number in `schema.SOURCES` [N].
      places: number in `PLACES` [N].
      log_rate: log of sessions a year when nothing holds [N].
      state_weights: log factors of `FEATURE_NAMES` [F, N].
      interest_weights: log factors of `priors.INTERESTS` [I, N].
      preference_weights: log factors of the preference dimensions, drawn to and averse [2, P, N].
      calendar_weights: log factors of `calendar.FEATURES` [C, N].
      topic_weights: log factors of `TOPIC_THEMES` [T, N].
      cadence_days: how long a desire rests after it was satisfied [N], 1 to `MAX_CADENCE_DAYS`; 1 hardly rests.
      gift: how readily its goods are given as a present [N], 0 to 1000.
      leaves: leaf numbers [N, MAX_LEAVES].
      leaf_cdf: cumulative chance of each leaf out of 2**16 [N, MAX_LEAVES].
      evidence: whether an own event of the desire speaks about a tag [N, A].
    """

    names: tuple[str, ...]
    themes: tuple[str, ...]
    drivers: tuple[str, ...]
    kinds: np.ndarray
    goals: tuple[str, ...]
    sources: np.ndarray
    places: np.ndarray
    log_rate: np.ndarray
    state_weights: np.ndarray
    interest_weights: np.ndarray
    preference_weights: np.ndarray
    calendar_weights: np.ndarray
    topic_weights: np.ndarray
    cadence_days: np.ndarray
    gift: np.ndarray
    leaves: np.ndarray
    leaf_cdf: np.ndarray
    evidence: np.ndarray


@functools.cache
def load(locale: str = locales.DEFAULT) -> Needs:
    """The library of a locale.

    Raises:
      InputError: see `parse`.
    """
    shelf = catalog.load(locale)
    source_of_leaf = {leaf: schema.SOURCES[source] for leaf, source in zip(shelf.leaves, shelf.sources, strict=True)}
    return parse(locales.read_rows("needs.csv", locale), source_of_leaf, preferences.load(locale).names)


def parse(
    rows: Sequence[Mapping[str, str]], source_of_leaf: Mapping[str, str], preference_names: tuple[str, ...]
) -> Needs:
    """A library from the rows of needs.csv.

    Args:
      rows: with `COLUMNS`; leaves as `Leaf:share|Leaf:share`, evidence as `tag|tag`.
      source_of_leaf: source of each leaf, in the order of the catalogue.
      preference_names: names of the preference dimensions.

    Raises:
      InputError: a missing column, a desire twice, an unknown word (leaf, group, value, tag, theme, driver, goal, kind,
        place), a number that is none or negative, a rate that is 0 or above `MAX_RATE`, a cadence that is not a whole
        number from 1 to `MAX_CADENCE_DAYS`, no leaf or more than `MAX_LEAVES`, leaves of two platforms, or a goal that
        the platform does not serve. The message is one line with the desire and what was expected.
    """
    if missing := [column for column in COLUMNS if rows and column not in rows[0]]:
        raise InputError(f"needs.csv: no column {missing[0]!r}, expected {', '.join(COLUMNS)}")
    names = tuple(row["name"] for row in rows)
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise InputError(f"needs.csv, desire {twice[0]!r}: stands twice, expected each name once")
    groups = _groups(preference_names)
    leaves, leaf_cdf, sources = _leaf_arrays(rows, source_of_leaf)
    log_rate, columns = _weight_arrays(rows, groups)
    for row, source in zip(rows, sources, strict=True):
        _check_words(row, schema.SOURCES[source])
    return Needs(
        names=names,
        themes=tuple(row["theme"] for row in rows),
        drivers=tuple(row["driver"] for row in rows),
        kinds=np.array([KINDS.index(row["kind"]) for row in rows], np.int32),
        goals=tuple(row["goal"] for row in rows),
        sources=sources,
        places=np.array([PLACES.index(row["place"]) for row in rows], np.int32),
        log_rate=log_rate,
        state_weights=np.concatenate([columns[group] for group in _STATE_GROUPS]),
        interest_weights=columns["interests"],
        preference_weights=np.stack([columns["preference"], columns["averse"]]),
        calendar_weights=columns["calendar"],
        topic_weights=columns["topic"],
        cadence_days=np.array([_cadence_days(row) for row in rows], np.int32),
        gift=np.array([round(100 * _number(row, "gift", MAX_GIFT)) for row in rows], np.int32),
        leaves=leaves,
        leaf_cdf=leaf_cdf,
        evidence=np.array([[tag in row["evidence"].split("|") for tag in HPR18.names] for row in rows], bool),
    )


def _groups(preference_names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {
        **_STATE_GROUPS,
        "interests": priors.INTERESTS,
        "preference": preference_names,
        "averse": preference_names,
        "calendar": calendar.FEATURES,
        "topic": TOPIC_THEMES,
    }


def _check_words(row: Mapping[str, str], source: str) -> None:
    for column, expected in (("theme", THEMES), ("driver", DRIVERS), ("kind", KINDS), ("place", PLACES)):
        factors.known(row[column], expected, _where(row), column)
    factors.known(row["goal"], GOALS, _where(row), "goal")
    factors.known(row["goal"], _GOALS_OF_SOURCE[source], _where(row), f"goal on {source}")
    for tag in filter(None, row["evidence"].split("|")):
        factors.known(tag, HPR18.names, _where(row), "tag")


def _leaf_arrays(
    rows: Sequence[Mapping[str, str]], source_of_leaf: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaf numbers, their cumulative chances, and the platform they are all on."""
    number_of_leaf = {leaf: number for number, leaf in enumerate(source_of_leaf)}
    leaves = np.zeros((len(rows), MAX_LEAVES), np.int32)
    shares = np.zeros((len(rows), MAX_LEAVES))
    sources = np.zeros(len(rows), np.int32)
    for number, row in enumerate(rows):
        entries = [entry for entry in row["leaves"].split("|") if entry]
        if not 1 <= len(entries) <= MAX_LEAVES:
            raise InputError(f"{_where(row)}: {len(entries)} leaves, expected 1 to {MAX_LEAVES}")
        for slot, entry in enumerate(entries):
            leaf, _, share = entry.rpartition(":")
            if leaf not in number_of_leaf:
                raise InputError(f"{_where(row)}: unknown leaf {leaf or entry!r}, expected Leaf:share of catalog.csv")
            leaves[number, slot] = number_of_leaf[leaf]
            shares[number, slot] = factors.number(share, _where(row), f"share of {leaf!r}")
        leaves[number, len(entries) :] = leaves[number, 0]  # never drawn
        on = sorted({source_of_leaf[entry.rpartition(":")[0]] for entry in entries})
        if len(on) > 1:
            raise InputError(f"{_where(row)}: leaves are on {' and '.join(on)}, expected one platform")
        if shares[number].sum() <= 0:
            raise InputError(f"{_where(row)}: shares of its leaves add up to 0, expected more")
        sources[number] = schema.SOURCES.index(on[0])
    return leaves, fixed.cumulative(shares), sources


def _weight_arrays(
    rows: Sequence[Mapping[str, str]], groups: Mapping[str, tuple[str, ...]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Log rate [N] with what holds by default, and the log factors [V, N] of each group."""
    log_rate = np.zeros(len(rows), np.int32)
    columns = {group: np.zeros((len(values), len(rows)), np.int32) for group, values in groups.items()}
    for number, row in enumerate(rows):
        rate = _number(row, "rate", MAX_RATE)
        if rate == 0:
            raise InputError(f"{_where(row)}: rate is 0, expected more than 0")
        log_rate[number] = fixed.log_units(rate)
        for group, one in factors.parse(row["weights"], groups, _where(row)).items():
            base, column = _log_factors(group, groups[group], one, _where(row))
            log_rate[number] += base
            columns[group][:, number] = column
    return log_rate, columns


def _log_factors(group: str, values: tuple[str, ...], one: Mapping[str, float], where: str) -> tuple[int, np.ndarray]:
    """Log factor of the rate as such, and one of each value, of a desire's factors for a group.

    Where several values may hold at once, `*` is the factor when none of the named ones does: it goes into the rate,
    and each named value lifts from there.
    """
    rest = one.get(factors.REST, 1.0)
    default = int(fixed.log_units(rest))
    if group not in _SEVERAL_HOLD:
        return 0, fixed.log_units(np.array([one.get(value, rest) for value in values]))
    named = [value in one for value in values]
    if rest == 0 and sum(named) > 1:
        # Two values that hold at once would both lift from "never", which has no meaning in log factors.
        raise InputError(f"{where}, group {group}: *=0 with {sum(named)} values, expected one value beside *=0")
    return default, np.where(named, fixed.log_units(np.array([one.get(value, 1.0) for value in values])) - default, 0)


def _cadence_days(row: Mapping[str, str]) -> int:
    text = row["cadence_days"]
    if not (text.isdecimal() and 1 <= int(text) <= MAX_CADENCE_DAYS):
        expected = f"a whole number from 1 to {MAX_CADENCE_DAYS}"
        raise InputError(f"{_where(row)}: cadence_days is {text!r}, expected {expected}")
    return int(text)


def _number(row: Mapping[str, str], column: str, most: float = np.inf) -> float:
    return factors.number(row[column], _where(row), column, most)


def _where(row: Mapping[str, str]) -> str:
    return f"needs.csv, desire {row['name']!r}"
