import polars as pl
import pytest

from usergpt_jax.semantize import refine
from usergpt_jax.semantize.refiners import answers, enrich, rules
from usergpt_jax.semantize.refiners.answers import as_columns, checked


def table(*rows):
    titles, categories = zip(*rows, strict=True)
    return pl.DataFrame({"title": titles, "category": categories}, schema_overrides={"category": pl.String})


@pytest.mark.parametrize(
    ("title", "category", "entity", "attributes"),
    [
        (
            "[Hot Sale] Woodrow Sturdy Shop Display Shelf Four Tier Free Shipping",
            "Shelves",
            "Shop Display Shelf",
            ["Woodrow", "Four Tier"],
        ),
        ("TerraViva Selected Loose Leaf Tea", None, "Loose Leaf Tea", ["Terra Viva"]),
        ("Zhaolun Warm Women's Wool Coat Trench Kid Friendly", None, "Wool Coat", ["Zhaolun", "Trench", "women's"]),
        ("Sky Tower, Museum Ticket in Xining, Regular", "Museum Ticket", "Museum Ticket", ["Xining", "Regular"]),
        ("Nordic Oak Dining Table Six Seats Zulang", None, "Dining Table", ["Zulang", "Six Seats", "oak"]),
        ("nylon work gloves rubber", "Work Gloves", "Nylon Work Gloves", ["rubber"]),
        ("Blue Door", "Coffee Shop", "Coffee Shop", []),
    ],
)
def test_rules_find_noun_brand_and_variant(title, category, entity, attributes):
    row = rules.answers(table((title, category))).row(0, named=True)
    assert row["entity"] == entity
    if attributes:
        assert row["attributes"] == attributes


@pytest.mark.parametrize("title", ["", "!!!", "【包邮】小米", "618", "a" * 2000, "| ; |", "for for for", "in Beijing"])
def test_rules_bear_any_title(title):
    made = rules.answers(table((title, None), (title, "Tea")))
    assert made["entity"].to_list()[1] == "Tea"
    assert made["entity"].null_count() == 0


def test_a_short_title_without_category_is_what_its_brand_sells():
    assert enrich.entity_of("Pawsome", None) == "Pets"
    assert enrich.entity_of("Beijing Pawsome", None) == "Pets"
    assert enrich.entity_of("Pawsome", "Dog Food") == "Dog Food"
    assert enrich.entity_of("T3 Duty Free", None) == "Airport Terminal"
    assert enrich.entity_of("nothing that is known here", None) == ""


def test_models_that_the_rules_help_out_keep_their_own_identity():
    assert rules.with_rules("a") != rules.with_rules("b")


def answered(entity, *stated, title="t", category=None):
    return pl.DataFrame([(title, category, entity, list(stated), None)], schema=answers.SCHEMA, orient="row")


def test_attributes_become_the_columns_of_the_table():
    row = as_columns(answered("Wool Coat", "Urban Thread", "Size XL", "Women's")).row(0, named=True)
    assert row == {
        "title": "t", "category": None, "entity": "Wool Coat", "size": "size XL", "audience": "women",
        "brand": "Urban Thread",
    }  # fmt: skip
    row = as_columns(answered("Wool Coat", "Wuhu", "Adult", category="Apparel > Coats")).row(0, named=True)
    assert (row["entity"], row["brand"]) == ("Coats", None)  # a city is no brand, and the leaf is the entity


def test_rules_answer_where_a_model_fails():
    pairs = table(("Woodrow Display Shelf", None), ("Zulang Tea", None), ("Movit Yoga Mat", None))
    made = checked(pairs, ["display shelf | woodrow; made up", "nonsense here", None], rules.answers)
    assert made["entity"].to_list() == ["Display Shelf", "Tea", "Yoga Mat"]
    assert made["fallback"].to_list() == [None, answers.MALFORMED, answers.UNREACHABLE]
    assert made["attributes"].to_list()[0] == ["Woodrow"]
    assert made["attributes"].to_list()[1] == ["Zulang"]


def test_the_contract_has_the_columns_of_refine_table():
    pairs = table(("Woodrow Display Shelf", "Shelves"), ("", None))
    assert as_columns(rules.answers(pairs)).schema == refine.refine_table(pairs).schema


def test_rules_answer_where_a_model_is_unsure():
    pairs = table(("Woodrow Display Shelf", None), ("Zulang Tea", None))
    made = checked(pairs, ["display | woodrow", "zulang tea"], rules.answers, unsure={1})
    assert made["entity"].to_list() == ["Display", "Tea"]
    assert made["fallback"].to_list() == [None, answers.UNSURE]
