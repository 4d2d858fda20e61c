"""The library of desires from `data/needs.csv`: who has them, how often, when, and what they lead to.

A desire's rate is `rate` sessions a year times one factor for each group in `weights`, such as
`gender:female=3/male=0.2;calendar:back_to_school=5`; `*` stands for the values that are not named (1 if absent).

Paper: §2.1 (latent needs, desire library in the manner of LifeSim). Differs from the paper: about 160 desires.
"""

import dataclasses
import functools

import numpy as np

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, catalog, evolution, priors
from usergpt_jax.simulate.catalog import read_rows
from usergpt_jax.tags import HPR18

MAX_LEAVES = 6
PLACES = ("none", "home", "work", "zone", "dest_home", "dest_business", "dest_leisure", "dest_outbound", "dest_near")
KINDS = ("need", "gift", "bait", "routine")
# A kind is also the cause of the events that a desire of the user leads to.
CAUSE_OF_KIND = np.array([schema.CAUSES.index(kind) for kind in KINDS], np.int32)
LOG_ZERO = -20.0  # log factor of what does not happen
_LOG_STEP = 64.0  # log factors are multiples of 1/64, so that their sums are exact in float32 in any order

_MULTI_HOT = {"interests": priors.INTERESTS, "phase": evolution.PHASES, "calendar": calendar.FEATURES}
_GROUPS: dict[str, tuple[str, ...]] = {
    **{tag: HPR18[tag].values for tag in evolution.STATE_TAGS},
    "interests": priors.INTERESTS,
    "phase": evolution.PHASES,
    "car": ("no", "yes"),
    "calendar": calendar.FEATURES,
}
# What each entry of the feature vector [F + C] means: (group, value); the calendar comes last.
FEATURE_NAMES = tuple((group, value) for group, values in _GROUPS.items() for value in values)
N_STATE_FEATURES = len(FEATURE_NAMES) - len(calendar.FEATURES)


@dataclasses.dataclass(frozen=True)
class Needs:
    """The library as arrays over desires [N].

    Attributes:
      names: desire names.
      kinds: number in `KINDS` [N].
      sources: source number [N].
      places: number in `PLACES` [N].
      log_rate: log of sessions a year when every factor is 1 [N].
      weights: log factors [F + C, N].
      cadence_days: how long a desire sleeps after it was satisfied [N].
      gift: how readily its goods are given as a present [N].
      leaf_cdf: cumulative chance of each of its leaves [N, MAX_LEAVES].
      leaves: leaf numbers [N, MAX_LEAVES].
      evidence: whether an own event of the desire speaks about a tag [N, A].
    """

    names: tuple[str, ...]
    kinds: np.ndarray
    sources: np.ndarray
    places: np.ndarray
    log_rate: np.ndarray
    weights: np.ndarray
    cadence_days: np.ndarray
    gift: np.ndarray
    leaf_cdf: np.ndarray
    leaves: np.ndarray
    evidence: np.ndarray


@functools.cache
def load() -> Needs:
    """The built-in library.

    Raises:
      InputError: the file names an unknown leaf, group, value or tag; the message has the desire and the word.
    """
    rows = read_rows("needs.csv")
    shelf = catalog.load()
    leaf_number = {leaf: number for number, leaf in enumerate(shelf.leaves)}
    leaves = np.zeros((len(rows), MAX_LEAVES), np.int32)
    shares = np.zeros((len(rows), MAX_LEAVES))
    weights = np.zeros((len(FEATURE_NAMES), len(rows)))
    log_rate = np.zeros(len(rows))
    for number, row in enumerate(rows):
        for slot, entry in enumerate(row["leaves"].split("|")):
            leaf, _, share = entry.partition(":")
            leaves[number, slot] = _known(leaf_number, leaf, row["name"], "leaf")
            shares[number, slot] = float(share)
        base, column = _log_factors(row["weights"], row["name"])
        log_rate[number] = np.log(float(row["rate"])) + base
        weights[:, number] = column
    sources = shelf.sources[leaves[:, 0]]
    return Needs(
        names=tuple(row["name"] for row in rows),
        kinds=np.array([KINDS.index(row["kind"]) for row in rows], np.int32),
        sources=sources,
        places=np.array([PLACES.index(row["place"]) for row in rows], np.int32),
        log_rate=_quantised(log_rate),
        weights=_quantised(weights),
        cadence_days=np.array([float(row["cadence_days"]) for row in rows], np.float32),
        gift=np.array([float(row["gift"]) for row in rows]),
        leaf_cdf=(np.cumsum(shares, axis=1) / shares.sum(1, keepdims=True)).astype(np.float32),
        leaves=leaves,
        evidence=np.array([[tag in row["evidence"].split("|") for tag in HPR18.names] for row in rows]),
    )


def feature_vector(values: dict[str, str]) -> np.ndarray:
    """The features [F + C] of a persona that is known by some groups only, e.g. {"gender": "male"}."""
    return np.array([1.0 if values.get(group) == value else 0.0 for group, value in FEATURE_NAMES])


def _log_factors(text: str, need: str) -> tuple[float, np.ndarray]:
    """The base log factor and one log factor a feature of a `weights` cell."""
    base, column = 0.0, np.zeros(len(FEATURE_NAMES))
    index = {name: number for number, name in enumerate(FEATURE_NAMES)}
    for group_text in filter(None, text.split(";")):
        group, _, factors_text = group_text.partition(":")
        values = _known(_GROUPS, group, need, "group")
        factors = {value: float(factor) for value, _, factor in (p.rpartition("=") for p in factors_text.split("/"))}
        default = _log(factors.pop("*", 1.0))
        for value in factors:
            _known({v: v for v in values}, value, need, f"value of {group}")
        if group in _MULTI_HOT:  # present values lift the rate from the default
            base += default
        for value in values:
            if value in factors:
                column[index[group, value]] += _log(factors[value]) - (default if group in _MULTI_HOT else 0.0)
            elif group not in _MULTI_HOT:
                column[index[group, value]] += default
    return base, column


def _log(factor: float) -> float:
    return float(np.log(factor)) if factor > 0 else LOG_ZERO


def _quantised(values: np.ndarray) -> np.ndarray:
    return (np.round(values * _LOG_STEP) / _LOG_STEP).astype(np.float32)


def _known(table: dict, key: str, need: str, what: str):
    if key not in table:
        raise InputError(f"needs.csv: desire {need!r} names the unknown {what} {key!r}")
    return table[key]
