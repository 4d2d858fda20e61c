"""What the dynamics look up: the library of desires, and what is the same for all users from week to week."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from usergpt_jax import schema
from usergpt_jax.simulate import calendar, fixed, noise, places, priors, travel
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.tags import HPR18

WEEK_DAYS = 7
# How a need presses by the time since it was satisfied is looked up by eighths of its cadence.
PRESSURE_STEPS = 8
RECIPROCAL_BITS = 12
_GIFT_BASE = 0.65  # on the chance of a gift, with 1.5 more on days when people give: about 1 over a year
_GIVING = ("festival_lead", "main_festival", "lovers_day", "parents_day", "childrens_day")
_POI = schema.SOURCES.index("poi")


class Tables(NamedTuple):
    """Library and trips as device arrays; all integers, matrices as float32 that hold integers exactly."""

    log_rate: Array  # [N]
    state_weights: Array  # [F, N]
    interest_weights: Array  # [I, N]
    preference_weights: Array  # [2, 90, N]
    interest_of_need: Array  # [N], I where none
    source: Array  # [N]
    kind_cause: Array  # [N]
    browses: Array  # [N] 1: the intent is to browse, never to order
    fixed_place: Array  # [N] 1: at home or at work, not done when away
    planned: Array  # [N] 1: booked through trips only
    cadence_days: Array  # [N]
    eighths_a_day: Array  # [N] eighths of the cadence in a day, in 1 / 2**RECIPROCAL_BITS
    foreign: Array  # [ROWS, DRAWS]
    booking: Array  # [KINDS, 5, DRAWS]
    visiting: Array  # [DRAWS]
    kind_cdf: Array  # [5, KINDS]
    away_cdf: Array  # [3, Z]
    near_cdf: Array  # [provinces, Z]
    city_province: Array  # [Y]


class Weeks(NamedTuple):
    """What is the same for all users, an entry for each week."""

    number: Array  # [W]
    day: Array  # first epoch day [W]
    calendar_log: Array  # log factor of each desire, mean over the week [W, N]
    day_cdf: Array  # cumulative chance of each day for a desire [W, N, 7], int16
    hot: Array  # chance that a session of the desire is owed to a hot topic [W, N]
    order_factor: Array  # on the chance to order, in 1/256, by day [W, 7]
    gift_factor: Array  # on the chance of a gift, in 1/16 [W]
    trip_chance: Array  # that a trip starts LEAD_WEEKS later, by pattern [W, 5]
    trip_day_cdf: Array  # its first day [W, 5, 7]


def device_tables(locale: str) -> Tables:
    """Loads the library and the trip tables of a locale."""
    library, trips = needs_lib.load(locale), travel.load(locale)
    fixed_places = [needs_lib.PLACES.index(name) for name in ("home", "work")]
    columns = {
        "log_rate": library.log_rate,
        "state_weights": library.state_weights.astype(np.float32),
        "interest_weights": library.interest_weights.astype(np.float32),
        "preference_weights": library.preference_weights.astype(np.float32),
        "interest_of_need": interest_of_need(library),
        "source": library.sources,
        "kind_cause": needs_lib.CAUSE_OF_KIND[library.kinds],
        "browses": np.array([goal == "browse" for goal in library.goals], np.int32),
        "fixed_place": (np.isin(library.places, fixed_places) & (library.sources == _POI)).astype(np.int32),
        "planned": trips.planned.astype(np.int32),
        "cadence_days": library.cadence_days,
        "eighths_a_day": (PRESSURE_STEPS << RECIPROCAL_BITS) // library.cadence_days,
        "foreign": noise.desire_table(locale),
        "booking": trips.booking,
        "visiting": trips.visiting,
        "kind_cdf": trips.kind_cdf,
        "away_cdf": trips.away_cdf,
        "near_cdf": trips.near_cdf,
        "city_province": places.load(locale).city_province,
    }
    return Tables(**{name: jnp.asarray(value) for name, value in columns.items()})


def interest_of_need(library: needs_lib.Needs) -> np.ndarray:
    """The interest that each desire speaks for, or the number of interests [N]."""
    declared = library.evidence[:, HPR18.names.index("interests")]
    return np.where(declared, library.interest_weights.argmax(axis=0), len(priors.INTERESTS)).astype(np.int32)


def week_tables(locale: str, seed: int, start_day: int, as_of_day: int) -> Weeks:
    """Calendar, topics and trips of the weeks that cover [start_day, as_of_day), both epoch days."""
    library = needs_lib.load(locale)
    n_days = as_of_day - start_day
    n_weeks = -(-n_days // WEEK_DAYS)

    def weeks_of(values: np.ndarray, after: float = 0) -> np.ndarray:
        """[D, ...] as [W, 7, ...], with `after` on the days after the log ends."""
        ends = [(0, n_weeks * WEEK_DAYS - n_days), *[(0, 0)] * (values.ndim - 1)]
        return np.pad(values, ends, constant_values=after).reshape(n_weeks, WEEK_DAYS, *values.shape[1:])

    days = calendar.load(locale, start_day, n_days)
    topics = calendar.topic_features(calendar.topics(locale, seed, start_day, n_days), start_day, n_days)
    news = topics.astype(np.float64) @ library.topic_weights
    log_factor = days.features.astype(np.float64) @ library.calendar_weights / fixed.LOG_STEPS
    factor = np.exp(log_factor + news / fixed.LOG_STEPS) * days.source_factor[:, library.sources]
    by_day = weeks_of(factor).transpose(0, 2, 1)  # nothing happens after the log ends
    giving = np.asarray(days.features[:, [calendar.FEATURES.index(name) for name in _GIVING]].any(axis=1))
    owed = -np.expm1(-weeks_of(news) / fixed.LOG_STEPS)
    owed = (owed * by_day.transpose(0, 2, 1)).sum(1) / np.maximum(by_day.sum(2), 1e-9)
    chances, first_days = travel.start_chances(locale, start_day, n_weeks + travel.LEAD_WEEKS)
    columns = {
        "number": np.arange(n_weeks, dtype=np.int32),
        "day": (start_day + WEEK_DAYS * np.arange(n_weeks)).astype(np.int32),
        "calendar_log": fixed.log_units(by_day.mean(axis=2)),
        "day_cdf": (fixed.cumulative(by_day, 1 << 14)).astype(np.int16),
        "hot": fixed.chance(owed),
        "order_factor": np.round(weeks_of(days.order_factor, 1.0) * 256).astype(np.int32),
        "gift_factor": np.round(16 * (_GIFT_BASE + 1.5 * weeks_of(giving).mean(axis=1))).astype(np.int32),
        "trip_chance": chances[travel.LEAD_WEEKS :],
        "trip_day_cdf": first_days[travel.LEAD_WEEKS :],
    }
    return Weeks(**{name: jnp.asarray(value) for name, value in columns.items()})
