import numpy as np
import pytest

from usergpt_jax import gazetteer, locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import places

LOCALES = ("cn", "us")


@pytest.mark.parametrize("locale", LOCALES)
def test_place_numbers_are_city_times_parts_plus_part(locale):
    here, names = places.load(locale), places.load(locale).names()
    assert len(names) == len(here.destinations) * here.n_parts
    city, part = 3, int(here.zone_part[0, 1])
    assert names[city * here.n_parts] == here.cities[city].name
    assert names[city * here.n_parts + part] == f"{here.cities[city].name} {here.parts[part]}"


@pytest.mark.parametrize("locale", LOCALES)
def test_every_place_at_home_names_its_city(locale):
    here, names = places.load(locale), places.load(locale).names()
    for number, city in enumerate(here.cities):
        block = names[number * here.n_parts : (number + 1) * here.n_parts]
        assert {gazetteer.city_in(name, locale) for name in block} == {city}


@pytest.mark.parametrize("locale", LOCALES)
def test_columns_agree_with_the_gazetteer(locale):
    here = places.load(locale)
    for city, tier, province, people in zip(
        here.cities, here.city_tier, here.city_province, here.population, strict=True
    ):
        assert gazetteer.CITY_TIERS[tier] == city.tier
        assert (here.provinces[province], people) == (city.province, city.population_millions)


@pytest.mark.parametrize("locale", LOCALES)
def test_parts_have_one_row_for_each_tag_value(locale):
    here = places.load(locale)
    shapes = [here.zone_part.shape, here.home_part.shape, here.school_part.shape]
    assert shapes == [(len(places.ZONES), 4), (len(places.TENURES), 2), (len(places.SCHOOLS), 2)]
    assert here.hometown_part.shape == here.hotel_part.shape == here.station_part.shape == (2,)
    away = {*here.hometown_part, *here.hotel_part, *here.station_part}
    assert len(away) == 6
    assert not away & {*here.zone_part.flat, *here.home_part.flat, 0}


@pytest.mark.parametrize("locale", LOCALES)
def test_trips_go_home_for_business_and_leisure_and_abroad_for_outbound(locale):
    here = places.load(locale)
    n = len(here.cities)
    np.testing.assert_allclose(here.destination_weights.sum(axis=1), 1.0)
    assert (here.destination_weights[:2, n:] == 0).all()
    assert (here.destination_weights[2, :n] == 0).all()
    assert here.destination_weights[0].argmax() in np.flatnonzero(here.city_tier == 0)


@pytest.mark.parametrize("locale", LOCALES)
def test_short_trips_stay_near_and_never_go_abroad(locale):
    here = places.load(locale)
    np.testing.assert_allclose(here.nearby_weights.sum(axis=1), 1.0)
    assert (here.nearby_weights[:, len(here.cities) :] == 0).all()


def test_short_trips_prefer_the_own_province_and_leave_a_province_of_one_city():
    here = places.load("cn")
    jiangsu, beijing = here.provinces.index("Jiangsu"), here.provinces.index("Beijing")
    assert here.nearby_weights[jiangsu][here.destinations.index("Nanjing")] > 0.1
    assert here.nearby_weights[jiangsu][here.destinations.index("Urumqi")] == 0
    assert here.nearby_weights[beijing][here.destinations.index("Beijing")] == 0
    assert here.nearby_weights[beijing][here.destinations.index("Tianjin")] > 0.1


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("destinations.csv", "Atlantis,home,1", r"row 1 \(Atlantis\): expected a city of cities.csv at home"),
        ("destinations.csv", "Beijing,abroad,1", r"row 1 \(Beijing\): expected a city of cities.csv at home"),
        ("destinations.csv", "Beijing,here,1", "where 'here' is not one of home, abroad"),
        ("destinations.csv", "Beijing,home,0", "weight '0': expected a number above 0"),
        ("destinations.csv", "Beijing,home,1", "expected at least one destination abroad"),
        ("provinces.csv", "Beijing,north", "no region of 'Anhui'"),
        ("parts.csv", "zone,moon,A|B|C|D", "zone of 'moon': expected cbd_office"),
        ("parts.csv", "zone,campus,A|B", r"row 1 \(campus\): parts 'A|B': expected 4 names"),
        ("parts.csv", "home,own,A|B", "no row zone,cbd_office; expected one each"),
    ],
)
def test_bad_places_stop_with_one_line(monkeypatch, name, line, message):
    heads = {"destinations.csv": "destination,where,weight", "provinces.csv": "province,region"}
    head = heads.get(name, "kind,of,parts")
    gazetteer.provinces("cn")  # read before the files are replaced
    read = locales.read_text
    monkeypatch.setattr(
        locales, "read_text", lambda file, locale: f"{head}\n{line}\n" if file == name else read(file, locale)
    )
    with pytest.raises(InputError, match=message) as caught:
        places.load.__wrapped__("cn")
    assert "\n" not in str(caught.value)
