"""Which tags the emitted log can tell: the truth is the hidden value where the evidence suffices, else NA.

Only events that last in a profile are counted: own purchases that were not sent back, and own visits (causes `need` and
`routine`; gifts, proxy buying, shared accounts, misclicks, bait and stale stages do not count). The rule for each tag,
with the numbers of `RULES`: count the events of cause `need`, in the last `window_days`, of desires that declare the
tag in `data/needs.csv` and fit the hidden value, that is whose weight for it is at least 0.3 of its largest weight. The
tag is observable when there are at least `events` of them. For values that show by absence (no pet, single) or by the
whole way of living, `rich` lasting events in the window do as well. Place tags count events in the city or province
that is told, the hometown of who left it those that declare it and lie there; consumption_level counts purchases with a
price; interests keep each interest with at least `INTEREST_EVENTS` events.
"""

import dataclasses
import functools

import numpy as np

from usergpt_jax import schema
from usergpt_jax.schema import NA
from usergpt_jax.simulate import evolution, places, priors
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.simulate.emit import Events
from usergpt_jax.tags import HPR18

_FIT = -77  # 64 ln 0.3: log factors are multiples of 1/64 nat
_NEED, _ROUTINE, _RETURN = (schema.CAUSES.index(name) for name in ("need", "routine", "return"))
_PURCHASE, _VISIT = (schema.ACTIONS.index(name) for name in ("purchase", "visit"))
_FAR = 1_000_000


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a tag is observable.

    Attributes:
      events: lasting events of fitting desires that suffice.
      window_days: how far back from as_of they count.
      rich: lasting own events of any kind in the window that suffice without; `_FAR` where nothing else does.
      rich_values: values that a rich log shows; empty means any.
    """

    events: int
    window_days: int
    rich: int
    rich_values: tuple[str, ...] = ()


RULES = {
    "gender": Rule(3, 1100, _FAR),
    "age_band": Rule(2, 1100, 200),
    "life_stage": Rule(2, 400, 45, ("single_working", "couple_no_child", "empty_nest", "retired")),
    "marital_status": Rule(2, 730, 90),
    "child_stage": Rule(2, 300, 30, ("none", "adult")),
    "housing_tenure": Rule(2, 1100, _FAR),
    "consumption_level": Rule(14, 800, _FAR),
    "pet": Rule(2, 800, 60, ("none",)),
    "education": Rule(2, 1100, 220),
    "occupation": Rule(2, 1100, _FAR),
    "resident_province": Rule(8, 365, _FAR),
    "resident_city": Rule(11, 365, _FAR),
    "city_tier": Rule(11, 365, _FAR),
    "hometown_province": Rule(1, 1100, 80),
    "activity_zone": Rule(3, 800, _FAR),
    "mobility_status": Rule(1, 1100, 70, ("local",)),
    "travel_pattern": Rule(2, 800, 70, ("none",)),
}
INTEREST_EVENTS = 2
_PLACE_TAGS = ("resident_province", "resident_city", "city_tier")


def observed_tags(
    hidden: dict[str, np.ndarray], interests: np.ndarray, events: Events, as_of_second: int, locale: str
) -> dict[str, np.ndarray]:
    """The truth columns of a batch: hidden values with NA where the log tells too little.

    Args:
      hidden: hidden value of each tag as text arrays [U].
      interests: numbers of the interests held at as_of, strongest first, -1 where none [U, 5].
      events: the batch's events.
      as_of_second: when truth is read, seconds from 1970-01-01.
      locale: market whose desires the events name.
    """
    n_users = len(interests)
    rows = lasting_rows(events)
    user, need = events.user[rows].astype(np.int64), events.need[rows]
    age_seconds = as_of_second - events.second[rows]
    of_need = events.cause[rows] == _NEED
    purchase = events.action[rows] == _PURCHASE
    priced = purchase & ~np.isnan(events.price[rows])
    at_home = _at_home(hidden, user, events.place[rows], locale)
    windows = {rule.window_days for rule in RULES.values()}
    recent = {days: age_seconds <= days * 86_400 for days in windows}
    totals = {days: np.bincount(user[inside], minlength=n_users) for days, inside in recent.items()}
    columns = {}
    for tag, rule in RULES.items():
        if tag in _PLACE_TAGS:
            counted = at_home["province" if tag == "resident_province" else "city"]
        elif tag == "hometown_province":
            counted = of_need & _speaks_for(tag, hidden[tag], user, need, locale) & at_home["hometown"]
        elif tag == "consumption_level":
            counted = priced
        else:
            counted = of_need & _speaks_for(tag, hidden[tag], user, need, locale)
        enough = np.bincount(user[counted & recent[rule.window_days]], minlength=n_users) >= rule.events
        rich = totals[rule.window_days] >= rule.rich
        if tag == "hometown_province":  # only of those who never left does a log without journeys tell it
            rich &= hidden[tag] == hidden["resident_province"]
        if rule.rich_values:
            rich &= np.isin(hidden[tag], rule.rich_values)
        columns[tag] = np.where(enough | rich, hidden[tag], NA)
    columns["interests"] = _observed_interests(interests, user[of_need], need[of_need], locale)
    return columns


def _at_home(hidden: dict[str, np.ndarray], user: np.ndarray, place: np.ndarray, locale: str) -> dict[str, np.ndarray]:
    """Whether each event is in its user's city, in their province, and in the province of their hometown."""
    where = places.load(locale)
    names = np.array([city.name for city in where.cities])
    provinces = np.array([*(city.province for city in where.cities), *[""] * (len(where.destinations) - len(names))])
    known = place >= 0
    city = np.maximum(place, 0) // where.n_parts
    home = np.argsort(names)[np.searchsorted(np.sort(names), hidden["resident_city"])]
    return {
        "city": known & (city == home[user]),
        "province": known & (provinces[city] == hidden["resident_province"][user]),
        "hometown": known & (provinces[city] == hidden["hometown_province"][user]),
    }


def lasting_rows(events: Events) -> np.ndarray:
    """Rows of the events that last in a profile: own purchases that were kept, and own visits."""
    rows = np.flatnonzero((events.action == _PURCHASE) | (events.action == _VISIT))
    cause = events.cause[rows]
    own = (cause == _NEED) | (cause == _ROUTINE)
    returned, _ = match_returns(events, rows[events.action[rows] == _PURCHASE])
    return np.setdiff1d(rows[own], returned)


def match_returns(events: Events, purchases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was sent back: each return and the user's latest purchase of the same title before it.

    Args:
      events: of a batch.
      purchases: rows of purchases, returns among them.

    Returns:
      Rows of the purchases and rows of their returns, aligned; returns of nothing are left out.
    """
    is_return = events.cause[purchases] == _RETURN
    bought, sent_back = purchases[~is_return], purchases[is_return]
    if not len(bought) or not len(sent_back):
        return bought[:0], sent_back[:0]
    first_second = events.second[purchases].min()
    n_titles = int(events.title[purchases].max()) + 1
    span = int(events.second[purchases].max() - first_second) + 1

    def key(rows: np.ndarray) -> np.ndarray:
        item = events.user[rows].astype(np.int64) * n_titles + events.title[rows]
        return item * span + (events.second[rows] - first_second)

    keys = key(bought)
    order = np.argsort(keys)
    wanted = key(sent_back)
    at = np.searchsorted(keys[order], wanted) - 1
    found = (at >= 0) & (keys[order[at]] // span == wanted // span)
    return bought[order[at[found]]], sent_back[found]


def numbers_of(values: tuple[str, ...], words: np.ndarray) -> np.ndarray:
    """The number of each word in `values`; every word is one of them."""
    order = np.argsort(values)
    return order[np.searchsorted(np.array(values)[order], words)]


@functools.cache
def _fits(locale: str) -> dict[str, np.ndarray]:
    """For each closed tag of the state, whether a desire speaks for a value [N, V]."""
    library = needs_lib.load(locale)
    found = {}
    for tag in evolution.STATE_TAGS:
        rows = [i for i, (group, _) in enumerate(needs_lib.FEATURE_NAMES) if group == tag]
        weights = library.state_weights[rows]
        found[tag] = (weights >= weights.max(axis=0) + _FIT).T & library.evidence[:, [HPR18.names.index(tag)]]
    return found


@functools.cache
def _interest_of_need(locale: str) -> np.ndarray:
    """The interest each desire speaks for, or -1 [N]."""
    library = needs_lib.load(locale)
    declared = library.evidence[:, HPR18.names.index("interests")]
    return np.where(declared, library.interest_weights.argmax(axis=0), -1)


def _speaks_for(tag: str, hidden: np.ndarray, user: np.ndarray, need: np.ndarray, locale: str) -> np.ndarray:
    """Whether each event's desire declares the tag and fits its user's hidden value [E]."""
    if tag not in evolution.STATE_TAGS:
        return needs_lib.load(locale).evidence[need, HPR18.names.index(tag)]
    return _fits(locale)[tag][need, numbers_of(HPR18[tag].values, hidden)[user]]


def _observed_interests(interests: np.ndarray, user: np.ndarray, need: np.ndarray, locale: str) -> np.ndarray:
    """The interests that enough events speak for, as text [U]."""
    about = _interest_of_need(locale)[need]
    n_interests = len(priors.INTERESTS)
    key = (user * n_interests + about)[about >= 0]
    counts = np.bincount(key, minlength=len(interests) * n_interests).reshape(len(interests), n_interests)
    held = np.take_along_axis(counts, np.maximum(interests, 0), axis=1)
    text = interest_text(np.where(held >= INTEREST_EVENTS, interests, -1))
    return np.where(text == "", NA, text)


def interest_text(interests: np.ndarray) -> np.ndarray:
    """Names of the interests [U, K], -1 where none, joined by ", " [U]."""
    names = np.array(["", *priors.INTERESTS])[interests + 1]
    text = names[:, 0]
    for column in names.T[1:]:
        joint = np.where((text != "") & (column != ""), ", ", "")
        text = np.char.add(np.char.add(text, joint), column)
    return text
