import csv
import datetime
import importlib.resources

import numpy as np
import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, catalog, places, priors
from usergpt_jax.simulate import needs as needs_lib
from usergpt_jax.tags import HPR18


def test_the_catalogue_has_at_least_120_leaves_and_all_are_used():
    shelf, library = catalog.load(), needs_lib.load()
    assert len(set(shelf.leaves)) == len(shelf.leaves) >= 120
    used = set(library.leaves[library.leaf_cdf > 0].tolist())
    assert {shelf.leaves[number] for number in range(len(shelf.leaves))} - {shelf.leaves[n] for n in used} == set()


def test_titles_name_the_core_entity_between_brand_and_marketing():
    shelf = catalog.load()
    number = shelf.leaves.index("Diapers")
    start, n = shelf.title_start[number], 6 * shelf.n_variants[number] * catalog.N_SHOPS
    titles = shelf.titles[start : start + n]
    assert all("diapers" in title for title in titles)
    assert any("Free Shipping" in title for title in titles)
    assert len(set(titles)) > n // 2


def test_a_desire_keeps_to_one_platform():
    shelf, library = catalog.load(), needs_lib.load()
    for row, shares in zip(library.leaves, np.diff(library.leaf_cdf, axis=1, prepend=0), strict=True):
        assert len(set(shelf.sources[row[shares > 0]].tolist())) == 1


def test_every_tag_but_places_has_declared_evidence():
    declared = needs_lib.load().evidence.any(axis=0)
    assert [tag for tag, has in zip(HPR18.names, declared, strict=True) if not has] == []


def test_an_unknown_word_in_a_desire_is_named():
    with pytest.raises(InputError, match=r"desire 'x' names the unknown value of gender 'man'"):
        needs_lib._log_factors("gender:man=2", "x")
    with pytest.raises(InputError, match=r"unknown group 'sex'"):
        needs_lib._log_factors("sex:male=2", "x")


def test_factors_multiply_and_star_stands_for_the_rest():
    base, column = needs_lib._log_factors("gender:male=2/*=0.5;interests:fishing=4/*=0.25", "x")
    factor = {name: np.exp(value) for name, value in zip(needs_lib.FEATURE_NAMES, column, strict=True)}
    assert factor["gender", "male"] == pytest.approx(2)
    assert factor["gender", "female"] == pytest.approx(0.5)
    assert np.exp(base) == pytest.approx(0.25)  # without the interest
    assert np.exp(base) * factor["interests", "fishing"] == pytest.approx(4)
    assert factor["interests", "music"] == pytest.approx(1)


def test_the_lexicon_names_leaves_tags_and_values_that_exist():
    path = importlib.resources.files("usergpt_jax") / "data" / "evidence.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["item"], row["tag"], row["value"]) for row in rows}) == len(rows) > 300
    for row in rows:
        assert row["item"] in catalog.load().leaves
        assert row["value"] in (HPR18[row["tag"]].values or priors.INTERESTS)
        assert 0 < float(row["weight"]) <= 1
    assert {row["value"] for row in rows if row["tag"] == "interests"} == set(priors.INTERESTS)


def test_festivals_fall_on_their_days():
    start = calendar.epoch_day(datetime.date(2024, 1, 1))
    table = calendar.day_features(start, 366)

    def marked(name: str) -> list[str]:
        days = np.nonzero(table[:, calendar.FEATURES.index(name)])[0]
        return [calendar.date_of(start + int(day)).isoformat() for day in days]

    assert "2024-02-10" in marked("spring_festival")  # first day of the lunar year 2024
    assert marked("double11") == ["2024-11-10", "2024-11-11", "2024-11-12"]
    assert marked("national_day")[0] == "2024-09-29"
    assert len(marked("weekend")) == 104


def test_place_names_hold_the_city():
    names = places.names()
    assert len(names) == len(places.DESTINATIONS) * places.N_PARTS
    for number, city in enumerate(places.CITIES):
        assert names[number * places.N_PARTS] == city.name
        assert names[number * places.N_PARTS + 3].startswith(f"{city.name} ")
