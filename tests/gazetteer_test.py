import pytest

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError


def test_the_default_locale_is_cn():
    assert gazetteer.cities() == gazetteer.cities("cn")
    assert len(gazetteer.provinces()) == 31


def test_locales_hold_different_cities():
    assert not {city.name for city in gazetteer.cities("cn")} & {city.name for city in gazetteer.cities("us")}
    assert gazetteer.city_named("beijing", "us") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Flights from Saint Louis to Boise", "Saint Louis"),
        ("Kansas City Union Station", "Kansas City"),
        ("new york midtown", "New York"),
        ("Yorkshire", None),
    ],
)
def test_the_first_city_in_a_text_is_found(text, name):
    found = gazetteer.city_in(text, "us")
    assert (found and found.name) == name


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_every_city_is_found_by_its_own_name(locale):
    for city in gazetteer.cities(locale):
        assert gazetteer.city_named(f" {city.name.upper()} ", locale) == city
        assert gazetteer.city_in(f"to {city.name}, tomorrow", locale) == city


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_every_tier_has_a_city(locale):
    assert {city.tier for city in gazetteer.cities(locale)} == set(gazetteer.CITY_TIERS)


def test_names_end_in_city_or_prefecture_or_neither():
    assert gazetteer.city_named("Hangzhou city") == gazetteer.city_named("hangzhou prefecture")
    assert gazetteer.city_named("Jilin City") in gazetteer.cities()


def test_provinces_are_called_states_in_us():
    assert (gazetteer.province_word(), gazetteer.province_word("us")) == ("province", "state")


def test_an_unknown_locale_is_refused():
    with pytest.raises(InputError, match="'mars' is not one of cn, us"):
        gazetteer.cities("mars")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("Oz,Kansas,T9,1", r"row 1 \(Oz\): tier 'T9' is not one of T1"),
        ("Oz,,T1,1", "row 1: expected a city and its province"),
        ("Oz,Kansas,T1,many", r"row 1 \(Oz\): population_millions 'many': expected a number above 0"),
        ("Oz,Kansas,T1,1\noz,Utah,T1,1", "row 2: city 'oz' stands twice"),
        ("Oz,Kansas,T1", r"row 1 \(Oz\): 3 fields; expected 4"),
        ("", "expected at least one city"),
    ],
)
def test_a_bad_city_stops_with_one_line(monkeypatch, lines, message):
    head = "city,province,tier,population_millions"
    monkeypatch.setattr(locales, "read_text", lambda name, locale: f"{head}\n{lines}\n")
    with pytest.raises(InputError, match=message) as caught:
        gazetteer.cities.__wrapped__("us")
    assert str(caught.value).startswith("cities.csv of locale 'us'")


def test_a_file_without_a_column_stops_with_one_line(monkeypatch):
    monkeypatch.setattr(locales, "read_text", lambda name, locale: "city,tier\nOz,T1\n")
    with pytest.raises(InputError, match="no column 'province'; its head is city, tier"):
        gazetteer.cities.__wrapped__("us")
