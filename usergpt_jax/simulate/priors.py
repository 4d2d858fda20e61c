"""Population priors: shares and weights that personas are drawn from, each with its source.

Platform users are not the population: `PLATFORM_WEIGHT` and `TIER_WEIGHT` state how we re-weight it.
Paper: §2.1 (demographic dimensions). Differs from the paper: it used SocioVerse's pool; we use census tables.
"""

import numpy as np

from usergpt_jax.tags import HPR18

DAYS_PER_YEAR = 365.2425

OCCUPATIONS = HPR18["occupation"].values
EDUCATION = HPR18["education"].values
ZONES = HPR18["activity_zone"].values
PETS = HPR18["pet"].values
TRAVEL = HPR18["travel_pattern"].values

INTERESTS = (
    "photography", "fishing", "gaming", "fitness", "gourmet food", "travel", "reading", "music",
    "camping", "crafts", "cars", "fashion", "beauty", "gardening", "anime", "cycling",
)  # fmt: skip

# Lower ends of the age bands in years, the 2020 census share of each band (%), and our weight of a platform user.
AGE_FROM = np.array([13, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75])
AGE_TO = np.array([15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 82])
CENSUS_SHARE = np.array([2.4, 5.2, 5.3, 6.5, 8.8, 7.0, 6.6, 8.1, 8.6, 7.2, 5.2, 5.2, 3.5, 2.2])
PLATFORM_WEIGHT = np.array([0.35, 1.1, 2.0, 1.9, 1.5, 1.25, 0.8, 0.6, 0.5, 0.5, 0.6, 0.5, 0.45, 0.3])

# Weight of a tier's cities on top of their population, and how people live there: city, county town, village.
TIER_WEIGHT = {"T1": 1.9, "new_T1": 1.1, "T2": 1.1, "T3": 1.0, "T4": 0.9, "T5": 1.3}
SETTLEMENT = {
    "T1": (0.97, 0.02, 0.01),
    "new_T1": (0.88, 0.07, 0.05),
    "T2": (0.80, 0.11, 0.09),
    "T3": (0.60, 0.21, 0.19),
    "T4": (0.46, 0.27, 0.27),
    "T5": (0.38, 0.29, 0.33),
}
# Share of residents whose hometown is another city (floating population by tier, rounded).
MIGRANT_SHARE = {"T1": 0.62, "new_T1": 0.46, "T2": 0.36, "T3": 0.22, "T4": 0.14, "T5": 0.12}

# Education by birth cohort: mean of a latent score cut into the five levels. The census gives all ages together
# (15.5 % college and up); that younger cohorts are far more educated is modelled, not measured.
EDUCATION_COHORT_YEAR = np.array([1950, 1970, 1985, 1998, 2012])
EDUCATION_COHORT_MEAN = np.array([-1.15, -0.55, 0.05, 0.40, 0.45])
EDUCATION_CUTS = np.array([-0.75, -0.1, 0.5, 1.45])  # latent score below the first cut: junior_or_below
EDUCATION_SETTLEMENT = np.array([0.15, -0.25, -0.7])
GRADUATION_AGE = np.array([15.6, 18.5, 21.5, 22.5, 25.5])  # years, by education

# Weight of each adult occupation by education (rows as EDUCATION; columns as JOBS).
JOBS = (
    "public_sector", "teacher", "medical", "it_engineering", "finance", "office", "sales_service", "driver_courier",
    "factory_construction", "self_employed", "farmer",
)  # fmt: skip
JOB_WEIGHT = np.array(
    [
        [0.2, 0.0, 0.1, 0.0, 0.0, 0.3, 5.0, 4.5, 7.0, 2.5, 2.0],
        [0.8, 0.2, 0.8, 0.6, 0.3, 2.0, 5.0, 3.5, 4.5, 3.0, 0.7],
        [2.0, 1.4, 2.2, 2.4, 1.6, 4.0, 3.0, 0.9, 1.0, 2.0, 0.1],
        [3.0, 2.8, 2.2, 4.5, 2.8, 4.0, 1.2, 0.2, 0.3, 1.3, 0.02],
        [2.5, 3.2, 3.2, 5.0, 3.2, 2.0, 0.2, 0.0, 0.05, 0.7, 0.0],
    ]
)
JOB_MALE = np.array([1.1, 0.55, 0.6, 1.7, 0.9, 0.65, 0.75, 2.2, 1.6, 1.1, 1.1])
JOB_FEMALE = np.array([0.9, 1.5, 1.5, 0.4, 1.1, 1.4, 1.3, 0.15, 0.5, 0.9, 0.9])
JOB_SETTLEMENT = np.array(
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [1.3, 1.3, 1.0, 0.2, 0.4, 0.6, 1.2, 1.1, 1.0, 1.5, 0.3],
        [0.5, 0.8, 0.6, 0.05, 0.1, 0.2, 0.7, 0.8, 1.2, 1.0, 14.0],
    ]
)
# Where a city dweller of each tag occupation spends weekdays (columns as ZONES).
ZONE_WEIGHT = {
    "student": (0, 1, 0, 0, 0, 0),
    "public_sector": (0.7, 0, 0, 0.3, 0, 0),
    "teacher": (0, 0.95, 0, 0.05, 0, 0),
    "medical": (0.55, 0.05, 0, 0.4, 0, 0),
    "it_engineering": (0.72, 0.03, 0.25, 0, 0, 0),
    "finance": (0.95, 0, 0, 0.05, 0, 0),
    "office": (0.78, 0, 0.12, 0.1, 0, 0),
    "sales_service": (0.45, 0, 0.05, 0.5, 0, 0),
    "driver_courier": (0.2, 0, 0.4, 0.4, 0, 0),
    "factory_construction": (0, 0, 0.93, 0.07, 0, 0),
    "self_employed": (0.3, 0, 0.1, 0.6, 0, 0),
    "farmer": (0, 0, 0, 0.2, 0, 0.8),
    "homemaker": (0, 0, 0, 1, 0, 0),
    "retired": (0, 0, 0, 1, 0, 0),
}

# First marriage: logistic in age, fitted to the never-married shares (25: 70.8 %, 30: 27.7 %, 35: 10.2 %).
MARRIAGE_MEDIAN_YEARS = 27.2
MARRIAGE_SCALE_YEARS = 2.9
NEVER_MARRY_FRAC = 0.04
CHILDLESS_FRAC = 0.12
SECOND_CHILD_FRAC = 0.36
DIVORCE_FRAC = 0.17

INCOME_CUTS = np.array([-0.85, -0.25, 0.4, 1.1])  # latent z below the first: low
PET_WEIGHT = np.array([0.62, 0.17, 0.14, 0.035, 0.035])

# Weight of each interest by gender (columns as INTERESTS), and how it moves with age in decades from 30.
INTEREST_MALE = np.array([1.0, 1.5, 1.8, 1.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.2, 1.5, 0.5, 0.1, 0.6, 0.9, 1.0])
INTEREST_FEMALE = np.array([0.9, 0.1, 0.6, 1.0, 1.2, 1.1, 1.2, 0.8, 0.8, 1.3, 0.3, 1.6, 1.6, 1.1, 0.8, 0.5])
INTEREST_AGE_SLOPE = np.array([0.0, 0.3, -0.7, -0.2, 0.1, 0.1, 0.05, -0.15, -0.2, 0.2, 0.0, -0.3, -0.3, 0.5, -1.0, 0.0])
INTEREST_COUNT_FRAC = np.array([0.34, 0.34, 0.22, 0.10])  # one, two, three, four interests

# Hour of the day by source: relative traffic of hours 0..23 (site traffic, meal peaks, commuting).
HOURS = {
    "ecommerce": (3, 2, 1, 0.6, 0.4, 0.5, 1, 2, 4, 5, 5.3, 5.2, 5.8, 5.6, 4.8, 4.6, 4.7, 4.8, 5, 6, 7.4, 7.6, 6.6, 5),
    "delivery": (1, 0.5, 0.3, 0.1, 0.1, 0.2, 0.8, 2, 2, 2, 4, 10, 8, 3, 2, 2.5, 4, 9, 8, 4, 3, 4, 3.5, 2),
    "travel": (1, 0.5, 0.3, 0.2, 0.2, 0.4, 1, 2, 4, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5, 6, 7, 7, 5, 3),
    "poi": (0.2, 0.1, 0.1, 0.1, 0.1, 0.4, 2, 6, 8, 6, 5, 5, 5, 4, 4, 4, 5, 6, 6, 6, 5, 3, 1.5, 0.6),
    "other": (0.3, 0.1, 0.1, 0.1, 0.1, 0.3, 1, 3, 6, 8, 7, 5, 4, 4, 5, 5, 5, 5, 5, 6, 6, 4, 2, 1),
}  # fmt: skip
