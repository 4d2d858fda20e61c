import jax
import numpy as np
import pytest

from usergpt_jax.simulate import evolution, truth
from usergpt_jax.simulate.evolution import STATE_TAGS
from usergpt_jax.tags import HPR18


def share(state, tag: str) -> dict[str, float]:
    numbers = state.tags[:, STATE_TAGS.index(tag)]
    return {value: float((numbers == number).mean()) for number, value in enumerate(HPR18[tag].values)}


def test_hidden_values_obey_every_rule(crowd):
    values = truth.hidden_values(*crowd)
    assert set(values) == set(HPR18.names)
    for row in range(0, 4000, 5):
        assert HPR18.violations({tag: str(values[tag][row]) for tag in HPR18.names}) == []


def test_hidden_values_obey_every_rule_years_earlier(crowd, days):
    """The life course is consistent on every day, not only at as_of."""
    course, _ = crowd
    for years in (1, 2):
        day = jax.numpy.int32(days[0] - 365 * years)
        state = jax.tree.map(np.asarray, jax.vmap(evolution.state_at, in_axes=(0, None))(course, day))
        values = truth.hidden_values(course, state)
        for row in range(0, 4000, 20):
            assert HPR18.violations({tag: str(values[tag][row]) for tag in HPR18.names}) == []


@pytest.mark.parametrize("tag", STATE_TAGS)
def test_every_value_occurs(crowd, tag):
    assert min(share(crowd[1], tag).values()) > 0.003, share(crowd[1], tag)


def test_marriage_follows_the_reference_by_age(crowd, days):
    """Never married at 25-29: 57 % in cities, 47 % in villages (2022); at 35-39: 8-9 %."""
    course, _ = crowd
    age_years = (days[1] - course.birth_day) / 365.2425
    unmarried = course.marriage_day > days[1]
    assert 0.4 < unmarried[(age_years >= 25) & (age_years < 30)].mean() < 0.65
    assert unmarried[(age_years >= 35) & (age_years < 40)].mean() < 0.2


def test_lives_change_during_the_log(crowd, days):
    course, state = crowd
    before = jax.tree.map(np.asarray, jax.vmap(evolution.state_at, in_axes=(0, None))(course, jax.numpy.int32(days[0])))
    stage = STATE_TAGS.index("life_stage")
    names = HPR18["life_stage"].values
    changed = {(names[a], names[b]) for a, b in zip(before.tags[:, stage], state.tags[:, stage], strict=True) if a != b}
    assert (before.tags[:, stage] != state.tags[:, stage]).mean() > 0.1
    for pair in (
        ("student", "single_working"),
        ("single_working", "couple_no_child"),
        ("couple_no_child", "parent_preschool"),
        ("parent_preschool", "parent_school"),
        ("parent_school", "empty_nest"),
        ("empty_nest", "retired"),
    ):
        assert pair in changed


def test_life_events_are_dated_inside_the_log(batch, days):
    course = {name: np.asarray(values).tolist() for name, values in batch.course._asdict().items()}
    found = [evolution.life_events({n: v[row] for n, v in course.items()}, *days) for row in range(160)]
    dates = [event["date"] for events in found for event in events]
    assert min(dates) >= "2023-07-01"
    assert max(dates) < "2025-07-01"
    assert len({event["event"] for events in found for event in events}) > 12
    assert all(events == sorted(events, key=lambda e: e["date"]) for events in found)
