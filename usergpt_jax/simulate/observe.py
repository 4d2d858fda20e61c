"""Which tags the emitted log can tell: the truth is the hidden value where the evidence suffices, else NA.

The rule, for each tag (numbers in `RULES`): count the user's own events (cause `need`; routine, gifts, misclicks, bait
and stale stages do not count) of desires that declare the tag in `data/needs.csv` and fit the hidden value, that is
whose weight for it is at least 0.3 of its largest weight, within the last `window_days`. The tag is observable when
there are at least `events` of them. For values that show by absence (no pet, single) or by the whole way of living, a
rich log of at least `rich` own events in the window does as well. Place tags count events with a place;
consumption_level counts own purchases with a price; interests keep each interest with at least `events` own events.
"""

import dataclasses
import functools

import numpy as np

from usergpt_jax import schema
from usergpt_jax.schema import NA
from usergpt_jax.simulate import evolution, priors
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate.emit import Events
from usergpt_jax.tags import HPR18

_FIT = np.log(0.3)
_OWN = tuple(schema.CAUSES.index(name) for name in ("need", "routine"))
_NEED = schema.CAUSES.index("need")
_PURCHASE = schema.ACTIONS.index("purchase")
_FAR = 100_000


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a tag is observable.

    Attributes:
      events: own events of fitting desires that suffice.
      window_days: how far back from as_of they count.
      rich: own events in the window that suffice without; `_FAR` where nothing else does.
      rich_values: values that a rich log shows; empty means any.
    """

    events: int
    window_days: int
    rich: int
    rich_values: tuple[str, ...] = ()


RULES = {
    "gender": Rule(5, 800, _FAR),
    "age_band": Rule(4, 800, 90),
    "life_stage": Rule(3, 365, 50, ("single_working", "couple_no_child", "empty_nest", "retired")),
    "marital_status": Rule(3, 730, 70),
    "child_stage": Rule(3, 300, 50, ("none", "adult")),
    "housing_tenure": Rule(2, 500, _FAR),
    "consumption_level": Rule(12, 800, _FAR),
    "pet": Rule(3, 500, 50, ("none",)),
    "education": Rule(2, 800, 220),
    "occupation": Rule(3, 500, _FAR),
    "resident_province": Rule(6, 365, _FAR),
    "resident_city": Rule(9, 365, _FAR),
    "city_tier": Rule(9, 365, _FAR),
    "hometown_province": Rule(1, 800, 90),
    "activity_zone": Rule(2, 500, _FAR),
    "mobility_status": Rule(1, 800, 60, ("local",)),
    "travel_pattern": Rule(2, 800, 70, ("none",)),
}
INTEREST_EVENTS = 3
_PLACE_TAGS = ("resident_province", "resident_city", "city_tier")


@functools.cache
def _fits() -> dict[str, np.ndarray]:
    """For each closed tag of the state, whether a desire speaks for a value [N, V]."""
    library = needs_lib.load()
    found = {}
    for tag in evolution.STATE_TAGS:
        rows = [i for i, (group, _) in enumerate(needs_lib.FEATURE_NAMES) if group == tag]
        weights = library.weights[rows]
        found[tag] = (weights >= weights.max(axis=0) + _FIT).T & library.evidence[:, [HPR18.names.index(tag)]]
    return found


@functools.cache
def _interest_of_need() -> np.ndarray:
    """The interest each desire speaks for, or -1 [N]."""
    library = needs_lib.load()
    rows = [i for i, (group, _) in enumerate(needs_lib.FEATURE_NAMES) if group == "interests"]
    declared = library.evidence[:, HPR18.names.index("interests")]
    return np.where(declared, library.weights[rows].argmax(axis=0), -1)


def observed_tags(
    hidden: dict[str, np.ndarray], interests: np.ndarray, events: Events, as_of_second: int
) -> dict[str, np.ndarray]:
    """The truth columns of a batch: hidden values with NA where the log tells too little.

    Args:
      hidden: hidden value of each tag as text arrays [U].
      interests: interest numbers, strongest first, -1 where none [U, 4].
      events: the batch's events.
      as_of_second: when truth is read, seconds from 1970-01-01.
    """
    n_users = len(interests)
    days_ago = (as_of_second - events.second) / 86_400
    need_event = events.cause == _NEED
    own_event = np.isin(events.cause, _OWN)
    columns = {}
    for tag, rule in RULES.items():
        recent = days_ago <= rule.window_days
        if tag in _PLACE_TAGS:
            counted = own_event & recent & (events.place >= 0)
        elif tag == "consumption_level":
            counted = own_event & recent & (events.action == _PURCHASE) & ~np.isnan(events.price)
        else:
            counted = need_event & recent & _speaks_for(tag, hidden, events)
        enough = np.bincount(events.user[counted], minlength=n_users) >= rule.events
        rich = np.bincount(events.user[own_event & recent], minlength=n_users) >= rule.rich
        if rule.rich_values:
            rich &= np.isin(hidden[tag], rule.rich_values)
        columns[tag] = np.where(enough | rich, hidden[tag], NA)
    columns["interests"] = _observed_interests(interests, events, need_event)
    return columns


def _speaks_for(tag: str, hidden: dict[str, np.ndarray], events: Events) -> np.ndarray:
    """Whether each event's desire declares the tag and fits its user's hidden value [E]."""
    if tag not in evolution.STATE_TAGS:
        return needs_lib.load().evidence[events.need, HPR18.names.index(tag)]
    values = list(HPR18[tag].values)
    number = np.array([values.index(value) for value in hidden[tag]])
    return _fits()[tag][events.need, number[events.user]]


def _observed_interests(interests: np.ndarray, events: Events, need_event: np.ndarray) -> np.ndarray:
    about = _interest_of_need()[events.need]
    counts = np.zeros((len(interests), len(priors.INTERESTS)), np.int64)
    chosen = need_event & (about >= 0)
    np.add.at(counts, (events.user[chosen], about[chosen]), 1)
    rows = [
        ", ".join(priors.INTERESTS[i] for i in chosen_row if i >= 0 and count[i] >= INTEREST_EVENTS) or NA
        for chosen_row, count in zip(interests, counts, strict=True)
    ]
    return np.array(rows)
