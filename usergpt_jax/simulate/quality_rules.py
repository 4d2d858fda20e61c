"""The consistency rules of `data/quality_rules.csv`: what an own purchase or visit needs of the persona of its day."""

import dataclasses
import functools

import numpy as np

from usergpt_jax import locales, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import catalog
from usergpt_jax.simulate import needs as needs_lib

FILE = "quality_rules.csv"
_CAUSE_SETS = {
    "own": ("need", "routine"),
    "user": tuple(cause for cause in schema.CAUSES if cause not in ("shared_account", "return")),
}
_ALWAYS = -(10**6)  # an age that everybody has


@dataclasses.dataclass(frozen=True)
class StateRule:
    """One row of the file.

    Attributes:
      name: how the rule is counted.
      leaves: leaves it speaks about [L].
      actions: actions it judges [A].
      causes: causes it judges [C].
      clauses: features of which one must be 1, for each clause [K, F].
      min_age_years: at the day; far below 0 where every age will do.
    """

    name: str
    leaves: np.ndarray
    actions: np.ndarray
    causes: np.ndarray
    clauses: np.ndarray
    min_age_years: int

    @property
    def asks_age(self) -> bool:
        """Whether the rule has a least age."""
        return self.min_age_years > _ALWAYS


@functools.cache
def load(locale: str) -> tuple[StateRule, ...]:
    """The rules of a locale.

    Raises:
      InputError: a row names an unknown leaf, action, cause, group or value, or an age that is no number.
    """
    return parse(locales.read_rows(FILE, locale), locale)


def parse(rows: list[dict[str, str]], locale: str) -> tuple[StateRule, ...]:
    """The rules of the file's rows; raises as `load`."""
    return tuple(_rule(row, f"{FILE} rule {row['rule']!r}", locale) for row in rows)


def _rule(row: dict[str, str], where: str, locale: str) -> StateRule:
    actions = [_known(action, schema.ACTIONS, f"{where}: action") for action in row["actions"].split("|")]
    causes = [
        _known(cause, schema.CAUSES, f"{where}: cause")
        for word in row["causes"].split("|")
        for cause in _CAUSE_SETS.get(word, (word,))
    ]
    clauses = [_clause(text, where) for text in filter(None, row["condition"].split(";"))]
    return StateRule(
        name=row["rule"],
        leaves=_leaves(row["leaves"], where, locale),
        actions=np.isin(np.arange(len(schema.ACTIONS)), actions),
        causes=np.isin(np.arange(len(schema.CAUSES)), causes),
        clauses=np.array(clauses, bool).reshape(len(clauses), len(needs_lib.FEATURE_NAMES)),
        min_age_years=_age(row["min_age"], where, locale),
    )


def _leaves(text: str, where: str, locale: str) -> np.ndarray:
    shelf = catalog.load(locale)
    chosen = np.zeros(len(shelf.leaves), bool)
    for word in text.split("|"):
        group, _, name = word.rpartition(":")
        names = {"": shelf.leaves, "level1": shelf.level1, "level2": shelf.level2}.get(group)
        if names is None or name not in names:
            raise InputError(
                f"{where}: {word!r} is no leaf of the catalogue, expected NAME, level1:NAME or level2:NAME"
            )
        chosen |= np.array(names) == name
    return chosen


def _clause(text: str, where: str) -> np.ndarray:
    """Which features satisfy a clause such as `pet:cat/both|phase:adopt` [F]."""
    chosen = np.zeros(len(needs_lib.FEATURE_NAMES), bool)
    groups = {group for group, _ in needs_lib.FEATURE_NAMES}
    for alternative in text.split("|"):
        group, _, words = alternative.partition(":")
        if group not in groups:
            raise InputError(f"{where}: {alternative!r} names the unknown group {group!r}")
        values = tuple(value for name, value in needs_lib.FEATURE_NAMES if name == group)
        named = words.removeprefix("!").split("/")
        for word in named:
            _known(word, values, f"{where}: value of {group}")
        wanted = {value for value in values if (value in named) != words.startswith("!")}
        chosen |= np.array([name == group and value in wanted for name, value in needs_lib.FEATURE_NAMES])
    return chosen


def _age(text: str, where: str, locale: str) -> int:
    """The least age of a locale: `18/us=21` is 21 in us and 18 elsewhere."""
    general, *others = text.split("/") if text else [str(_ALWAYS)]
    by_locale = {entry.partition("=")[0]: entry.partition("=")[2] for entry in others}
    chosen = by_locale.get(locale, general)
    try:
        return int(chosen)
    except ValueError:
        raise InputError(f"{where}: min_age {text!r}: expected years such as 18 or 18/us=21") from None


def _known(word: str, values: tuple[str, ...], what: str) -> int:
    if word not in values:
        raise InputError(f"{what} {word!r} is not one of {', '.join(values)}")
    return values.index(word)
