import jax
import numpy as np
import pytest

from usergpt_jax import gazetteer
from usergpt_jax.simulate import evolution, marginals, persona, population, priors
from usergpt_jax.simulate.evolution import STATE_TAGS
from usergpt_jax.tags import HPR18

AS_OF_DAY = 20_270
YEAR_DAYS = 365.2425


@pytest.fixture(scope="module")
def course() -> persona.Course:
    """4000 platform users."""
    return persona.sample_courses(persona.user_uniforms(1, np.arange(4000)), AS_OF_DAY)


STATE_AT = jax.jit(jax.vmap(evolution.state_at))


def states(course: persona.Course, day: int | np.ndarray) -> evolution.State:
    days = np.broadcast_to(np.asarray(day, np.int32), course.gender.shape)
    return jax.tree.map(np.asarray, STATE_AT(course, days))


def values_of(course: persona.Course, day: int | np.ndarray, locale: str = "cn") -> list[dict[str, str]]:
    state, cities = states(course, day), gazetteer.cities(locale)
    rows = []
    for user in range(len(course.gender)):
        row = {tag: HPR18[tag].values[state.tags[user, i]] for i, tag in enumerate(STATE_TAGS)}
        if locale == "cn":
            city, hometown = cities[state.city[user]], cities[course.hometown_city[user]]
            row |= {"resident_city": city.name, "resident_province": city.province}
            row |= {"hometown_province": hometown.province}
        rows.append(row)
    return rows


def some(course: persona.Course, step: int) -> persona.Course:
    return persona.Course(*(array[::step] for array in course))


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_drawn_people_meet_the_published_shares(locale):
    """Before any platform weight; each row carries its own tolerance (marriage +-4 points from 25 to 40)."""
    table = marginals.compare(locale, people=20_000)
    if locale == "us":  # few people in each group of age and settlement, and priors that are ours
        table = table.filter(~table["name"].str.starts_with("never married"))
    misses = table.filter((table["target"] - table["drawn"]).abs() > table["tolerance"])
    assert misses.is_empty(), misses.rows()


@pytest.mark.parametrize("years_ago", [0, 1, 2, 7, 20])
def test_tags_obey_every_rule_on_every_day(course, years_ago):
    """The life course is consistent on every day, not only at as_of."""
    for row in values_of(some(course, 4), AS_OF_DAY - 365 * years_ago):
        assert HPR18.violations(row) == []


def test_tags_obey_every_rule_about_each_date_of_a_life(course):
    """Also on the day before, of and after what happens: third births, remarriages, graduations, ..."""
    dates = {name: array for name, array in course._asdict().items() if name.endswith("_day")}
    users, days = [], []
    for array in dates.values():
        chosen = np.flatnonzero((array < AS_OF_DAY) & (array > course.birth_day))[:12]
        users += [chosen] * 3
        days += [array[chosen] + step for step in (-1, 0, 1)]
    user, day = np.concatenate(users), np.concatenate(days)
    for row in values_of(persona.Course(*(field[user] for field in course)), day):
        assert HPR18.violations(row) == []


@pytest.mark.parametrize("tag", STATE_TAGS)
def test_every_value_occurs(course, tag):
    numbers = states(course, AS_OF_DAY).tags[:, STATE_TAGS.index(tag)]
    shares = {value: float((numbers == number).mean()) for number, value in enumerate(HPR18[tag].values)}
    assert min(shares.values()) > 0.003, shares


def test_a_user_does_not_change_when_others_join():
    few, many = (persona.user_uniforms(7, np.arange(n)) for n in (20, 64))
    np.testing.assert_array_equal(few, many[:20])
    shuffled = persona.user_uniforms(7, np.array([5, 3, 19]))
    np.testing.assert_array_equal(shuffled, many[[5, 3, 19]])
    alone, together = (persona.sample_courses(uniforms, AS_OF_DAY) for uniforms in (few, many))
    for one, all_of_them in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, all_of_them[:20])


def test_another_seed_gives_other_people():
    one, other = (persona.sample_courses(persona.user_uniforms(s, np.arange(50)), AS_OF_DAY) for s in (1, 2))
    assert (one.birth_day != other.birth_day).mean() > 0.9


def test_uniforms_lie_inside_the_unit_interval():
    uniforms = persona.user_uniforms(0, np.arange(300))
    assert uniforms.shape == (300, persona.N_UNIFORMS)
    assert uniforms.min() > 0
    assert uniforms.max() < 1
    assert abs(uniforms.mean() - 0.5) < 0.01


def test_extreme_uniforms_give_a_valid_course():
    for value in (0.5 / 2**32, 1 - 0.5 / 2**32):
        course = persona.sample_courses(np.full((2, persona.N_UNIFORMS), value), AS_OF_DAY)
        for row in values_of(course, AS_OF_DAY):
            assert HPR18.violations(row) == []


def test_fields_are_int32_and_in_range(course):
    for name, array in course._asdict().items():
        assert array.dtype == np.int32, name
        assert len(array) == 4000
    assert course.noise.shape == (4000, 6)
    assert course.noise.min() >= 0
    assert course.noise[:, :5].sum(axis=1).max() < 65_536  # the causes of a session, together
    assert ((course.loyalty >= 0) & (course.loyalty <= 255) & (course.impulse >= 0) & (course.impulse <= 255)).all()
    assert set(np.unique(course.preferences)) <= {-1, 0, 1}
    assert course.interests[:, 0].min() >= 0
    assert course.interests.max() < len(priors.INTERESTS)
    assert (course.household_size >= 1).all()


def test_users_are_younger_and_more_urban_than_people(course):
    people, _ = marginals.crowd("cn", 20_000)
    assert (course.settlement == 0).mean() > (people.settlement == 0).mean() + 0.1
    age, everyone = ((AS_OF_DAY - c.birth_day) / YEAR_DAYS for c in (course, people))
    assert np.median(age) < np.median(everyone) - 5
    assert age.min() > 12.99


def test_dates_of_a_family_are_in_order(course):
    never = persona.NEVER
    wed = course.marriage_day < never
    assert (course.partner_day <= course.marriage_day)[wed].all()
    assert (course.separation_day > course.marriage_day)[wed].all()
    again = course.remarriage_day < never
    assert (course.remarriage_day > course.separation_day)[again].all()
    for earlier, later in (("first", "second"), ("second", "third")):
        first, second = (getattr(course, f"{name}_birth_day") for name in (earlier, later))
        assert (second >= first + 500)[second < never].all()
        assert 0.01 < (second < never).mean() < 0.6
    mothers = (course.gender == 1) & (course.first_birth_day < never)
    assert ((course.first_birth_day - course.birth_day)[mothers] < 44.1 * YEAR_DAYS).all()
    parted = course.separation_day < never
    apart = (course.second_birth_day > course.separation_day + 150) & (course.second_birth_day < course.remarriage_day)
    assert not (apart & parted & (course.second_birth_day < never)).any()


def test_jobs_come_in_order_and_twice_change(course):
    never = persona.NEVER
    changed = course.job_change_day < never
    assert 0.3 < changed.mean() < 0.6
    assert (course.job_change_day > course.graduation_day)[changed].all()
    twice = changed & (course.second_job_change_day < never)
    assert (course.second_job_change_day > course.job_change_day)[twice].all()
    assert 0.1 < twice.mean() < 0.3


def test_income_rises_with_schooling_and_city():
    people, _ = marginals.crowd("cn", 20_000)
    income = people.income_cny
    assert np.median(income[people.education >= 3]) > 1.5 * np.median(income[people.education == 0])
    assert np.median(income[people.settlement == 0]) > 1.8 * np.median(income[people.settlement == 2])
    assert np.corrcoef(people.consumption_level, np.log(income))[0, 1] > 0.8


def test_big_five_are_standard_scores_that_differ_a_little_by_sex_and_age(course):
    scores = course.big_five / 100
    assert np.abs(scores.mean(axis=0)).max() < 0.35
    np.testing.assert_allclose(scores.std(axis=0), 1.0, atol=0.12)
    women = course.gender == 1
    neuroticism = scores[:, persona.BIG_FIVE.index("neuroticism")]
    assert 0.1 < neuroticism[women].mean() - neuroticism[~women].mean() < 0.5
    conscientiousness = scores[:, persona.BIG_FIVE.index("conscientiousness")]
    assert np.corrcoef(conscientiousness, -course.birth_day)[0, 1] > 0.05
    assert np.corrcoef(conscientiousness, course.impulse)[0, 1] < -0.4


def test_the_household_fits_the_family(course):
    kinds = np.array(persona.HOUSEHOLD_KINDS)[course.household_kind]
    assert set(kinds) == set(persona.HOUSEHOLD_KINDS)
    size = course.household_size
    assert (size[kinds == "alone"] == 1).all()
    assert (size[kinds == "couple"] == 2).all()
    assert (size[kinds == "couple_children"] >= 3).all()
    assert (size[kinds == "three_generations"] >= 4).all()
    married = states(course, AS_OF_DAY).tags[:, STATE_TAGS.index("marital_status")] == 2
    assert married[np.isin(kinds, ("couple", "couple_children"))].all()


def test_the_us_locale_gives_consistent_people():
    course = persona.sample_courses(persona.user_uniforms(3, np.arange(400)), AS_OF_DAY, "us")
    assert course.cities.max() < len(gazetteer.cities("us"))
    tiers = [gazetteer.CITY_TIERS.index(city.tier) for city in gazetteer.cities("us")]
    np.testing.assert_array_equal(course.city_tiers, np.array(tiers)[course.cities])
    for years_ago in (0, 2, 10):
        for row in values_of(course, AS_OF_DAY - 365 * years_ago, "us"):
            assert HPR18.violations(row) == []


def test_city_weights_add_up_to_the_provinces():
    known, weights = priors.load("cn"), population.city_weights("cn")
    provinces = gazetteer.provinces("cn")
    home = np.array([provinces.index(city.province) for city in gazetteer.cities("cn")])
    share = np.bincount(home, weights)
    np.testing.assert_allclose(share, known.province_millions / known.province_millions.sum(), atol=0.002)
