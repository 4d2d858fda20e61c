"""RULE(U): what a human analyst's lexicon reads out of a MUB, without any learning.

`data/evidence.csv` says which item speaks for which value; places are read with the gazetteer. The rules serve as the
benchmark's baseline, as a teacher, and as pseudo-labels of logs that come without truth.

Paper: §3.3 (rule function gives pseudo labels RULE(U)). Differs from the paper: its rules were not published.
"""

import bisect
import collections
import dataclasses
import functools
import re

from usergpt_jax import gazetteer, locales
from usergpt_jax.schema import NA, TagSchema
from usergpt_jax.tasks.evidence import Citation, core, line_items

# What an action says about the one who acts: paying and going there say more than looking.
ACTION_WEIGHTS = {"Purchase": 3.0, "Visit": 2.0, "Cart": 1.5, "Favorite": 1.5, "Click": 1.0, "Search": 1.0}
# A value needs this much evidence, about one purchase of a telling item; less is NA.
MIN_SCORE = 2.0
_HEADER = re.compile(r"\[Source: ([^\]]*)\] \[TIME: [^\]]*\] \[TYPE: ([^\]]*)\]")
_BANDS = {"premium": 1.0, "budget": -1.0}
# Midway between the medians of `dearness` of the levels among 1,024 simulated users.
_LEVEL_EDGES = (-0.47, -0.28, -0.01, 0.31)
_LEVELS = ("low", "mid_low", "mid", "mid_high", "high")
_SHOPS = ("E-commerce", "Delivery")  # travel is dear or cheap by the trip, bills by the home
MIN_BOUGHT = 10  # items below which prices say nothing


@dataclasses.dataclass(frozen=True)
class Sighting:
    """An item on a line: where it stands and how much its action says."""

    line: int
    source: str
    action: str
    item: str

    @property
    def weight(self) -> float:
        """Weight of the action."""
        return ACTION_WEIGHTS[self.action]


@dataclasses.dataclass
class Support:
    """How much speaks for a value, and what."""

    score: float = 0.0
    cited: list[Citation] = dataclasses.field(default_factory=list)

    def add(self, sighting: Sighting, weight: float) -> None:
        """Counts a sighting for the value."""
        self.score += weight
        self.cited.append(Citation(sighting.line, sighting.item))


def sightings(mub: str) -> list[Sighting]:
    """All items of a MUB with their lines; lines of an unknown form or action are passed over."""
    found = []
    for number, line in enumerate(mub.split("\n"), start=1):
        match = _HEADER.match(line)
        if match and match.group(2) in ACTION_WEIGHTS:
            found += [Sighting(number, match.group(1), match.group(2), item) for item in line_items(line)]
    return found


def support(mub: str, schema: TagSchema) -> dict[str, dict[str, Support]]:
    """Per tag, what speaks for each value."""
    seen = sightings(mub)
    found: dict[str, dict[str, Support]] = {name: collections.defaultdict(Support) for name in schema.names}
    for sighting in seen:
        for tag, value, weight in lexicon().get(core(sighting.item).lower(), ()):
            if tag in found:
                found[tag][value].add(sighting, weight * sighting.weight)
    for tag, values in (
        *_places(seen).items(),
        ("hometown_province", _hometown(seen)),
        ("consumption_level", _consumption(seen)),
    ):
        if tag in found:
            for value, what in values.items():
                found[tag][value] = what
    return {tag: dict(values) for tag, values in found.items()}


def predict(mub: str, schema: TagSchema) -> dict[str, str]:
    """The value of each tag with the most support, NA under `MIN_SCORE`."""
    return decide(support(mub, schema), schema)


def decide(found: dict[str, dict[str, Support]], schema: TagSchema) -> dict[str, str]:
    """Turns support into values; an open tag lists its best ones."""
    values = {}
    for tag in schema.tags:
        ranked = sorted(found[tag.name].items(), key=lambda item: (-item[1].score, item[0]))
        enough = [value for value, what in ranked if what.score >= MIN_SCORE]
        values[tag.name] = ", ".join(enough[: tag.max_items]) if enough else NA
    if {"mobility_status", "resident_province", "hometown_province"} <= set(values):
        here, home = values["resident_province"], values["hometown_province"]
        if values["mobility_status"] == NA and NA not in (here, home):
            values["mobility_status"] = "local" if here == home else "settled_migrant"
    return values


@functools.cache
def lexicon() -> dict[str, tuple[tuple[str, str, float], ...]]:
    """Item in the words of any locale, lower case -> (tag, value, weight)."""
    entries: dict[str, dict[tuple[str, str, float], None]] = collections.defaultdict(dict)
    for locale in locales.names():
        for row in locales.read_rows("evidence.csv", locale):
            entries[row["item"].lower()][row["tag"], row["value"], float(row["weight"])] = None
    return {item: tuple(values) for item, values in entries.items()}


def _band(item: str) -> float:
    """1 for a premium item, -1 for a budget one, else 0."""
    attributes = item.partition(" (")[2].rstrip(")").split("; ")
    return next((value for name, value in _BANDS.items() if name in attributes), 0.0)


def _places(seen: list[Sighting]) -> dict[str, dict[str, Support]]:
    """Where the user lives: cities named anywhere but in travel, weighed by action."""
    city_support: dict[str, Support] = collections.defaultdict(Support)
    for sighting in seen:
        city = gazetteer.city_named(sighting.item)
        if city and sighting.source != "Travel":
            city_support[city.name].add(sighting, sighting.weight)
    found: dict[str, dict[str, Support]] = {"resident_city": dict(city_support)}
    for tag, field in (("resident_province", "province"), ("city_tier", "tier")):
        by_value: dict[str, Support] = collections.defaultdict(Support)
        for name, what in city_support.items():
            city = gazetteer.city_named(name)
            value = by_value[getattr(city, field)]
            value.score += what.score
            value.cited += what.cited
        found[tag] = dict(by_value)
    return found


def _hometown(seen: list[Sighting]) -> dict[str, Support]:
    """Where the user comes from: provinces of bought trips."""
    found: dict[str, Support] = collections.defaultdict(Support)
    for sighting in seen:
        city = gazetteer.city_named(sighting.item)
        if city and sighting.source == "Travel" and sighting.action == "Purchase":
            found[city.province].add(sighting, sighting.weight)
    return dict(found)


def price_levels(seen: list[Sighting]) -> set[str]:
    """The consumption level that prices alone suggest, as a set of none or one."""
    return set(_consumption(seen))


def dearness(seen: list[Sighting]) -> float | None:
    """How dear the user buys, -1 to 1: mean of premium (1), unmarked (0) and budget (-1) items bought in shops.

    None where they are too few to tell.
    """
    bands = [_band(sighting.item) for sighting in _bought(seen)]
    return sum(bands) / len(bands) if len(bands) >= MIN_BOUGHT else None


def _bought(seen: list[Sighting]) -> list[Sighting]:
    return [sighting for sighting in seen if sighting.action == "Purchase" and sighting.source in _SHOPS]


def _consumption(seen: list[Sighting]) -> dict[str, Support]:
    """The level whose edges `dearness` lies between; everything bought speaks for it."""
    mean = dearness(seen)
    if mean is None:
        return {}
    bought = _bought(seen)
    telling = [Citation(s.line, s.item) for s in bought if _band(s.item) * mean > 0]
    score = sum(sighting.weight for sighting in bought)
    level = _LEVELS[bisect.bisect(_LEVEL_EDGES, mean)]
    return {level: Support(score, telling or [Citation(s.line, s.item) for s in bought[:2]])}
