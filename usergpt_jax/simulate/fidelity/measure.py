"""All that is measured of a run, as one record."""

import dataclasses
import pathlib

import numpy as np

from usergpt_jax.simulate.fidelity import behaviour, compare, decisions, log, population, prediction, probe, targets
from usergpt_jax.simulate.fidelity import days as days_lib
from usergpt_jax.simulate.fidelity.log import Log
from usergpt_jax.simulate.fidelity.targets import Finding, Measure

_NEXT_NAMES = ("next category, first guess", "next category, first five guesses")


@dataclasses.dataclass(frozen=True)
class Report:
    """All that was measured of a run.

    Attributes:
      events: the log.
      days: its calendar.
      people: its people; None for a log without users.parquet.
      findings: each target with its measure.
      beside: for comparison, by name: people as they are on the platform, behaviour as it is in the real log.
      probes: the leakage probe; empty without users.parquet.
      real: the real log it is compared with, if any.
      comparisons: the measures of that comparison.
      hits: next-category hits of the simulated and the real log, (top 1, top 5) each.
    """

    events: Log
    days: days_lib.Days
    people: population.People | None
    findings: list[Finding]
    beside: dict[str, Measure]
    probes: list[probe.Probe]
    real: Log | None
    comparisons: list[compare.Comparison]
    hits: dict[str, tuple[float, ...]]


def names() -> frozenset[str]:
    """Every statistic that `measure` can find: what a row of targets may name."""
    return frozenset((*behaviour.NAMES, *days_lib.NAMES, *decisions.NAMES, *population.names(), *_NEXT_NAMES))


def measure(events: Log, users: pathlib.Path, locale: str, real: Log | None) -> Report:
    """All measures of a log, without effects on files.

    Raises:
      InputError: the targets cannot be read, or a log holds too little of what is measured.
    """
    wanted = targets.load(locale, names())
    days = days_lib.days_of(events, locale)
    found = behaviour.measures(events) | days_lib.measures(events, days) | decisions.measures(events, locale)
    shopping = log.subset(events, events.where("ecommerce", "purchase") & (events.category.number >= 0))
    top = prediction.next_hits(shopping.user.number, shopping.category.number, behaviour.NEXT_SHARES)
    found |= {name: Measure(hits) for name, hits in zip(_NEXT_NAMES, top, strict=True)}
    people, beside, probes = None, {}, []
    if users.is_file():
        people = population.read(users, locale)
        found |= population.measures(people)
        found |= days_lib.trip_uplift(population.trips(people)[0], days)
        beside |= population.measures(people._replace(weight=np.ones(len(people.weight))))
        probes = probe.probe(events, users, locale)
    comparisons, hits = [], {}
    if real is not None:
        comparisons = compare.compare(events, real)
        hits = next_hits(*compare.aligned(events, real))
        beside |= behaviour.measures(real) | days_lib.hours_of_day(real)
    findings = targets.judge(wanted, found)
    return Report(events, days, people, findings, beside, probes, real, comparisons, hits)


def next_hits(simulated: Log, real: Log) -> dict[str, tuple[float, ...]]:
    """Hits of the next category, or item, in both logs."""
    found = {}
    for name, one, other in (("simulated", simulated, real), ("real", real, simulated)):
        kinds = compare.things(one, other)
        known = kinds.number >= 0
        found[name] = prediction.next_hits(one.user.number[known], kinds.number[known], behaviour.NEXT_SHARES)
    return found
