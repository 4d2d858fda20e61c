"""What is on the account but not about its owner's needs, as tables of desires to draw from.

Gifts, goods bought for a spouse or a parent (proxy), other people on the account, misclicks, and exploration: browsing
out of curiosity what the feed shows people of that age. How often each happens is a trait of the user.

Paper: §2.1 (quality assurance: noise is injected), §3.2 (failure modes).
"""

import functools

import numpy as np

from usergpt_jax import schema
from usergpt_jax.simulate import catalog, fixed
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.tags import HPR18

# The causes a session may have instead of the user's own needs, in the order of `Course.noise`.
FOREIGN = ("gift", "proxy", "shared_account", "misclick", "exploration")
N_DRAWS = 4096

_PLAIN = {
    "marital_status": "married", "child_stage": "none", "housing_tenure": "rent", "consumption_level": "mid",
    "pet": "none", "education": "college", "city_tier": "T2", "activity_zone": "residential",
    "mobility_status": "local", "travel_pattern": "none", "car": "no",
}  # fmt: skip
# Who else uses an account, by what sets them apart from an average adult.
COMPANIONS = {
    "man": {
        "gender": "male", "age_band": "35-39", "life_stage": "couple_no_child", "occupation": "sales_service",
        "car": "yes",
    },
    "woman": {
        "gender": "female", "age_band": "30-34", "life_stage": "couple_no_child", "occupation": "office",
    },
    "child": {
        "gender": "male", "age_band": "<18", "life_stage": "student", "marital_status": "single",
        "housing_tenure": "with_family", "education": "senior_vocational", "occupation": "student",
        "activity_zone": "campus",
    },
    "elder": {
        "gender": "female", "age_band": "60-69", "life_stage": "retired", "child_stage": "adult",
        "housing_tenure": "own", "consumption_level": "mid_low", "education": "junior_or_below",
        "occupation": "retired",
    },
}  # fmt: skip
_EXPLORERS = ("18-22", "30-34", "50-59")  # by age: the feed shows everybody what most people of an age look at
_FEED_EXPONENT = 1.2  # of the popularity of desires by rank in the feed: Zipf
ROWS = ("gift", "misclick", *(f"explore:{age}" for age in _EXPLORERS), *COMPANIONS)
FIRST_EXPLORER, FIRST_COMPANION = 2, 2 + len(_EXPLORERS)
_ONLINE = tuple(schema.SOURCES.index(name) for name in ("ecommerce", "delivery"))


@functools.cache
def desire_table(locale: str) -> np.ndarray:
    """Desire of each draw, for each of `ROWS`: int32 [ROWS, N_DRAWS]."""
    library = needs_lib.load(locale)
    online = np.isin(library.sources, _ONLINE)
    goes_out = library.sources != schema.SOURCES.index("other")
    plain = np.exp(np.clip(library.log_rate / fixed.LOG_STEPS, np.log(0.5), None))
    price = catalog.load(locale).price
    usual = 2.0 * np.nanmedian(price)
    prices = np.nan_to_num(price[library.leaves].mean(axis=1), nan=usual)
    readiness = library.gift * np.minimum(1.0, usual / prices) ** 0.8  # dear things are rarely given
    rows = [readiness * online, plain * goes_out]
    for age in _EXPLORERS:
        both = [{"gender": gender, "age_band": age, "occupation": "office"} for gender in ("male", "female")]
        popular = sum(_weights(library, values, floor=-3.0) for values in both) * goes_out
        rank = np.empty(len(popular))
        rank[np.argsort(-popular, kind="stable")] = np.arange(1, len(popular) + 1)
        rows.append((popular > 0) * rank**-_FEED_EXPONENT)
    rows += [_weights(library, values) * online for values in COMPANIONS.values()]
    return fixed.sampler(np.array(rows), N_DRAWS)


def _weights(library: needs_lib.Needs, values: dict[str, str], floor: float = -20.0) -> np.ndarray:
    """Rates of all desires for a person known by some groups; factors below exp(`floor`) are raised to it."""
    known = _PLAIN | values
    hot = np.array([known.get(group) == value for group, value in needs_lib.FEATURE_NAMES])
    factors = hot @ library.state_weights / fixed.LOG_STEPS
    return np.exp(library.log_rate / fixed.LOG_STEPS + np.maximum(factors, floor))


# Row of `desire_table` for an explorer of each age band.
EXPLORER_ROW = np.array([FIRST_EXPLORER + (0 if band < 3 else 1 if band < 6 else 2) for band in range(10)], np.int32)
assert len(HPR18["age_band"].values) == len(EXPLORER_ROW)
