"""Refinement: from a noisy title to one core entity and at most three attributes, once per distinct title.

Brackets, marketing words and units go first. With a category its leaf is the core entity and the title only lends
attributes: size, age or school grade, audience, brand. Without one the entity is the title's product noun.

Paper: §2.2. Differs from the paper: rules and lexicons instead of a fine-tuned LM.
"""

import re
import unicodedata

import polars as pl

from usergpt_jax import gazetteer
from usergpt_jax.semantize import lexicon
from usergpt_jax.semantize.title_entity import title_case, title_entity

ATTRIBUTES = ("size", "audience", "brand")  # at most one of each, most salient first
_MAX_READ_CHARS = 500  # a title is read this far
# Who is flattered by a phrase is not who buys: "Kid Friendly", "Student Favourite", "Couple Style".
_FLATTERY = r"(?i)\b\w+[\sǂ](?:friendly|safe|favou?rites?|style|approved|inspired)\b"
HYPHEN = "ǂ"  # stands for a hyphen inside a word while \b must not split it

_BRACKETS = r"【[^】]*】|\[[^\]]*\]|\{[^}]*\}|《[^》]*》|「[^」]*」|\*[^*]*\*|\([^)]*\)"
_SYMBOLS = r"[!！~★☆❤♥♪<>|]+"
_UNIT = (
    r"(?i)\b\d+(?:[.,]\d+)?\s*(?:x\s*\d+(?:[.,]\d+)?\s*)?"
    r"(?:pcs?|pieces?|packs?|pk|tier|sheets?|bags?|boxes|bottles?|rolls?|count|ct|ml|cl|l|kg|g|mg|oz|lb|cm|mm|m|inch(?:es)?|"
    r"in|w|v|mah|gb|tb|% off|x|pairs?|tablets|capsules|drawers?|hooks?|colours?|'?s)\b|\d+%(?:\s*off)?"
)
_SIZE = r"(?i)\b(?:size|stage)\s*[:=-]?\s*(\d{1,3}|\b(?:NB|X{0,3}[SL]|M))\b"
_LETTER_SIZE = r"(?:^|\s)(NB|XS|XL|XXL|XXXL|[SML])(?:\s|$)"
_AGE = r"(?i)\b(\d{1,2}\s?(?:-|–|to)\s?\d{1,2}\s?(?:months?|years?|yrs?))\b"
_GRADE = r"(?i)\bgrade\s*(\d{1,2})\b"
_DESIGN = r"(?:\w+ ){1,2}(?:design|motif|pattern|print)s?\b"
_ANIMALS = r"cats?|kittens?|dogs?|pupp(?:y|ies)"
_ANIMAL_GOODS = r"(?:baskets?|beds?|biscuits?|bowls?|coats?|collars?|food|leads?|litter|shampoo|toys?|treats?)\b"
_PERSONS = r"girl|boy|lady"
_WEAR = (
    r"(?:clothes|coats?|dress(?:es)?|hats?|jackets?|jeans|outfits?|pyjamas|shirts?|shoes?|shorts|skirts?|socks?|"
    r"swimsuits?|trousers)\b"
)
# Persons in the plural are who is shown on what bears a picture.
_SHOWN = r"babies|boys|children|gentlemen|girls|ladies|men|women"
_PICTURES = r"\b(?:cards?|pictures?|posters?|prints?|signs?|wall art)\b"
_FOR_CARDS = r"\bcards? (?:box|case|game|holder|organi[sz]er|slot|wallet)"
_BABY_COLOUR = rf"\bbaby[ {HYPHEN}](?:blue|pink|yellow)\b"
_LEAF = r"^.*(?:>|::|\||\s/\s|»)"
_CODE = re.compile(r"[^\W\d_][\w-]{2,}(?:\.[^\W\d_][\w-]+)+")  # neither "Dr.Oetker" nor "No.5" nor "2.5"


def refine_table(titles: pl.DataFrame) -> pl.DataFrame:
    """Refines distinct pairs of title and category.

    Args:
      titles: `title` (any text), `category` (perhaps a path such as "Baby > Wet Wipes", or null).

    Returns:
      the pairs with `entity` (Title Case, "" when nothing is left), `size` (or age or school grade), `audience` and
      `brand`, null where the title has none.
    """
    text = without_marketing(pl.col("title")).str.replace_all(_UNIT, " ").str.strip_chars()
    table = titles.lazy().select("title", "category", text.alias("text"), leaf(titles["category"])).collect()
    bare = table.filter(pl.col("leaf").is_null()).select(pl.col("text").unique(maintain_order=True)).to_series()
    nouns = pl.DataFrame(
        {"text": bare, "noun": pl.Series([title_entity(one.replace(HYPHEN, "-")) for one in bare], dtype=pl.String)}
    )
    return (
        table.join(nouns, on="text", how="left", maintain_order="left")
        .with_columns(pl.coalesce("leaf", "noun", pl.lit("")).alias("entity"))
        .with_columns(_attributes())
        .select("title", "category", "entity", *ATTRIBUTES)
    )


def without_marketing(title: pl.Expr) -> pl.Expr:
    """Titles without brackets, symbols, flattery and marketing words; a hyphen within a word becomes `HYPHEN`."""
    text = title.str.head(_MAX_READ_CHARS).str.normalize("NFKC").str.replace_all("’", "'", literal=True)
    unbracketed = text.str.replace_all(_BRACKETS, " ").str.replace_all(_SYMBOLS, " ")
    text = pl.when(unbracketed.str.strip_chars() != "").then(unbracketed).otherwise(text)
    for _ in range(2):  # the second pass meets the other half of a-b-c
        text = text.str.replace_all(r"(\w)-(\w)", "${1}" + HYPHEN + "${2}")
    phrases = sorted(lexicon.entries("marketing_words"), key=lambda phrase: (-len(phrase), phrase))
    pattern = "|".join(re.escape(phrase.replace("-", HYPHEN)).replace(r"\ ", r"\s+") for phrase in phrases)
    return text.str.replace_all(_FLATTERY, " ").str.replace_all(rf"(?i)\b(?:{pattern})\b", " ")


def leaf(categories: pl.Series) -> pl.Series:
    """The last part of each category path in Title Case, null for a null or blank category."""
    distinct = categories.drop_nulls().unique(maintain_order=True)
    plain = pl.Series([spelled_path(one) for one in distinct], dtype=pl.String).str.strip_chars(" >|/:»")
    leaves = [title_case(" ".join(part.split())) or None for part in plain.str.replace(_LEAF, "")]
    return categories.replace_strict(
        distinct, pl.Series(leaves, dtype=pl.String), default=None, return_dtype=pl.String
    ).alias("leaf")


def spelled_path(category: str) -> str:
    """A category in plain letters, a dotted code as a path: "appliances.coffee_mill" -> "appliances > coffee mill"."""
    text = unicodedata.normalize("NFKC", category).strip()
    return (text.replace(".", " > ") if _CODE.fullmatch(text) else text).replace("_", " ")


def _attributes() -> list[pl.Expr]:
    """What the title states and `entity` does not; only a title with a category shows its brand by position."""
    text, entity = pl.col("title").str.head(_MAX_READ_CHARS), pl.col("entity").str.to_lowercase()
    letters = pl.coalesce(text.str.extract(_SIZE), pl.col("text").str.extract(_LETTER_SIZE)).str.to_uppercase()
    size = pl.coalesce(
        text.str.extract(_AGE).str.to_lowercase(),
        pl.format("grade {}", text.str.extract(_GRADE)),
        pl.format("size {}", letters),
    )
    names = lexicon.audiences()
    pattern = "|".join(re.escape(word) for word in sorted(names, key=lambda word: (-len(word), word)))
    low = pl.col("text").str.to_lowercase().str.replace_all(_BABY_COLOUR, " ")
    addressed = pl.when(pl.col("leaf").is_null()).then(_without_motifs(low)).otherwise(low)
    said = addressed.str.extract_all(rf"\b(?:{pattern})\b")
    audiences = [said.list.get(i, null_on_oob=True).replace_strict(names, default=None) for i in (0, 1)]
    fresh = [pl.when(~entity.str.contains(one.str.strip_suffix("s"), literal=True)).then(one) for one in audiences]
    brand = pl.when(pl.col("leaf").is_not_null()).then(_brand(entity))
    return [size.alias("size"), pl.coalesce(fresh).alias("audience"), brand.alias("brand")]


def _without_motifs(text: pl.Expr) -> pl.Expr:
    """A title in lower case, without persons and animals that are its motif: a girl on a lunch box does not buy it.

    One that follows "for" stays, an animal before what animals need, a person before what is worn; so do persons in the
    plural, but on pictures.
    """
    motifs = f"{_ANIMALS}|{_PERSONS}"
    kept = text.str.replace_all(_DESIGN, " ").str.replace_all(
        rf"\b(for (?:the |a |your |my )?)({motifs}|{_SHOWN})\b", "${1}_${2}"
    )
    for who, goods in ((_ANIMALS, _ANIMAL_GOODS), (_PERSONS, _WEAR)):
        kept = kept.str.replace_all(rf"\b({who})( {goods})", "_${1}${2}")
    is_picture = text.str.contains(_PICTURES) & ~text.str.contains(_FOR_CARDS)
    shown = pl.when(is_picture).then(kept.str.replace_all(rf"\b(?:{_SHOWN})( |$)", " ")).otherwise(kept)
    return shown.str.replace_all(rf"\b(?:{motifs})\b", " ").str.replace_all(r"\b_", "")


def size_of(text: str) -> str | None:
    """The age, school grade or size that a text states, worded as in `refine_table`; None without one."""
    if age := re.search(_AGE, text):
        return age[1].lower()
    if grade := re.search(_GRADE, text):
        return f"grade {grade[1]}"
    letters = re.search(_SIZE, text) or re.search(_LETTER_SIZE, text)
    return f"size {letters[1].upper()}" if letters else None


def _brand(entity: pl.Expr) -> pl.Expr:
    """The capitalised word that opens a title, unless entity or lexicons know it; null when there is none."""
    word = pl.col("text").str.extract(r"^\W*(\w[\w&'.]+)").str.replace_all(HYPHEN, "-", literal=True)
    known = word.str.to_lowercase()
    listed = {*lexicon.words("modifiers"), *lexicon.audiences(), *lexicon.words("nouns"), *lexicon.words("stop_words")}
    stem = known.str.strip_suffix("s")
    mixed_case = pl.col("text").str.contains(r"\p{Ll}")  # in SHOUTED TITLES a capital says nothing
    is_brand = (
        mixed_case
        & word.str.contains(r"^\p{Lu}")
        & ~known.is_in(sorted(listed))
        & ~entity.str.contains(stem, literal=True)
    )
    return pl.when(is_brand).then(word)


def place_table(places: pl.Series, locale: str = gazetteer.ANY) -> pl.DataFrame:
    """Splits each distinct place: "Hangzhou University Town" is the `city` Hangzhou and the `area` University Town.

    A place without a city of the locale's gazetteer is its own `city`, and has no area (null).
    """
    cities = [gazetteer.city_in(place, locale) for place in places]
    names = [city.name if city else place for city, place in zip(cities, places, strict=True)]
    areas = [
        re.sub(re.escape(city.name), "", place, count=1, flags=re.IGNORECASE).strip(" ,;-/") or None if city else None
        for city, place in zip(cities, places, strict=True)
    ]
    texts = {"city": pl.Series(names, dtype=pl.String), "area": pl.Series(areas, dtype=pl.String)}
    return pl.DataFrame({"place": places, **texts})


def title_city_table(titles: pl.Series, locale: str = gazetteer.ANY) -> pl.DataFrame:
    """The city that each distinct title names, as `title_city`; titles without one are absent."""
    named = titles.str.head(_MAX_READ_CHARS).str.extract(gazetteer.city_pattern(locale))
    words = named.drop_nulls().unique(maintain_order=True)
    cities = [gazetteer.city_in(word, locale) for word in words]
    names = pl.Series([city.name if city else None for city in cities], dtype=pl.String)
    city = named.replace_strict(words, names, default=None, return_dtype=pl.String)
    return pl.DataFrame({"title": titles, "title_city": city}).drop_nulls()
