"""The 90 preference dimensions: what somebody is drawn to or averse to, from `data/preferences.csv`.

Most are neutral for most people. A dimension's odds of being drawn to, against neutral, are multiplied by a factor f
that follows from who somebody is, those of being averse by 1 / f:

    P(drawn) : P(neutral) : P(averse) = active * drawn * f : 1 - active : active * (1 - drawn) / f

Paper: §2.1 (core persona: 90 preference dimensions). Differs from the paper: it took dimensions and values from AlignX;
the shares and their dependence on demographics here are ours, set so that a handful of dimensions are active.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import factors
from usergpt_jax.simulate.priors import INTERESTS
from usergpt_jax.tags import HPR18

COUNT = 90
TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
COLUMNS = ("index", "name", "group", "used", "active_frac", "drawn_frac", "weights")
AGE_CUTS_YEARS = np.array([18, 23, 26, 30, 35, 40, 50, 60, 70])
# Groups that a dimension may depend on; the factor of a trait holds for one standard deviation above the mean.
GROUPS = {
    "gender": HPR18["gender"].values,
    "age_band": HPR18["age_band"].values,
    "education": HPR18["education"].values,
    "interests": INTERESTS,
    "trait": TRAITS,
}


class Preferences(NamedTuple):
    """The dimensions as arrays over P = `COUNT` of them.

    Attributes:
      names: of the dimensions, in the order of their index.
      groups: basics, needs, styles, murray, answers or interests, of each dimension.
      used: whether anybody may hold it; the qualities of answers keep their index and are neutral [P].
      active_frac: chance that the dimension is not neutral when every factor is 1 [P].
      drawn_frac: chance of drawn to rather than averse, given that it is not neutral [P].
      log_factors: group -> log factor of each of its values [P, V], in the order of `GROUPS`.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    used: np.ndarray
    active_frac: np.ndarray
    drawn_frac: np.ndarray
    log_factors: dict[str, np.ndarray]


@functools.cache
def load(locale: str = locales.DEFAULT) -> Preferences:
    """The dimensions of a locale.

    Raises:
      InputError: see `parse`.
    """
    return parse(locales.read_rows("preferences.csv", locale))


def parse(rows: Sequence[Mapping[str, str]]) -> Preferences:
    """The dimensions from the rows of preferences.csv.

    Raises:
      InputError: a missing column, not 90 rows in order of index, a name twice, an unknown group or value, a share
        outside [0, 1], or a factor that is not a positive number.
    """
    missing = [column for column in COLUMNS if rows and column not in rows[0]]
    if missing:
        raise InputError(f"preferences.csv: no column {missing[0]!r}, expected {', '.join(COLUMNS)}")
    if len(rows) != COUNT:
        raise InputError(f"preferences.csv: {len(rows)} rows, expected {COUNT}")
    names = tuple(row["name"] for row in rows)
    log_factors = {group: np.zeros((COUNT, len(values))) for group, values in GROUPS.items()}
    shares = np.zeros((2, COUNT))
    for number, row in enumerate(rows):
        where = f"preferences.csv, dimension {row['name']!r}"
        if row["index"] != str(number):
            raise InputError(f"{where}: index is {row['index']!r}, expected {number}")
        if row["name"] in names[:number]:
            raise InputError(f"{where}: stands twice, expected each once")
        factors.known(row["used"], ("yes", "no"), where, "value of used")
        shares[:, number] = [factors.number(row[name], where, name, 1.0) for name in ("active_frac", "drawn_frac")]
        for group, one in factors.parse(row["weights"], GROUPS, where).items():
            if zero := [value for value, factor in one.items() if factor == 0]:
                raise InputError(f"{where}, group {group}: factor of {zero[0]!r} is 0, expected more than 0")
            rest = one.get(factors.REST, 1.0)
            log_factors[group][number] = np.log([one.get(value, rest) for value in GROUPS[group]])
    return Preferences(
        names=names,
        groups=tuple(row["group"] for row in rows),
        used=np.array([row["used"] == "yes" for row in rows]),
        active_frac=shares[0],
        drawn_frac=shares[1],
        log_factors=log_factors,
    )


def chances(known: Mapping[str, np.ndarray], locale: str = locales.DEFAULT) -> Float[np.ndarray, "2 U P"]:
    """Chance of each dimension to be drawn to (row 0) and averse to (row 1).

    Args:
      known: of each user [U]: `gender` and `education` as value numbers of their tags, and `age_years`; `big_five`
        [U, 5] in 1/100 of z, by `TRAITS`; `interests` [U, n], numbers in `priors.INTERESTS`, -1 where there is none.
      locale: the market.
    """
    table = load(locale)
    held = (known["interests"][:, :, None] == np.arange(len(INTERESTS))).any(axis=1)
    log_factor = table.log_factors["gender"].T[known["gender"]]
    log_factor = (
        log_factor + table.log_factors["age_band"].T[np.searchsorted(AGE_CUTS_YEARS, known["age_years"], "right")]
    )
    log_factor += table.log_factors["education"].T[known["education"]]
    log_factor += held.astype(np.float64) @ table.log_factors["interests"].T
    log_factor += known["big_five"] / 100.0 @ table.log_factors["trait"].T
    active = np.where(table.used, table.active_frac, 0.0)
    factor = np.exp(log_factor)
    odds = active * np.stack([table.drawn_frac * factor, (1.0 - table.drawn_frac) / factor])
    return odds / (odds.sum(axis=0) + 1.0 - active)


def sample(
    uniforms: Float[np.ndarray, "U P"], known: Mapping[str, np.ndarray], locale: str = locales.DEFAULT
) -> Int[np.ndarray, "U P"]:
    """Draws the preferences of users: 1 drawn to, -1 averse, 0 neutral, int8 [U, 90].

    Args:
      uniforms: in (0, 1), one for each user and dimension.
      known: as in `chances`.
      locale: the market.
    """
    drawn, averse = chances(known, locale)
    return (uniforms < drawn).astype(np.int8) - (uniforms > 1.0 - averse).astype(np.int8)
