import polars as pl

from usergpt_jax.semantize.filter import filter_entities, filter_places


def table(entities, size=None):
    texts = {"entity": entities, "size": [size] * len(entities), "audience": None, "brand": None}
    return pl.DataFrame(texts, schema_overrides=dict.fromkeys(texts, pl.String))


def test_each_kind_of_noise_is_dropped_with_its_reason():
    entities = ["Wet Wipes", "", "\u200b\n", "Unknown", "a b c d e f g", "x" * 60, "12-34 % 56"]
    reasons = filter_entities(table(entities))["dropped"].to_list()
    assert reasons == [None, "empty", "empty", "stop_word", "too_long", "too_long", "too_complex"]


def test_entities_and_attributes_come_out_escaped():
    row = filter_entities(table(["Tea | <think>, x"], "siz[e], (L)")).row(0, named=True)
    assert row["entity"] == "Tea / ‹think›; x"
    assert row["size"] == "size L"


def test_places_are_escaped_and_cut():
    places = pl.DataFrame({"place": ["a", "b", "c"], "city": ["Bei\njing", "  ", "y" * 99], "area": ["a|b", None, ""]})
    assert filter_places(places)["city"].to_list() == ["Bei jing", None, "y" * 48]
