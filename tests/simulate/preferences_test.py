import re

import numpy as np
import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import preferences, priors

_U = 4000


def _people(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Average people of 32 with a bachelor's degree and no interests, some of whose traits are changed."""
    known = {
        "gender": np.arange(_U) % 2,
        "age_years": np.full(_U, 32.5),
        "education": np.full(_U, 3),
        "big_five": np.zeros((_U, 5), np.int64),
        "interests": np.full((_U, 4), -1),
    }
    return known | changes


def _uniforms() -> np.ndarray:
    return np.random.default_rng(0).random((_U, preferences.COUNT))


def _number(name: str) -> int:
    return preferences.load().names.index(name)


def test_there_are_ninety_dimensions_in_seven_used_and_unused_groups():
    table = preferences.load()
    assert len(set(table.names)) == len(table.names) == 90
    assert np.nonzero(~table.used)[0].tolist() == list(range(40, 47))
    starts = {group: table.groups.index(group) for group in dict.fromkeys(table.groups)}
    assert starts == {"basics": 0, "needs": 7, "styles": 14, "murray": 23, "answers": 40, "interests": 47}


def test_a_handful_is_active():
    values = preferences.sample(_uniforms(), _people(interests=np.random.default_rng(1).integers(-1, 16, (_U, 4))))
    active = (values != 0).sum(axis=1)
    assert values.dtype == np.int8
    assert set(np.unique(values)) == {-1, 0, 1}
    assert 5 <= active.mean() <= 9.5
    assert np.quantile(active, 0.02) >= 2


def test_qualities_of_answers_stay_neutral():
    assert not preferences.sample(_uniforms(), _people())[:, 40:47].any()


def test_chances_follow_the_odds():
    # sleep: active 0.09, drawn 0.65; the age band 30-34 has factor 1.2, all others are 1 for average people.
    drawn, averse = preferences.chances(_people())
    up, down, rest = 0.09 * 0.65 * 1.2, 0.09 * 0.35 / 1.2, 0.91
    assert drawn[0, _number("sleep")] == pytest.approx(up / (up + down + rest))
    assert averse[0, _number("sleep")] == pytest.approx(down / (up + down + rest))


def test_a_hobby_is_a_preference_most_of_the_time():
    for interest in ("photography", "gaming", "reading", "fitness", "fashion"):
        held = np.tile([priors.INTERESTS.index(interest), -1, -1, -1], (_U, 1))
        drawn, averse = preferences.chances(_people(interests=held))
        without = preferences.chances(_people())[0][:, _number(interest)].mean()
        assert drawn[:, _number(interest)].mean() > 0.5 > 8 * without, interest
        assert averse[:, _number(interest)].max() < 0.02


def test_traits_and_demographics_move_their_dimensions():
    outgoing = np.zeros((_U, 5), np.int64)
    outgoing[:, preferences.TRAITS.index("extraversion")] = 150
    quiet = preferences.sample(_uniforms(), _people(big_five=-outgoing))
    loud = preferences.sample(_uniforms(), _people(big_five=outgoing))
    for name, sign in (("extraversion", 1), ("affiliation", 1), ("seclusion", -1)):
        assert sign * loud[:, _number(name)].mean() > sign * quiet[:, _number(name)].mean() + 0.05, name
    young = preferences.sample(_uniforms(), _people(age_years=np.full(_U, 17.0)))
    old = preferences.sample(_uniforms(), _people(age_years=np.full(_U, 72.0)))
    assert young[:, _number("young")].mean() > 0.1 > -0.1 > old[:, _number("young")].mean()
    assert old[:, _number("health")].mean() > young[:, _number("health")].mean() + 0.05
    female = preferences.sample(_uniforms(), _people())[:, _number("female")]
    assert female[1::2].mean() > 0.1 > -0.1 > female[::2].mean()


def test_the_draw_of_a_user_depends_on_the_user_alone():
    uniforms, known = _uniforms(), _people()
    alone = preferences.sample(uniforms[7:9], {name: values[7:9] for name, values in known.items()})
    np.testing.assert_array_equal(alone, preferences.sample(uniforms, known)[7:9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": "9"}, "preferences.csv, dimension 'extraversion': index is '9', expected 3"),
        ({"name": "female"}, "preferences.csv, dimension 'female': stands twice, expected each once"),
        ({"used": "maybe"}, "unknown value of used 'maybe', expected one of yes, no"),
        ({"active_frac": "1.5"}, "active_frac is '1.5', expected a number from 0 to 1"),
        ({"drawn_frac": "half"}, "drawn_frac is 'half', expected a number from 0 to 1"),
        ({"weights": "trait:calm=2"}, "group trait: unknown value 'calm', expected one of openness"),
        ({"weights": "phase:moving=2"}, "unknown group 'phase', expected one of gender"),
        ({"weights": "gender:male=0"}, "group gender: factor of 'male' is 0, expected more than 0"),
    ],
)
def test_a_bad_row_gives_one_clear_line(change, message):
    rows = locales.read_rows("preferences.csv", "cn")
    rows[3] = rows[3] | change
    with pytest.raises(InputError, match=re.escape(message)):
        preferences.parse(rows)


def test_missing_rows_and_columns_are_named():
    rows = locales.read_rows("preferences.csv", "cn")
    with pytest.raises(InputError, match=re.escape("preferences.csv: 89 rows, expected 90")):
        preferences.parse(rows[:-1])
    with pytest.raises(InputError, match=re.escape("preferences.csv: no column 'used', expected index, name")):
        preferences.parse([{name: value for name, value in row.items() if name != "used"} for row in rows])
