"""Trips: who starts one on which day, where to, for how long, and what is booked and visited.

A trip is planned two weeks ahead: the bookings fall into the week of the plan, the visits into the days away, when
the user is at the destination.
"""

import dataclasses
import functools

import numpy as np

from usergpt_jax import schema
from usergpt_jax.simulate import calendar, fixed, noise, places
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.tags import HPR18

KINDS = ("home", "business", "leisure", "outbound", "near")
LEAD_WEEKS = 2
PATTERNS = HPR18["travel_pattern"].values
# Trips a year by travel pattern, and the share of each kind among them (rows as PATTERNS, columns as KINDS). Ours.
TRIPS_PER_YEAR = np.array([0.35, 3.0, 3.2, 9.0, 2.6])
KIND_SHARE = np.array(
    [
        [0.15, 0.0, 0.15, 0.0, 0.7],
        [0.88, 0.0, 0.06, 0.0, 0.06],
        [0.1, 0.02, 0.66, 0.02, 0.2],
        [0.08, 0.8, 0.08, 0.02, 0.02],
        [0.06, 0.04, 0.26, 0.6, 0.04],
    ]
)
DAYS = np.array([[2, 8], [1, 4], [2, 6], [5, 9], [1, 3]], np.int32)  # shortest and longest trip of each kind
_PLACE_OF_KIND = ("dest_home", "dest_business", "dest_leisure", "dest_outbound", "dest_near")
_LEVELS = HPR18["consumption_level"].values
_PLEASURES = ("dining", "entertainment", "hobbies", "travel")  # themes of what visitors do in a city
_OUT = tuple(schema.SOURCES.index(name) for name in ("poi", "delivery"))


@dataclasses.dataclass(frozen=True)
class Travel:
    """Tables of trips, integers throughout.

    Attributes:
      booking: desire booked, by kind, consumption level and draw: int32 [KINDS, 5, noise.N_DRAWS].
      visiting: desire of a visit at the destination, one that anybody may have, by draw: int32 [noise.N_DRAWS].
      planned: whether a desire is booked through trips only [N].
      kind_cdf: kind of a trip by pattern [5, KINDS].
      away_cdf: destination of business, leisure and outbound trips [3, Z].
      near_cdf: destination of a near trip by province of residence [provinces, Z].
    """

    booking: np.ndarray
    visiting: np.ndarray
    planned: np.ndarray
    kind_cdf: np.ndarray
    away_cdf: np.ndarray
    near_cdf: np.ndarray


@functools.cache
def load(locale: str) -> Travel:
    """The tables of a locale."""
    library, where = needs_lib.load(locale), places.load(locale)
    rate = np.exp(library.log_rate / fixed.LOG_STEPS)
    numbers = [needs_lib.PLACES.index(name) for name in _PLACE_OF_KIND]
    levels = [needs_lib.FEATURE_NAMES.index(("consumption_level", level)) for level in _LEVELS]
    by_level = np.exp(library.state_weights[levels] / fixed.LOG_STEPS)
    booking = np.array([rate * by_level * (library.places == number) for number in numbers])
    anybody = ~(library.state_weights <= fixed.LOG_ZERO // 2).any(axis=0) & ~library.evidence.any(axis=1)
    for_pleasure = np.isin(np.array(library.themes), _PLEASURES) & np.isin(library.sources, _OUT)
    strolling = anybody & for_pleasure & (library.places == needs_lib.PLACES.index("zone"))
    return Travel(
        booking=fixed.sampler(booking, noise.N_DRAWS),
        visiting=fixed.sampler(np.sqrt(rate) * strolling, noise.N_DRAWS),
        planned=np.isin(library.places, numbers),
        kind_cdf=fixed.cumulative(KIND_SHARE),
        away_cdf=fixed.cumulative(where.destination_weights),
        near_cdf=fixed.cumulative(where.nearby_weights),
    )


def start_chances(locale: str, start_day: int, n_weeks: int) -> tuple[np.ndarray, np.ndarray]:
    """When trips start, for the weeks from `start_day` (an epoch day).

    Returns:
      chance out of 2**16 that a trip starts in each week, by pattern: int32 [W, 5]; and the cumulative chance of its
      first day within the week: int32 [W, 5, 7].
    """
    first, last = (calendar.date_of(start_day + n) for n in (0, 7 * n_weeks - 1))
    last_year = min(last.year, calendar.LAST_YEAR)
    january = calendar.epoch_day(first.replace(month=1, day=1))
    december = calendar.epoch_day(last.replace(year=last_year, month=12, day=31))
    factor = calendar.load(locale, january, december - january + 1).trip_factor
    daily = TRIPS_PER_YEAR / 365.25 * factor / factor.mean(axis=0)
    days = np.arange(start_day, start_day + 7 * n_weeks) - january
    within = np.where((days < len(daily))[:, None], daily[np.minimum(days, len(daily) - 1)], 0.0)
    weekly = within.reshape(n_weeks, 7, -1).transpose(0, 2, 1)
    return fixed.chance(weekly.sum(axis=2)), fixed.cumulative(weekly)
