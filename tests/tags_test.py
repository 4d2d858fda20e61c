import pytest

from usergpt_jax import gazetteer
from usergpt_jax.core.errors import InputError
from usergpt_jax.tags import HPR18, hpr18, schema_name, tag_schema
from usergpt_jax.tasks import summary

US = tag_schema("hpr18_us")


def test_the_default_schema_is_hpr18():
    assert tag_schema("hpr18") is HPR18
    assert (HPR18.name, len(HPR18.tags)) == ("hpr18", 18)
    assert hpr18("us") is US
    assert schema_name("us") == US.name == "hpr18_us"


def test_a_locale_changes_only_where_people_live():
    assert US.names == HPR18.names
    places = {"resident_province", "resident_city", "hometown_province"}
    assert {a.name for a, b in zip(HPR18.tags, US.tags, strict=True) if a != b} == places
    assert US["resident_province"].values == gazetteer.provinces("us")
    assert US["resident_province"].question == "In which state does the user live?"
    assert "Chicago" in US["resident_city"].known_values


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_a_city_fixes_its_province_and_tier(locale):
    schema = hpr18(locale)
    for city in gazetteer.cities(locale):
        at_home = {"resident_city": city.name, "resident_province": city.province}
        assert not schema.violations(at_home | {"city_tier": city.tier})
        assert not schema.violations(at_home | {"city_tier": "rural"})
        assert schema.violations(at_home | {"resident_province": "elsewhere"})


@pytest.mark.parametrize("tag", US.tags, ids=lambda tag: tag.name)
def test_every_value_of_another_locale_is_read_back_from_its_sentence(tag):
    for value in tag.values or tag.known_values:
        assert summary.extract(US, summary.compose(US, {tag.name: value})) == {tag.name: value}


def test_an_unknown_schema_is_refused():
    with pytest.raises(InputError, match="'hpr18_mars' is not one of hpr18, hpr18_us"):
        tag_schema("hpr18_mars")
