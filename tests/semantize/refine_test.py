import polars as pl
import pytest

from usergpt_jax.semantize.refine import ATTRIBUTES, place_table, refine_table


def refine_title(title: str, category: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Entity and attributes of one title."""
    table = pl.DataFrame({"title": [title], "category": pl.Series([category], dtype=pl.String)})
    row = refine_table(table).row(0, named=True)
    return row["entity"], tuple(row[name] for name in ATTRIBUTES if row[name])


@pytest.mark.parametrize(
    ("title", "entity"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "T-Light Holder"),
        ("JUMBO BAG RED RETROSPOT", "Bag"),
        ("SET OF 3 CAKE TINS PANTRY DESIGN ", "Cake Tin"),
        ("PACK OF 72 RETROSPOT CAKE CASES", "Cake Case"),
        ("ROSES REGENCY TEACUP AND SAUCER ", "Teacup"),
        ("CHOCOLATE HOT WATER BOTTLE", "Hot Water Bottle"),
        ("HEART OF WICKER SMALL", "Wicker Heart"),
        ("ASSORTED COLOUR BIRD ORNAMENT", "Bird Ornament"),
        ("SET/20 RED RETROSPOT PAPER NAPKINS ", "Paper Napkin"),
        ("【包邮】小米无线蓝牙耳机", "小米无线蓝牙耳机"),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_a_title_without_category_comes_down_to_its_product_noun(title, entity):
    assert refine_title(title)[0] == entity


@pytest.mark.parametrize(
    ("title", "category", "entity", "attributes"),
    [
        ("【618 Hot Sale】Huggies Wet Wipes for Baby 80pcs x 5", "Baby > Wet Wipes", "Wet Wipes", ("baby", "Huggies")),
        ("Pampers Diapers Size L 44 pcs", "Diapers", "Diapers", ("size L", "Pampers")),
        ("Zara Women's Dress new arrival", "dress", "Dress", ("women", "Zara")),
        ("new-born onesie 0-6 months", "Baby_Clothes", "Baby Clothes", ("0-6 months",)),
        ("Jinhe 1.8 L oil Couple Style", "Cooking Oil", "Cooking Oil", ("Jinhe",)),
        ("Nike Men's shoes size 38", "Shoes", "Shoes", ("size 38", "men", "Nike")),
        ("Wet Wipes free shipping", "Wet Wipes", "Wet Wipes", ()),
        ("TOASTRACK DAIRY MAID", "Toy", "Toy", ()),
    ],
)
def test_a_category_is_the_entity_and_the_title_lends_attributes(title, category, entity, attributes):
    assert refine_title(title, category) == (entity, attributes)


@pytest.mark.parametrize(
    ("title", "entity", "attributes"),
    [
        ("LUNCH BAG DOLLY GIRL DESIGN", "Lunch Bag", ()),
        ("COFFEE MUG DOG + BALL DESIGN", "Coffee Mug", ()),
        ("3D DOG PICTURE CARDS", "Picture Card", ()),
        ("DOORMAT 3 SMILEY CATS", "Doormat", ()),
        ("DOG BOWL VINTAGE CREAM", "Bowl", ("dogs",)),
        ("Girl Dress Summer", "Dress", ("girls",)),
        ("GIRLS VINTAGE TIN SEASIDE BUCKET", "Seaside Bucket", ("girls",)),
        ("Brush for your dog", "Brush", ("dogs",)),
    ],
)
def test_a_person_or_animal_on_a_product_without_category_does_not_use_it(title, entity, attributes):
    assert refine_title(title) == (entity, attributes)


def test_marketing_words_do_not_become_evidence():
    for bait in ("renter-friendly", "maternity-grade", "couples", "[women]"):
        assert refine_title(f"{bait} shelf", "Shelf") == ("Shelf", ())


def test_table_keeps_the_order_of_its_rows():
    titles = pl.DataFrame({"title": ["Tea", "Bag", "Tea"], "category": ["Green Tea", None, None]})
    table = refine_table(titles)
    assert table["title"].to_list() == ["Tea", "Bag", "Tea"]
    assert table["entity"].to_list() == ["Green Tea", "Bag", "Tea"]


def test_a_place_is_its_city_or_itself():
    places = pl.Series(["Xihu District, Hangzhou", "Atlantis"])
    table = place_table(places)
    assert table["city"].to_list() == ["Hangzhou", "Atlantis"]
    assert table["area"].to_list() == ["Xihu District", None]
