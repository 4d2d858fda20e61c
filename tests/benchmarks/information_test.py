import datetime

import polars as pl
import pytest

from benchmarks import information, information_plot
from configs import quickstart
from usergpt_jax import schema
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.semantize import pipeline
from usergpt_jax.semantize.config import SemantizeConfig

AS_OF = datetime.datetime(2025, 7, 1)


@pytest.fixture(scope="module")
def prepared():
    """One user: two clicks on dresses, years ago, and a visit to a library yesterday."""
    columns = ("source", "action", "title", "category", "place", "price", "age_days")
    rows = [
        ("ecommerce", "click", "[Hot] Women's Dress", "Dress", None, 9.0, 700),
        ("ecommerce", "click", "Women's Dress red", "Dress", None, 9.0, 699),
        ("poi", "visit", "Library", "Library", "Beijing University Town", None, 1),
    ]
    events = pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        (pl.lit(AS_OF) - pl.duration(days="age_days")).alias("time"),
        pl.lit("u1").alias("user_id"),
        pl.lit(None, pl.String).alias("item_id"),
        pl.lit(None, pl.Float32).alias("quantity"),
        pl.col("price").cast(pl.Float32),
    )
    table = events.select(schema.EVENT_SCHEMA.names).to_arrow()
    section = to_dataclass(SemantizeConfig, quickstart.get_config().semantize, "semantize")
    return [pipeline.prepare(table, section, pipeline.survey_table(table, section, AS_OF), AS_OF)]


def test_a_raw_bag_holds_words_of_titles_and_places_and_categories(prepared):
    bag = information.bags_of(prepared, information.raw_words)["u1"]
    click, visit = schema.ACTIONS.index("click"), schema.ACTIONS.index("visit")
    poi = schema.SOURCES.index("poi")
    assert bag["word dress"] == 2
    assert bag["word red"] == 1
    assert bag[f"category Dress 0 {click}"] == 2
    assert bag[f"category Library {poi} {visit}"] == 1
    assert bag[f"word University {poi} place"] == 1


def test_a_refined_bag_holds_entities_attributes_and_cities_of_all_events(prepared):
    bag = information.bags_of(prepared, information.refined_words)["u1"]
    click, poi = schema.ACTIONS.index("click"), schema.SOURCES.index("poi")
    assert bag[f"text Dress 0 {click}"] == 2
    assert bag["text women audience"] == 2
    assert bag[f"text Beijing {poi} place"] == 1
    assert not any("Hot" in word for word in bag)


def test_rules_read_every_event(prepared):
    for items in (information.raw_items, information.refined_items):
        read = information.read_events(prepared, ["u1"], items)
        assert set(read) == {"u1"}
        assert set(read["u1"]) == set(information.TAGS.names)
    assert read["u1"]["resident_city"] == "Beijing"  # a visit there


def test_the_plots_are_drawn_from_the_figures(tmp_path):
    def reader(mean):
        tags = dict.fromkeys(information.TAGS.names, mean)
        return {"mean": mean, "interval": [mean - 0.02, mean + 0.01], "tags": tags}

    rows = [
        {"name": name, "tokens": tokens, "linear": reader(0.6), "rules": reader(0.5)}
        for name, tokens in (("raw", 90000), ("refined", 40000), ("64", 60), ("230", 200), ("longer 64", 62))
    ]
    information_plot.draw({"representations": rows, "majority": reader(0.4)}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"information.png", "information_by_tag.png"}
