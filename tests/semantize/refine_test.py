import polars as pl
import pytest

from usergpt_jax.semantize import lexicon
from usergpt_jax.semantize.refine import ATTRIBUTES, place_table, refine_table, size_of
from usergpt_jax.semantize.title_entity import title_entity


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
        ("TRADITIONAL NAUGHTS & CROSSES", "Naughts & Crosses"),
        ("RUSTIC WOODEN CABINET, GLASS DOORS", "Wooden Cabinet"),
        ("Theme Park, Attraction Ticket in Beijing, Adult", "Attraction Ticket"),
        ("VINTAGE SHELLS PRINT", "Shells Print"),
        ("【包邮】小米无线蓝牙耳机", "小米无线蓝牙耳机"),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_a_title_without_category_comes_down_to_its_product_noun(title, entity):
    assert refine_title(title)[0] == entity


@pytest.mark.parametrize(
    ("title", "entity"),
    [
        ("BAKING MOULD HEART MILK CHOCOLATE", "Baking Mould"),
        ("JUMBO BAG PAISLEY PARK", "Bag"),
        ("TURQ ICE CREAM BUM BAG", "Bum Bag"),
        ("CHRISTMAS TREE STAR DECORATION", "Decoration"),
        ("TIN DARK CHOCOLATE", "Chocolate"),  # a tin holds it
        ("Milk Chocolate", "Milk Chocolate"),
        ("Paisley Park", "Park"),
    ],
)
def test_food_and_places_are_what_goods_picture(title, entity):
    assert refine_title(title)[0] == entity


@pytest.mark.parametrize(
    ("title", "entity"),
    [
        ("CHRISTMAS GINGHAM HEART", "Christmas Heart"),
        ("BLUE FELT HANGING HEART WITH FLOWER", "Felt Heart"),
        ("LAUREL HEART ANTIQUE GOLD", "Laurel Heart"),
        ("CARDHOLDER GINGHAM STAR", "Cardholder"),
        ("HANGING WOOD AND FELT BUTTERFLY", "Felt Butterfly"),
        ("Vintage", "Vintage"),  # nothing else is said
    ],
)
def test_a_title_without_a_known_noun_is_no_bare_modifier(title, entity):
    assert refine_title(title)[0] == entity


@pytest.mark.parametrize(
    ("one", "more"),
    [
        ("cookie", "cookies"), ("silk tie", "silk ties"), ("movie", "movies"), ("hoodie", "hoodies"), ("pie", "pies"),
        ("berry", "berries"), ("knife", "knives"), ("glove", "gloves"), ("shelf", "shelves"), ("prize", "prizes"),
        ("size", "sizes"), ("headache", "headaches"), ("torch", "torches"), ("brush", "brushes"), ("box", "boxes"),
        ("glass", "glasses"), ("bus", "buses"), ("vase", "vases"), ("lens", "lenses"), ("potato", "potatoes"),
        ("shoe", "shoes"), ("christmas", "christmas"), ("clothes", "clothes"), ("shorts", "shorts"), ("short", "short"),
    ],
)  # fmt: skip
def test_plurals_lose_their_ending_alone(one, more):
    assert " ".join(map(lexicon.singular, more.split())) == one
    assert lexicon.singular(one) == one


def test_singular_and_plural_of_a_noun_give_one_entity():
    for stem, noun in lexicon.nouns().items():
        if not {"for", "&"} & set(noun.split()):
            assert title_entity(noun).lower() == title_entity(stem).lower() == noun


def test_no_noun_is_listed_in_both_numbers():
    assert len(lexicon.nouns()) == len(lexicon.entries("nouns"))
    assert lexicon.words("motifs") <= set(lexicon.nouns())


def test_tissue_and_tissues_are_one_entity():
    titles = ("Christmas Tissue", "Christmas Tissues", "Chocolate Cookie", "Chocolate Cookies", "Red Sock", "Red Socks")
    assert [refine_title(title)[0] for title in titles] == [
        "Christmas Tissue", "Christmas Tissue", "Chocolate Cookie", "Chocolate Cookie", "Socks", "Socks",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("title", "size"),
    [
        ("Shirt Size S", "size S"),
        ("Shirt size:M", "size M"),
        ("SHIRT SIZE-L", "size L"),
        ("Shirt size 38", "size 38"),
        ("shirt size38", "size 38"),
        ("Diapers Stage 2", "size 2"),
        ("Crayons assorted sizes", None),
        ("Training Course in 3 Stages", None),
        ("FOOD COVER WITH BEADS , SET 2 SIZES", None),
        ("Oversize S-hook", None),
    ],
)
def test_a_size_follows_its_word_whole(title, size):
    table = refine_table(pl.DataFrame({"title": [title], "category": [None]}, schema_overrides={"category": pl.String}))
    assert table["size"].to_list() == [size]
    assert size_of(title) == size


@pytest.mark.parametrize(
    ("category", "entity"),
    [
        ("electronics.smartphone", "Smartphone"),
        ("appliances.kitchen.coffee_grinder", "Coffee Grinder"),
        ("apparel.t-shirt", "T-Shirt"),
        ("Dr. Oetker", "Dr. Oetker"),
        ("Dr.Oetker", "Dr.Oetker"),
        ("2.5 L", "2.5 L"),
        ("No. 5", "No. 5"),
        ("Version 2.5", "Version 2.5"),
    ],
)
def test_a_dotted_code_is_a_path(category, entity):
    assert refine_title("thing", category)[0] == entity


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
        ("RAINY LADIES BIRTHDAY CARD", "Birthday Card", ()),
        ("SET 10 CARDS 3 WISE MEN", "Card", ()),
        ("Birthday card for ladies", "Birthday Card", ("women",)),
        ("MEN'S BIRTHDAY CARD", "Birthday Card", ("men",)),
        ("LADIES CARD HOLDER", "Card Holder", ("women",)),
        ("LADIES WATCH", "Watch", ("women",)),
        ("LIPSTICK PEN BABY PINK", "Lipstick Pen", ()),
        ("PINK BABY BUNTING", "Bunting", ("baby",)),
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
