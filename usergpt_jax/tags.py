"""`HPR18`: the 18 built-in tags in five dimensions, their values, wording and consistency rules.

Only where people live differs by locale: provinces, cities and their tiers come from its gazetteer.
Paper: §3.1, §4 (18 tags in 5 dimensions). Differs from the paper: its tag list was not published, so names and
values are ours.
"""

import functools

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import Implication, Tag, TagSchema

DIMENSIONS = {
    "LS": "Life stage",
    "HC": "Household context",
    "LI": "Lifestyle",
    "EP": "Education and profession",
    "GC": "Geography",
}

CITY_TIER_VALUES = (*gazetteer.CITY_TIERS, "rural")
PRESCHOOL_STAGES = ("0-1", "1-3", "3-6")
SCHOOL_STAGES = ("6-12", "12-18")


# The interests that the simulator's people have and the lexicon knows.
INTERESTS = (
    *("anime", "beauty", "camping", "cars", "crafts", "cycling", "fashion", "fishing", "fitness", "gaming"),
    *("gardening", "gourmet food", "music", "photography", "reading", "travel"),
)


def _tag(
    name: str,
    dimension: str,
    question: str,
    phrases: dict[str, str],
    max_items: int = 1,
    known_values: tuple[str, ...] = (),
) -> Tag:
    values = () if "{}" in phrases else tuple(phrases)
    return Tag(name, dimension, question, values, phrases, max_items, known_values)


_LIFE_STAGE = _tag(
    "life_stage",
    "LS",
    "Which life stage is the user in?",
    {
        "student": "at the student stage",
        "single_working": "working and single",
        "couple_no_child": "living as a couple without children",
        "expecting": "expecting a baby",
        "parent_preschool": "raising a preschooler",
        "parent_school": "raising a schoolchild",
        "empty_nest": "in an empty nest",
        "retired": "at the retired stage",
    },
)

_PERSONAL_TAGS = (
    _tag("gender", "LS", "What is the user's gender?", {"male": "a man", "female": "a woman"}),
    _tag(
        "age_band",
        "LS",
        "Which age band is the user in?",
        {
            "<18": "under 18",
            **{
                band: f"aged {band}"
                for band in ("18-22", "23-25", "26-29", "30-34", "35-39", "40-49", "50-59", "60-69")
            },
            "70+": "over 70",
        },
    ),
    _LIFE_STAGE,
    _tag(
        "marital_status",
        "HC",
        "What is the user's marital status?",
        {
            "single": "unmarried",
            "partnered": "in a relationship",
            "married": "married",
            "divorced_widowed": "divorced or widowed",
        },
    ),
    _tag(
        "child_stage",
        "HC",
        "How old is the user's youngest child?",
        {
            "none": "no children",
            "expecting": "a child on the way",
            "0-1": "a child under 1",
            "1-3": "a child of 1-3",
            "3-6": "a child of 3-6",
            "6-12": "a child of 6-12",
            "12-18": "a child of 12-18",
            "adult": "a grown-up child",
        },
    ),
    _tag(
        "housing_tenure",
        "HC",
        "How does the user live?",
        {
            "own": "in an own home",
            "rent": "in a rented home",
            "with_family": "in the family home",
            "dormitory": "in a dormitory",
        },
    ),
    _tag(
        "consumption_level",
        "LI",
        "What is the user's consumption level?",
        {
            "low": "spends little",
            "mid_low": "spends modestly",
            "mid": "spends moderately",
            "mid_high": "spends generously",
            "high": "spends lavishly",
        },
    ),
    _tag("interests", "LI", "What are the user's lasting interests?", {"{}": "enjoys {}"}, 5, INTERESTS),
    _tag(
        "pet",
        "LI",
        "Which pets does the user keep?",
        {
            "none": "keeps no pet",
            "cat": "keeps a cat",
            "dog": "keeps a dog",
            "both": "keeps cat and dog",
            "other": "keeps a small pet",
        },
    ),
    _tag(
        "education",
        "EP",
        "What is the user's level of education?",
        {
            "junior_or_below": "junior schooling",
            "senior_vocational": "senior or vocational schooling",
            "college": "a college diploma",
            "bachelor": "a bachelor's degree",
            "postgraduate": "a postgraduate degree",
        },
    ),
    _tag(
        "occupation",
        "EP",
        "What is the user's occupation?",
        {
            "student": "studies full time",
            "public_sector": "works in the public sector",
            "teacher": "works as a teacher",
            "medical": "works in medicine",
            "it_engineering": "works in IT or engineering",
            "finance": "works in finance",
            "office": "works in an office",
            "sales_service": "works in sales or service",
            "driver_courier": "works as a driver or courier",
            "factory_construction": "works in a factory or in construction",
            "self_employed": "runs a business",
            "farmer": "works a farm",
            "homemaker": "keeps house",
            "retired": "draws a pension",
        },
    ),
)


_ROUTINE_TAGS = (
    _tag(
        "activity_zone",
        "GC",
        "Where does the user spend weekdays?",
        {
            "cbd_office": "weekdays in a business district",
            "campus": "weekdays on a campus",
            "industrial_park": "weekdays in an industrial park",
            "residential": "weekdays in a residential area",
            "county_town": "weekdays in a county town",
            "rural": "weekdays in the countryside",
        },
    ),
    _tag(
        "mobility_status",
        "GC",
        "Is the user local or has the user moved?",
        {
            "local": "a local",
            "settled_migrant": "a settled migrant",
            "recent_mover": "a recent mover",
            "frequent_mover": "a frequent mover",
        },
    ),
    _tag(
        "travel_pattern",
        "GC",
        "How does the user travel?",
        {
            "none": "hardly travels",
            "home_return": "travels home for holidays",
            "domestic_leisure": "travels the country for leisure",
            "business": "travels on business",
            "outbound": "travels abroad",
        },
    ),
)


def _geography(locale: str) -> tuple[Tag, ...]:
    """The tags that name places of a locale."""
    region = gazetteer.province_word(locale)
    return (
        _tag(
            "resident_province",
            "GC",
            f"In which {region} does the user live?",
            {name: f"lives in {name} {region}" for name in gazetteer.provinces(locale)},
        ),
        _tag(
            "resident_city",
            "GC",
            "In which city does the user live?",
            {"{}": "home is the city of {}"},
            known_values=tuple(city.name for city in gazetteer.cities(locale)),
        ),
        _tag(
            "city_tier",
            "GC",
            "Which tier is the user's city?",
            {
                "T1": "a first-tier city",
                "new_T1": "a new first-tier city",
                "T2": "a second-tier city",
                "T3": "a third-tier city",
                "T4": "a fourth-tier city",
                "T5": "a fifth-tier city",
                "rural": "a rural area",
            },
        ),
        _tag(
            "hometown_province",
            "GC",
            f"Which {region} is the user's hometown in?",
            {name: f"comes from {name}" for name in gazetteer.provinces(locale)},
        ),
    )


def _rules(locale: str, jobs: tuple[str, ...]) -> tuple[Implication, ...]:
    """Paper: §3.1 (attributes of one user are mutually consistent); the rules themselves are ours."""
    stages = tuple(stage for stage in _LIFE_STAGE.values)
    city_rules = [
        rule
        for city in gazetteer.cities(locale)
        for rule in (
            Implication("resident_city", (city.name,), "resident_province", (city.province,)),
            Implication("resident_city", (city.name,), "city_tier", (city.tier, "rural")),
        )
    ]
    return (
        Implication("life_stage", ("student",), "occupation", ("student",)),
        Implication("occupation", ("student",), "life_stage", ("student",)),
        Implication("life_stage", tuple(s for s in stages if s != "student"), "occupation", jobs),
        Implication("age_band", ("<18",), "marital_status", ("single",)),
        Implication("child_stage", PRESCHOOL_STAGES, "life_stage", ("parent_preschool",)),
        Implication("child_stage", SCHOOL_STAGES, "life_stage", ("parent_school",)),
        Implication("life_stage", ("parent_preschool",), "child_stage", PRESCHOOL_STAGES),
        Implication("life_stage", ("parent_school",), "child_stage", SCHOOL_STAGES),
        Implication("life_stage", ("expecting",), "child_stage", ("expecting",)),
        Implication("life_stage", ("couple_no_child",), "child_stage", ("none",)),
        Implication("life_stage", ("couple_no_child",), "marital_status", ("partnered", "married")),
        Implication("life_stage", ("empty_nest",), "child_stage", ("adult",)),
        Implication("marital_status", ("single",), "child_stage", ("none",)),
        *city_rules,
    )


@functools.cache
def hpr18(locale: str) -> TagSchema:
    """The 18 tags with the places of a locale: `hpr18` for the default locale, else `hpr18_<locale>`.

    Raises:
      InputError: no such locale, or its cities.csv cannot be read.
    """
    locales.check(locale)
    tags = (*_PERSONAL_TAGS, *_geography(locale), *_ROUTINE_TAGS)
    occupation = next(tag for tag in tags if tag.name == "occupation")
    jobs = tuple(job for job in occupation.values if job != "student")
    return TagSchema(schema_name(locale), tags, DIMENSIONS, _rules(locale, jobs))


def schema_name(locale: str) -> str:
    """Name of the tag schema of a locale."""
    return "hpr18" if locale == locales.DEFAULT else f"hpr18_{locale}"


HPR18 = hpr18(locales.DEFAULT)


def tag_schema(name: str) -> TagSchema:
    """The built-in schema of that name.

    Raises:
      InputError: there is none.
    """
    return hpr18(locale_of(name))


def locale_of(name: str) -> str:
    """The locale of the built-in schema of that name; raises as `tag_schema`."""
    by_name = {schema_name(locale): locale for locale in locales.names()}
    if name not in by_name:
        raise InputError(f"config.tag_schema: {name!r} is not one of {', '.join(by_name)}")
    return by_name[name]
