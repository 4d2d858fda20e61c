"""Titles as marketplaces write them: brand, noun and attributes under openers, promises, closers and bait.

Words come from `data/title_words.csv`. Every leaf draws from a generator seeded by its name, so a new leaf leaves the
titles of all others as they are.

Paper: §2.2 (marketing words in titles mislead; gold is one core entity with at most three attributes).
"""

import dataclasses
import functools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from usergpt_jax.core.errors import InputError

N_SHOPS = 2  # listings of each product
MAX_WORDS = 16
MAX_ATTRIBUTES = 3
BAIT_SHARE = 0.095

# Words that name a kind of buyer without being evidence of one: word, tag, the values it falsely suggests.
BAITS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "", ()),
    ("Maternity Safe", "child_stage", ("expecting", "0-1")),
    ("Kid Friendly", "child_stage", ("1-3", "3-6", "6-12")),
    ("Toddler Approved", "child_stage", ("1-3",)),
    ("Newlywed Pick", "marital_status", ("married",)),
    ("Couple Style", "marital_status", ("partnered", "married")),
    ("Renter Friendly", "housing_tenure", ("rent",)),
    ("Dorm Friendly", "housing_tenure", ("dormitory",)),
    ("Student Favourite", "life_stage", ("student",)),
    ("Campus Style", "life_stage", ("student",)),
    ("Office Lady", "gender", ("female",)),
    ("For Dad", "gender", ("male",)),
    ("For Grandma", "age_band", ("60-69", "70+")),
    ("Senior Friendly", "age_band", ("60-69", "70+")),
    ("Pet Hair Proof", "pet", ("cat", "dog", "both")),
    ("Cat-Ear Style", "pet", ("cat", "both")),
    ("Boss Style", "occupation", ("self_employed",)),
    ("Teacher Approved", "occupation", ("teacher",)),
    ("Nurse Approved", "occupation", ("medical",)),
    ("Programmer Favourite", "occupation", ("it_engineering",)),
    ("Gamer Style", "interests", ("gaming",)),
    ("Luxury Look", "consumption_level", ("high",)),
)
_BAIT_NUMBER = {word: number for number, (word, _, _) in enumerate(BAITS)}

# Orders of the parts, by shop; the last of each shop is the rarer one. A feature stands right before the noun.
_ORDERS = tuple(
    tuple(order.split() for order in shop)
    for shop in (
        (
            "opener brand before model material feature noun variant colour aim promise bait closer festival",
            "brand opener before material feature variant noun colour model aim bait promise festival closer",
        ),
        (
            "brand model opener material before feature noun colour variant bait promise aim festival closer",
            "opener bait material before feature noun variant colour aim brand model promise closer festival",
        ),
    )
)
_RARE_ORDER = 0.22
# Chance of each optional part, and the order in which the parts of too long a title go.
_CHANCE = {
    "opener": 0.55, "before": 0.75, "aim": 0.75, "material": 0.4, "feature": 0.96, "colour": 0.35, "model": 0.7,
    "promise": 0.35, "closer": 0.6, "festival": 0.18, "bait": BAIT_SHARE,
}  # fmt: skip
_DROPPED_FIRST = ("festival", "promise", "colour", "model", "opener", "closer", "aim", "before", "material", "feature")
_OPTIONAL = tuple(_CHANCE)
_GENDERED = re.compile(r"^(men's|women's|children's|kids'|boys'|girls')\s+", re.IGNORECASE)


class Listing(NamedTuple):
    """One title: its text, the number of its bait in `BAITS` (0: none) and its gold attributes."""

    title: str
    bait: int
    attributes: tuple[str, ...]


class Entry(NamedTuple):
    """What titles need to know of a leaf; `variants` is ("",) when there are none, `brands` run from cheap to dear."""

    leaf: str
    level1: str
    level2: str
    brand_key: str
    noun: str
    variants: tuple[str, ...]
    brands: tuple[str, ...]
    grows: bool = False  # variants follow the child's age, so no other age may stand in the title


@dataclasses.dataclass(frozen=True)
class Words:
    """The word lists: (slot, scope) -> words."""

    lists: Mapping[tuple[str, str], tuple[str, ...]]

    @functools.cached_property
    def materials(self) -> frozenset[str]:
        """All materials in lower case, as one word or several."""
        names = {word.lower() for (slot, _), many in self.lists.items() if slot == "material" for word in many}
        return frozenset(names | {name.split()[-1] for name in names})

    def of(self, slot: str, entry: Entry) -> tuple[str, ...]:
        """Words of a slot for an entry, from the narrowest scope that has some; () when none has."""
        scopes = (entry.leaf, entry.level2, entry.level1, entry.brand_key, "*")
        return next((self.lists[slot, scope] for scope in scopes if (slot, scope) in self.lists), ())


def parse_words(rows: Sequence[Mapping[str, str]]) -> Words:
    """Word lists from rows of title_words.csv.

    Raises:
      InputError: a slot and scope twice, an empty word, or a bait that `BAITS` lacks.
    """
    lists: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in rows:
        where = f"title_words.csv, {row['slot']} of {row['scope']}"
        words = tuple(row["words"].split("|")) if row["words"] != "-" else ()
        if (row["slot"], row["scope"]) in lists:
            raise InputError(f"{where}: listed twice, expected one row for a slot and scope")
        if not all(words):
            raise InputError(f"{where}: {row['words']!r} has an empty word, expected words joined by |")
        if row["slot"] == "bait" and (unknown := [word for word in words if word not in _BAIT_NUMBER]):
            raise InputError(f"{where}: {unknown[0]!r} is no bait, expected one of {', '.join(list(_BAIT_NUMBER)[1:])}")
        lists[row["slot"], row["scope"]] = words
    return Words(lists)


def core_entity(entry: Entry, words: Words) -> str:
    """The product noun in Title Case, without buyers, puffery, amounts of money and a second product after "and"."""
    noun, first = _GENDERED.sub("", entry.noun), entry.noun.split(" and ")[0]
    if " " in first or first.endswith("s"):  # not the "cold" of "cold and flu capsules"
        noun = _GENDERED.sub("", first)
    kept = [word for word in noun.split() if word.lower() not in words.of("puffery", entry)]
    kept = [word for word in kept if not re.fullmatch(r"[\d.]+|yuan|dollars?", word)]
    return title_case(" ".join(kept))


def title_case(text: str) -> str:
    """Capitals for first letters; other letters stay, so that "CPA exam" becomes "CPA Exam"."""
    return re.sub(r"(?<![^\W_])(?<!['’])[a-z]", lambda match: match.group().upper(), text)


def goods(entry: Entry, words: Words) -> Iterator[Listing]:
    """Noisy titles of a leaf of goods, by brand, variant and shop."""
    rng = np.random.default_rng(zlib.crc32(entry.leaf.encode()))
    n_products = len(entry.brands) * len(entry.variants)
    own = rng.random((n_products, 4)).tolist()
    noise = rng.random((n_products, N_SHOPS, 2 + 2 * len(_OPTIONAL))).tolist()
    lists = {slot: words.of(slot, entry) for slot in (*_OPTIONAL, "audience")}
    lists |= dict.fromkeys(("before", "aim", "model"), ())
    materials = words.materials
    codes = int((words.of("model", entry) or ("0",))[0])
    gendered = _GENDERED.match(entry.noun)
    noun = title_case(entry.noun)
    for product in range(n_products):
        brand, variant = entry.brands[product // len(entry.variants)], entry.variants[product % len(entry.variants)]
        fixed = {"noun": noun, "variant": variant, **_product_parts(lists, own[product], entry, variant, materials)}
        if codes:
            fixed["model"] = _model(brand, own[product][3], codes)
        for shop in range(N_SHOPS):
            parts = _noisy(fixed, lists, noise[product][shop][2:])
            parts["brand"] = _brand_form(brand, noise[product][shop][0])
            order = _ORDERS[shop][noise[product][shop][1] < _RARE_ORDER]
            audience = gendered.group(1) if gendered else (parts.get("aim") or parts.get("before", ""))
            audience = audience.removeprefix("for ").removeprefix("the ").lower()
            stated = [brand, variant, audience, parts.get("material", "").lower()]
            attributes = tuple(word for word in stated if word and "gift" not in word.lower())[:MAX_ATTRIBUTES]
            yield Listing(" ".join(_fit(parts, order)), _BAIT_NUMBER[parts.get("bait", "")], attributes)


def _product_parts(
    lists: Mapping[str, tuple[str, ...]], draws: Sequence[float], entry: Entry, variant: str, materials: frozenset[str]
) -> dict[str, str]:
    """Material, colour and audience of a product, the same in both shops; what noun or variant says is not repeated."""
    said = f"{entry.noun} {variant}".lower()
    named = any(colour.lower() in said for colour in lists["colour"])
    parts = {
        "colour": "" if named else _pick(lists["colour"], draws[0]),
        "material": _pick(lists["material"], draws[1]),
    }
    if parts["material"].split(" ")[-1].lower() in said or variant.lower() in materials:
        parts["material"] = ""
    audience = _pick(lists["audience"], draws[2])
    if (
        entry.grows
        or _GENDERED.match(entry.noun)
        or any(word in said for word in audience.lower().split() if word != "for")
    ):
        audience = ""
    parts["aim" if audience.startswith("for ") else "before"] = audience
    return parts


def _noisy(fixed: Mapping[str, str], lists: Mapping[str, tuple[str, ...]], draws: Sequence[float]) -> dict[str, str]:
    """The parts that a listing shows, cut to `MAX_WORDS`."""
    parts = {slot: text for slot, text in fixed.items() if slot not in _CHANCE}
    for number, slot in enumerate(_OPTIONAL):
        if draws[2 * number] < _CHANCE[slot]:
            parts[slot] = fixed[slot] if slot in fixed else _pick(lists[slot], draws[2 * number + 1])
    if parts.get("closer", "").strip("[]") == parts.get("opener", "").strip("[]"):
        parts.pop("closer", None)
    if parts.get("feature", "").lower() in parts["noun"].lower():
        parts.pop("feature", None)
    length = sum(len(text.split()) for text in parts.values()) + 3  # a brand has at most three words
    for slot in _DROPPED_FIRST:
        if length <= MAX_WORDS:
            break
        length -= len(parts.pop(slot, "").split())
    return parts


def _fit(parts: Mapping[str, str], order: Sequence[str]) -> Iterator[str]:
    return (parts[slot] for slot in order if parts.get(slot))


def _pick(words: Sequence[str], draw: float) -> str:
    return words[int(draw * len(words))] if words else ""


def _brand_form(brand: str, draw: float) -> str:
    """A brand as a seller spells it: mostly as it is, at times in capitals or in one word."""
    if draw < 0.12:
        return brand.upper()
    return brand.replace(" ", "") if draw < 0.18 else brand


def _model(brand: str, draw: float, digits: int) -> str:
    """A model code such as "NX204" (two letters) or "N40"."""
    number = int(draw * 90) + 10 if digits == 1 else int(draw * 900) + 100
    letters = "".join(word[0] for word in f"{brand} X".split())[:digits]
    return f"{letters.upper()}{number}"


def plain(entry: Entry, words: Words, source: str) -> Iterator[Listing]:
    """Titles of what carries little noise, by brand, variant and shop: the first bare, the second with a word more.

    Args:
      entry: the leaf.
      words: the word lists.
      source: delivery (a meal), poi (a venue with its branch) or other (a service).
    """
    extras = words.of({"delivery": "dish", "poi": "branch"}.get(source, "service"), entry)
    offset, noun = zlib.crc32(entry.leaf.encode()), title_case(entry.noun)
    for number, brand in enumerate(entry.brands):
        for rank, variant in enumerate(entry.variants):
            extra = extras[(offset + 5 * number + rank) % len(extras)]
            attributes = tuple(word for word in (brand, variant) if word)
            if source == "delivery":
                bare = " ".join(word for word in (brand, variant, noun) if word)
                both = (bare, f"{bare} {extra}")
            else:
                tail = f", {variant}" if variant else ""
                both = (f"{brand} {noun}{tail}", f"{brand} {noun} ({extra}){tail}")
            yield from (Listing(title, 0, attributes) for title in both)


class Carriers(NamedTuple):
    """Who sells travel: twelve brands each from cheap to dear, and what the codes of trains and flights start with."""

    hotels: tuple[str, ...]
    airlines: tuple[str, ...]
    agencies: tuple[str, ...]
    train_codes: tuple[str, ...]
    flight_codes: tuple[str, ...]


_HOTEL_TIER_CNY = (150, 250, 400, 700, 1300)  # prices a night where the next dearer tier of hotel brands starts


def trips(
    entry: Entry, words: Words, destinations: Sequence[str], price: float, carriers: Carriers
) -> Iterator[tuple[Listing, str]]:
    """Titles of a travel leaf with their brand ("" for none), by variant and destination.

    Args:
      entry: the leaf.
      words: the word lists.
      destinations: names of all destinations.
      price: the leaf's price in yuan, which says how dear a hotel brand is.
      carriers: the market's brands and codes.
    """
    rng = np.random.default_rng(zlib.crc32(entry.leaf.encode()))
    noun, sights = title_case(entry.noun), words.of("sight", entry)
    for rank, variant in enumerate(entry.variants):
        for city in destinations:
            one, two = rng.random(2).tolist()
            brand, head, joint = "", "", "in"
            if "flight" in entry.noun:
                tier = min(int(one * 4) + 2 * rank, 5)
                brand, joint = carriers.airlines[2 * tier + (two < 0.5)], "to"
                head = f"{brand} {_pick(carriers.flight_codes, two)}{1000 + int(one * 9000)}"
            elif any(word in entry.noun for word in ("train", "coach", "ferry")):
                joint = "to"
                head = f"{_pick(carriers.train_codes, one)}{100 + int(two * 9900)}" if "train" in entry.noun else ""
            elif "attraction" in entry.noun:
                head = f"{_pick(sights, one)},"
            elif any(word in entry.noun for word in ("night", "stay")):
                tier = sum(price >= limit for limit in _HOTEL_TIER_CNY)
                brand = head = carriers.hotels[2 * tier + (one < 0.5)]
            else:
                brand = head = _pick(carriers.agencies, one)
            title = f"{head} {noun} {joint} {city}, {variant}".strip(" ,")
            attributes = tuple(word for word in (city, variant, brand) if word)
            yield Listing(title, 0, attributes), brand
