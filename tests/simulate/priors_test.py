import copy
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import population, priors


@pytest.fixture(scope="module")
def tables() -> dict:
    return tomllib.loads(locales.read_text("priors.toml", "cn"))


def changed(tables: dict, path: str, value) -> dict:
    """The tables with one entry set; None removes it."""
    new = copy.deepcopy(tables)
    *outer, key = path.split("/")
    table = new
    for name in outer:
        table = table[name]
    if value is None:
        del table[key]
    else:
        table[key] = value
    return new


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_built_in_priors_are_complete(locale):
    known = priors.load(locale)
    for shares in (known.age_share, known.education_share, known.household_size, known.job_share, known.pet_share):
        assert abs(shares.sum() - 1) < 1e-9
        assert (shares >= 0).all()
    assert set(known.modelled.values()) <= {True, False}


def test_old_people_are_brought_up_to_date():
    known = priors.load("cn")
    assert abs(known.age_share[known.age_from >= 60].sum() - 0.22) < 1e-9
    assert abs(known.age_share[known.age_from >= 65].sum() - 0.156) < 1e-9


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("education/share", [69.4, 15.1, 14.0], "table education: share sums to 98.5, expected 100"),
        ("education/share", [69.4, 30.6], "table education: share has 2 numbers, expected 3"),
        ("education/share", [69.4, 40.0, -9.4], "table education: share holds the negative number -9.4"),
        ("education/share", [69.4, "much", 15.5], "table education: share holds 'much', expected a number"),
        ("education/share", [69.4, float("nan"), 15.5], "table education: share holds nan"),
        ("education/share", None, "table education: share is missing"),
        ("education", None, "table education: education is missing"),
        ("education/source", None, "table education: source is missing"),
        ("education/modelled", "no", "table education: modelled is missing or not bool"),
        ("education/shares", [1], "table education: unknown key 'shares'"),
        ("horoscope", {"source": "s", "year": 1, "modelled": True}, "table horoscope: unknown key"),
        ("age/share", [100.0], "table age: share has 1 numbers, expected 19"),
        ("province/population_millions/Beijing", None, "table province: population_millions lacks 'Beijing'"),
        ("province/population_millions/Beijing", -1, "Beijing holds the negative number -1"),
        ("job/share/farmer", 50, "table job: share sums to 129.4"),
        ("housing/rent", 90, "table housing: rent and the kinds of homes sum to 154.4"),
        ("car/households", 141, "table car: households holds 141, expected at most 100"),
        ("population/aged_65_up", 30, "table population: aged_65_up 30 is not below aged_60_up 22"),
        ("settlement/by_tier/T3", [1, 2, 3], "table settlement.by_tier: T3 sums to 6"),
    ],
)
def test_bad_priors_are_one_clear_line(tables, path, value, words):
    with pytest.raises(InputError) as caught:
        priors.parse(changed(tables, path, value), "cn")
    assert words in str(caught.value)
    assert str(caught.value).startswith("data/locales/cn/priors.toml: table ")
    assert "\n" not in str(caught.value)


def test_shares_may_miss_100_as_published_tables_do(tables):
    known = priors.parse(changed(tables, "education/share", [69.4, 15.1, 15.9]), "cn")
    assert abs(known.education_share.sum() - 1) < 1e-12


def test_an_unknown_locale_is_named():
    with pytest.raises(InputError, match="atlantis"):
        priors.load("atlantis")


def test_ipf_meets_both_marginals_and_keeps_the_odds_ratio():
    rows, columns = np.indices((2, 2))
    seed = np.array([[1.0, 1.0], [1.0, 3.0]])
    table = population.ipf(seed, [(rows, np.array([0.5, 0.5])), (columns, np.array([0.4, 0.6]))])
    np.testing.assert_allclose(table.sum(1), [0.5, 0.5], atol=1e-8)
    np.testing.assert_allclose(table.sum(0), [0.4, 0.6], atol=1e-8)
    assert abs(table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]) - 3) < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(2, 6))
def test_ipf_meets_any_marginals_of_a_positive_table(seed, n_rows, n_columns):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((n_rows, n_columns))
    wanted = [rng.dirichlet(np.full(n, 2.0)) + 0.01 for n in (n_rows, n_columns)]
    wanted = [sums / sums.sum() for sums in wanted]
    table = population.ipf(rng.uniform(0.1, 3.0, (n_rows, n_columns)), [(rows, wanted[0]), (columns, wanted[1])])
    assert (table > 0).all()
    np.testing.assert_allclose(table.sum(1), wanted[0], atol=1e-8)
    np.testing.assert_allclose(table.sum(0), wanted[1], atol=1e-8)


def test_ipf_leaves_a_table_that_already_fits():
    rows, columns = np.indices((2, 3))
    seed = np.array([[0.1, 0.2, 0.1], [0.2, 0.1, 0.3]])
    table = population.ipf(seed, [(rows, seed.sum(1)), (columns, seed.sum(0))])
    np.testing.assert_allclose(table, seed, atol=1e-12)


def test_ipf_keeps_what_is_impossible_impossible():
    rows, columns = np.indices((2, 2))
    table = population.ipf(
        np.array([[0.0, 1.0], [1.0, 1.0]]), [(rows, np.array([0.3, 0.7])), (columns, np.array([0.4, 0.6]))]
    )
    assert table[0, 0] == 0
    assert abs(table[0, 1] - 0.3) < 1e-8


def test_ipf_refuses_marginals_that_contradict_each_other():
    rows, columns = np.indices((2, 2))
    with pytest.raises(InputError, match="fits the tables together"):
        population.ipf(np.ones((2, 2)), [(rows, np.array([0.5, 0.5])), (columns, np.array([0.7, 0.7]))], max_rounds=50)
    with pytest.raises(InputError, match="fits the tables together"):
        population.ipf(np.eye(2), [(rows, np.array([0.5, 0.5])), (columns, np.array([0.2, 0.8]))], max_rounds=50)


def test_intercept_meets_the_mean():
    effects, weights = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 2.0, 1.0])
    found = population.intercept(effects, weights, 0.3)
    assert abs(np.average(1 / (1 + np.exp(-found - effects)), weights=weights) - 0.3) < 1e-9


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_the_joint_population_meets_its_marginals(locale):
    known, joint = priors.load(locale), population.joint(locale)
    assert abs(joint.people.sum() - 1) < 1e-8
    assert abs(joint.users.sum() - 1) < 1e-8
    np.testing.assert_allclose(np.bincount(joint.settlement, joint.people), known.settlement_share, atol=1e-8)
    band = np.searchsorted(known.age_from, joint.age, side="right") - 1
    np.testing.assert_allclose(np.bincount(band, joint.people), known.age_share, atol=1e-8)
    levels = np.minimum(population.attained(joint.age + 0.5, joint.education), 2)
    np.testing.assert_allclose(np.bincount(levels, joint.people), known.education_share, atol=1e-8)
    assert (joint.users[joint.age < known.platform_ages[0]] == 0).all()


def test_never_married_curves_only_fall():
    _, curves = population.never_married("cn")
    assert (np.diff(curves, axis=-1) <= 0).all()
    assert (curves[:, :, 0] == 1).all()
