"""What is on the account but not about its owner: gifts, another person's purchases, misclicks, stale stages.

Paper: §2.1 (quality assurance: noise is injected), §3.2 (failure modes).
"""

import functools

import numpy as np

from usergpt_jax import schema
from usergpt_jax.simulate import needs as needs_lib

GIFT, SHARED, MISCLICK, STALE = (
    schema.CAUSES.index(name) for name in ("gift", "shared_account", "misclick", "stale_stage")
)
WEIGHT_SCALE = 2048.0  # integer units of one session a year; totals stay below 2**24, exact in float32

# Who else uses an account, by the owner's household; rows of the table after gift and misclick.
COMPANIONS = {
    "man": {
        "gender": "male", "age_band": "35-39", "life_stage": "couple_no_child", "marital_status": "married",
        "child_stage": "none", "housing_tenure": "rent", "consumption_level": "mid", "pet": "none",
        "education": "college", "occupation": "sales_service", "city_tier": "T2", "activity_zone": "residential",
        "mobility_status": "local", "travel_pattern": "none", "car": "yes",
    },
    "woman": {
        "gender": "female", "age_band": "30-34", "life_stage": "couple_no_child", "marital_status": "married",
        "child_stage": "none", "housing_tenure": "rent", "consumption_level": "mid", "pet": "none",
        "education": "college", "occupation": "office", "city_tier": "T2", "activity_zone": "residential",
        "mobility_status": "local", "travel_pattern": "none", "car": "no",
    },
    "child": {
        "gender": "male", "age_band": "<18", "life_stage": "student", "marital_status": "single",
        "child_stage": "none", "housing_tenure": "with_family", "consumption_level": "mid", "pet": "none",
        "education": "senior_vocational", "occupation": "student", "city_tier": "T2", "activity_zone": "campus",
        "mobility_status": "local", "travel_pattern": "none", "car": "no",
    },
    "elder": {
        "gender": "female", "age_band": "60-69", "life_stage": "retired", "marital_status": "married",
        "child_stage": "adult", "housing_tenure": "own", "consumption_level": "mid_low", "pet": "none",
        "education": "junior_or_below", "occupation": "retired", "city_tier": "T2", "activity_zone": "residential",
        "mobility_status": "local", "travel_pattern": "none", "car": "no",
    },
}  # fmt: skip
GIFT_ROW, MISCLICK_ROW, FIRST_COMPANION_ROW = 0, 1, 2
_ONLINE = tuple(schema.SOURCES.index(name) for name in ("ecommerce", "delivery"))


@functools.cache
def foreign_cdf() -> np.ndarray:
    """Cumulative integer weights [2 + companions, N] of desires that are not the owner's own."""
    library = needs_lib.load()
    plain = np.exp(np.maximum(library.log_rate, np.log(0.5)))
    online = np.isin(library.sources, _ONLINE)
    rows = [library.gift * online, np.sqrt(plain) * (library.sources != schema.SOURCES.index("other"))]
    for values in COMPANIONS.values():
        rows.append(np.exp(library.log_rate + needs_lib.feature_vector(values) @ library.weights) * online)
    return np.cumsum(np.floor(np.array(rows) * WEIGHT_SCALE), axis=1).astype(np.float32)
