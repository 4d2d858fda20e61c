"""Targets of the fidelity report: what a statistic should be, how far off it may be, and who says so."""

import csv
import dataclasses
import difflib
import io
import math
from collections.abc import Collection
from typing import NamedTuple

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError

FILE = "fidelity_targets.csv"
_COLUMNS = ("name", "group", "locale", "target", "tolerance", "source", "note")
# Headings of the report, in its order; those of people are told first.
GROUPS = (
    "People: age and sex",
    "People: marriage",
    "People: schooling and work",
    "People: households",
    "People: income",
    "People: places",
    "Actions and volume",
    "Hours of the day",
    "Sales and holidays",
    "Places",
    "Rhythm",
    "Popularity and interest",
    "Decisions and causes",
)


@dataclasses.dataclass(frozen=True)
class Target:
    """One row of `fidelity_targets.csv`.

    Attributes:
      name: of the statistic.
      group: heading that it is reported under, one of `GROUPS`.
      target: the value to reach; NaN for a statistic that is shown without a verdict.
      tolerance: how far off it may be on either side.
      source: where the target comes from.
      note: how the statistic is defined where its name does not say.
    """

    name: str
    group: str
    target: float
    tolerance: float
    source: str
    note: str


class Measure(NamedTuple):
    """A statistic of a log: its value (NaN where the log has too little), and the standard error of sampling users."""

    value: float
    error: float = 0.0


class Finding(NamedTuple):
    """A target beside what was measured: "ok", "MISS", or "-" where there is no target or nothing to measure."""

    target: Target
    measure: Measure
    verdict: str


def load(locale: str, names: Collection[str]) -> tuple[Target, ...]:
    """The targets that hold for a locale: rows whose column `locale` names it or is empty.

    Args:
      locale: the market.
      names: every statistic that is measured of some log.

    Raises:
      InputError: see `parse`.
    """
    return parse(locales.read_text(FILE, locale), locale, names)


def parse(text: str, locale: str, names: Collection[str]) -> tuple[Target, ...]:
    """The targets of the text of such a file.

    Raises:
      InputError: a row that cannot be read, an unknown statistic, group or locale in any row, or a name that stands
        twice for the locale.
    """
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found: dict[str, Target] = {}
    for number, row in enumerate(csv.DictReader(io.StringIO("\n".join(lines))), start=1):
        where = f"{FILE} row {number}"
        if missing := [name for name in _COLUMNS if row.get(name) is None]:
            raise InputError(f"{where}: no value for {missing[0]!r}; expected the columns {', '.join(_COLUMNS)}")
        if row["name"] not in names:
            raise InputError(f"{where}: unknown statistic {row['name']!r}; expected {_near(row['name'], names)}")
        if row["group"] not in GROUPS:
            raise InputError(f"{where}: unknown group {row['group']!r}; expected one of {'; '.join(GROUPS)}")
        if row["locale"] not in ("", *locales.names()):
            known = ", ".join(locales.names())
            raise InputError(f"{where}: unknown locale {row['locale']!r}; expected one of {known}, or nothing for all")
        if row["locale"] not in ("", locale):
            continue
        if row["name"] in found:
            raise InputError(f"{where}: {row['name']!r} stands twice; expected one row a statistic")
        target, tolerance = _number(row, "target", where), _number(row, "tolerance", where)
        if math.isnan(target) != math.isnan(tolerance) or tolerance < 0:
            raise InputError(f"{where}: tolerance {row['tolerance']!r}: expected one of 0 or more beside each target")
        found[row["name"]] = Target(row["name"], row["group"], target, tolerance, row["source"], row["note"])
    return tuple(found.values())


def judge(targets: tuple[Target, ...], measures: dict[str, Measure]) -> list[Finding]:
    """Each target with its measure.

    A measure is ok within tolerance plus two standard errors, so that a run of few users does not fail by chance. One
    that no row names is not judged: rows of another locale are not among `targets`.
    """
    findings = []
    for target in targets:
        measure = measures.get(target.name, Measure(float("nan")))
        error = 0.0 if math.isnan(measure.error) else measure.error
        if math.isnan(target.target) or math.isnan(measure.value):
            verdict = "-"
        else:
            off = abs(measure.value - target.target)
            verdict = "ok" if off <= target.tolerance + 2 * error + 1e-12 else "MISS"
        findings.append(Finding(target, measure, verdict))
    return findings


def _near(name: str, names: Collection[str]) -> str:
    """What a name could have meant: there are too many names to list them all."""
    near = difflib.get_close_matches(name, sorted(names), n=3)
    return f"a name that launch/fidelity.py measures{', such as ' if near else ''}{', '.join(map(repr, near))}"


def _number(row: dict[str, str], column: str, where: str) -> float:
    if not row[column]:
        return float("nan")
    try:
        return float(row[column])
    except ValueError:
        raise InputError(f"{where}: {column} {row[column]!r}: expected a number or nothing") from None
