import re

import numpy as np
import polars as pl
import pytest

from usergpt_jax import gazetteer, locales, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.refine import refine_table
from usergpt_jax.semantize.title_entity import singular
from usergpt_jax.simulate import catalog, prices, titles
from usergpt_jax.tags import HPR18

VALUES = ("Diapers", "Baby", "Care", "ecommerce", "100", "baby", "diapers", "Size S|Size L", "6", "9-21")
ROW: dict[str, str] = dict(zip(catalog.COLUMNS, VALUES, strict=True))
BRANDS = {key: tuple(f"{key}{i}" for i in range(catalog.N_BRANDS)) for key in ("baby", "hotel", "airline", "travel")}
MARKET = catalog.Market("CNY", 1.0, ("G",), ("CQ",))


@pytest.fixture(scope="module")
def shelf():
    return catalog.load("cn")


@pytest.fixture(scope="module")
def gold():
    return catalog.gold_table("cn")


@pytest.fixture(scope="module")
def words():
    return titles.parse_words(locales.read_rows("title_words.csv", "cn"))


def parse(words, *rows, brands=BRANDS):
    return catalog.parse([ROW | row for row in rows], brands, words, ("Hangzhou", "Tokyo"), MARKET)


def items_of(shelf, source):
    """Numbers of the titles of a source's leaves."""
    leaves = np.flatnonzero(shelf.sources == schema.SOURCES.index(source))
    ends = np.append(shelf.title_start[1:], shelf.query_start[0])
    return np.concatenate([np.arange(shelf.title_start[leaf], ends[leaf]) for leaf in leaves])


def test_there_are_20000_products_with_unique_ids_and_one_gold_row_each(shelf, gold):
    assert gold.num_rows >= 20_000
    assert len(set(gold["item_id"].to_pylist())) == gold.num_rows
    assert gold["title"].to_pylist() == list(shelf.titles[: gold.num_rows])
    assert len(set(shelf.titles[: gold.num_rows])) > 0.999 * gold.num_rows
    assert set(gold["category"].to_pylist()) == set(shelf.leaves)


def test_titles_are_numbered_by_brand_variant_and_shop(shelf):
    leaf = shelf.leaves.index("Diapers")
    n = shelf.n_variants[leaf]
    for brand, variant, shop in ((0, 0, 0), (3, 2, 1), (11, 5, 1)):
        number = shelf.title_start[leaf] + (brand * n + variant) * catalog.N_SHOPS + shop
        name = shelf.brands[leaf][brand]
        assert re.sub(r"\s", "", name).lower() in re.sub(r"\s", "", shelf.titles[number]).lower()
        assert "Diapers" in shelf.titles[number]
        assert shelf.attributes[number][:2] == (
            name,
            ("Size NB", "Size S", "Size M", "Size L", "Size XL", "Size XXL")[variant],
        )
    assert shelf.titles[shelf.query_start[leaf] + 1] == "diapers size s"


def test_travel_titles_are_numbered_by_variant_and_destination(shelf):
    leaf, city = shelf.leaves.index("Flight Ticket"), 7
    number = shelf.title_start[leaf] + shelf.n_destinations + city
    assert re.search(r"Flight Ticket to [\w' ]+, Business Class$", shelf.titles[number])
    assert shelf.attributes[number][0] in shelf.titles[number]
    assert shelf.by_destination[leaf]


def test_the_catalogue_is_the_same_each_time_and_a_new_leaf_changes_no_other_title(words):
    alone = parse(words, {})
    again = parse(words, {"leaf": "Wipes", "noun": "wet wipes"}, {})
    assert alone.titles[: alone.query_start[0]] == again.titles[again.title_start[1] : again.query_start[0]]
    assert parse(words, {}).titles == alone.titles


def test_prices_rise_with_the_tier(shelf):
    leaf = np.arange(len(shelf.leaves))[:, None]
    of_brand = shelf.title_price(leaf, np.arange(catalog.N_BRANDS)[None], 0, 0)
    sold = ~np.isnan(shelf.price)
    branded = sold & ~shelf.by_destination
    assert (np.diff(of_brand[branded], axis=1) > 0).all()
    assert np.isnan(of_brand[~sold]).all()
    assert (of_brand[sold] > 0).all()
    np.testing.assert_array_equal(np.diff(of_brand[shelf.by_destination & sold], axis=1), 0)


def test_a_price_is_the_product_of_its_factors(words):
    shelf = parse(words, {})
    # Tier 4, its dearer brand, second variant, second shop: 0.36 * 2 + 0.1 / 2 + 0.06 + 0.04 / 2 = 0.85.
    assert shelf.title_price(0, 9, 1, 1) == pytest.approx(100 * np.exp(0.85), abs=0.005)
    assert catalog.title_price(0, 9, 1, 1) == catalog.load().title_price(0, 9, 1, 1)


def test_larger_packs_cost_more_but_less_a_piece():
    small, large = np.exp(prices.variant_log_prices(("5 kg", "10 kg"), by_destination=False))
    assert 1 < large / small < 2
    assert small * large == pytest.approx(1)


def test_gold_names_no_marketing_and_no_bait(gold, words):
    sold = {
        word for (slot, _), many in words.lists.items() for word in many if slot in ("opener", "closer", "festival")
    }
    selling = {re.sub(r"[\[\]]", "", word).lower() for word in sold} | {bait.lower() for bait, _, _ in titles.BAITS[1:]}
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, sorted(selling)))}|gift|sale)\b")
    entities = set(gold["core_entity"].to_pylist())
    assert [entity for entity in entities if pattern.search(entity.lower())] == []
    assert all(1 <= len(entity.split()) <= 5 and entity[0].isupper() for entity in entities)
    baited = {bait for bait, _, _ in titles.BAITS}
    for own in gold["attributes"].to_pylist():
        assert len(own) <= titles.MAX_ATTRIBUTES
        assert not baited & set(own)
        assert not any("gift" in word.lower() for word in own)


def test_gold_brand_and_variant_stand_in_the_title(gold):
    def letters(text):
        return re.sub(r"\W", "", text).lower()

    for row in gold.slice(0, 8000).to_pylist():
        assert letters(row["brand"]) in letters(row["title"])
        assert all(letters(one) in letters(row["title"]) for one in row["attributes"])
        assert row["price"] > 0


def test_a_tenth_of_goods_carry_a_bait_and_nothing_else_does(shelf):
    goods = items_of(shelf, "ecommerce")
    assert 0.08 < (shelf.bait[goods] > 0).mean() < 0.105
    assert shelf.bait.astype(bool).sum() == (shelf.bait[goods] > 0).sum()
    for number in goods[shelf.bait[goods] > 0][::50]:
        assert titles.BAITS[shelf.bait[number]][0] in shelf.titles[number]


def test_baits_suggest_values_that_tags_have():
    for word, tag, values in titles.BAITS[1:]:
        known = HPR18[tag].values or HPR18[tag].known_values
        assert word
        assert set(values) <= set(known)


def test_titles_have_a_marketplaces_length_and_the_shops_differ(shelf):
    goods = items_of(shelf, "ecommerce")
    lengths = [len(shelf.titles[number].split()) for number in goods]
    assert min(lengths) >= 3
    assert max(lengths) <= titles.MAX_WORDS
    first, second = goods[::2], goods[1::2]
    assert np.mean([shelf.titles[a] == shelf.titles[b] for a, b in zip(first, second, strict=True)]) < 0.001


@pytest.mark.parametrize("locale", locales.names())
def test_only_travel_titles_name_a_city(locale):
    shelf = catalog.load(locale)
    for source in ("poi", "delivery", "other", "ecommerce"):
        # Two brands of each leaf hold every word but the brands themselves.
        assert [
            shelf.titles[i] for i in items_of(shelf, source)[::5] if gazetteer.city_in(shelf.titles[i], locale)
        ] == []


def test_refinement_finds_the_gold_entity_without_a_category(shelf, gold):
    goods = items_of(shelf, "ecommerce")[::7]
    rows = gold.take(goods)
    table = pl.DataFrame({"title": rows["title"].to_pylist()}).with_columns(category=pl.lit(None, pl.String))
    found = refine_table(table)["entity"].to_list()

    def folded(text):
        return " ".join(singular(word) for word in text.lower().split())

    right = [folded(a) == folded(b) for a, b in zip(found, rows["core_entity"].to_pylist(), strict=True)]
    assert np.mean(right) > 0.85


def test_another_locale_has_its_own_brands_and_currency(shelf):
    other = catalog.load("us")
    assert len(other.leaves) == len(shelf.leaves)
    assert other.currency == "USD"
    assert all(a != b for a, b in zip(other.brands, shelf.brands, strict=True) if a)
    np.testing.assert_allclose(other.price, 0.22 * shelf.price)


def test_hours_are_half_hours(words):
    of = [parse(words, {"hours": hours}) for hours in ("", "9-21", "09:30-22:00", "18:00-02:00", "0-24")]
    assert [(int(s.opens[0]), int(s.closes[0])) for s in of] == [(0, 48), (18, 42), (19, 44), (36, 52), (0, 48)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"brands": "wine"}, r"leaf 'Diapers': unknown brand key 'wine'"),
        ({"hours": "9 to 5"}, r"leaf 'Diapers': hours '9 to 5', expected such as 9-21"),
        ({"hours": "25-26"}, r"hours '25-26', expected hours of a day"),
        ({"steps": "1|2|3"}, r"3 steps for 2 variants, expected 1"),
        ({"variants": "A|B|C", "steps": "9|3"}, r"steps '9\|3', expected rising whole months"),
        ({"price": "0"}, r"price '0', expected a positive number"),
        ({"price": "-5"}, r"price '-5', expected a positive number"),
        ({"level2": ""}, r"level2 is empty, expected a name"),
        ({"source": "web"}, r"source 'web', expected one of"),
        ({"variants": "A||B"}, r"leaf 'Diapers': variants 'A\|\|B', expected 1 to 6 names"),
        ({"variants": "A| |B"}, r"leaf 'Diapers': variants 'A\| \|B', expected 1 to 6 names"),
        ({"variants": " "}, r"leaf 'Diapers': variants ' ', expected 1 to 6 names"),
        ({"price": ""}, r"leaf 'Diapers': price is empty, expected a positive number on ecommerce"),
        ({"price": "", "source": "delivery"}, r"leaf 'Diapers': price is empty, expected .* on delivery"),
        ({"level1": None}, r"no column 'level1'"),
    ],
)
def test_a_bad_row_is_one_clear_line(words, row, message):
    with pytest.raises(InputError, match=message) as error:
        parse(words, row)
    assert "\n" not in str(error.value)


def test_a_leaf_twice_and_too_few_brands_are_named(words):
    with pytest.raises(InputError, match="leaf 'Diapers' stands twice"):
        parse(words, {}, {})
    with pytest.raises(InputError, match=r"brands.csv, key 'baby': 11 brands, expected 12"):
        parse(words, {}, brands=BRANDS | {"baby": BRANDS["baby"][:11]})
    with pytest.raises(InputError, match=r"titles of travel goods: unknown brand key 'hotel'"):
        parse(words, {}, brands={"baby": BRANDS["baby"]})


def test_a_word_list_that_cannot_be_read_is_named():
    with pytest.raises(InputError, match="bait of baby: 'Cheap' is no bait"):
        titles.parse_words([{"slot": "bait", "scope": "baby", "words": "Cheap"}])
    with pytest.raises(InputError, match="listed twice"):
        titles.parse_words([{"slot": "opener", "scope": "*", "words": "New"}] * 2)
    with pytest.raises(InputError, match="has an empty word"):
        titles.parse_words([{"slot": "opener", "scope": "*", "words": "New|"}])
