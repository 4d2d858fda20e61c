import pyarrow as pa
import pytest

from usergpt_jax import gazetteer, schema
from usergpt_jax.schema import NA, Implication
from usergpt_jax.tags import HPR18


def test_there_are_eighteen_tags_in_the_five_dimensions_of_the_paper():
    sizes = {d: sum(tag.dimension == d for tag in HPR18.tags) for d in HPR18.dimensions}
    assert sizes == {"LS": 3, "HC": 3, "LI": 3, "EP": 2, "GC": 7}


def test_every_closed_value_has_a_phrase_of_its_own():
    phrases = [phrase for tag in HPR18.tags for phrase in tag.phrases.values()]
    assert len(phrases) == len(set(phrases))
    assert all(set(tag.phrases) == set(tag.values) for tag in HPR18.tags if not tag.is_open)


def test_every_rule_names_tags_and_values_that_exist():
    for rule in HPR18.rules:
        for name, values in ((rule.if_tag, rule.if_values), (rule.then_tag, rule.then_values)):
            tag = HPR18[name]
            assert tag.is_open or set(values) <= set(tag.values), rule


def test_violations_name_the_broken_rule_and_na_breaks_none():
    values = {"resident_city": "Hangzhou", "resident_province": "Sichuan", "city_tier": "new_T1"}
    assert HPR18.violations(values) == [Implication("resident_city", ("Hangzhou",), "resident_province", ("Zhejiang",))]
    assert HPR18.violations({**values, "resident_province": NA}) == []
    assert HPR18.violations({}) == []


def test_a_missing_column_is_named_with_its_file():
    actual = schema.EVENT_SCHEMA.remove(schema.EVENT_SCHEMA.get_field_index("title"))
    with pytest.raises(schema.SchemaError, match=r"log\.parquet: column 'title' is missing"):
        schema.check_columns(actual, schema.EVENT_SCHEMA, "log.parquet")


def test_a_column_of_another_type_is_named_with_both_types():
    index = schema.EVENT_SCHEMA.get_field_index("price")
    actual = schema.EVENT_SCHEMA.set(index, pa.field("price", pa.string()))
    with pytest.raises(schema.SchemaError, match="'price' is string, expected float"):
        schema.check_columns(actual, schema.EVENT_SCHEMA, "log.parquet")


def test_dictionary_encoded_text_is_text():
    index = schema.EVENT_SCHEMA.get_field_index("source")
    actual = schema.EVENT_SCHEMA.set(index, pa.field("source", pa.dictionary(pa.int32(), pa.string())))
    schema.check_columns(actual, schema.EVENT_SCHEMA, "log.parquet")


@pytest.mark.parametrize("text", ["hangzhou", " Hangzhou ", "Hangzhou City", "HANGZHOU"])
def test_a_city_is_found_however_it_is_written(text):
    assert gazetteer.city_named(text).name == "Hangzhou"


def test_a_city_is_found_in_a_place_only_as_a_whole_word():
    assert gazetteer.city_in("Hangzhou Software Park").name == "Hangzhou"
    assert gazetteer.city_in("Hangzhounese Food") is None
