import datetime

import numpy as np
import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar, topics
from usergpt_jax.simulate.topics import TOPIC_THEMES, topic_features

START = calendar.epoch_day(datetime.date(2024, 7, 1))


@pytest.mark.parametrize("locale", ["cn", "us"])
def test_a_year_has_a_topic_of_every_theme_in_most_seeds(locale):
    found = [topics.topics(locale, seed, START, 365) for seed in range(20)]
    counts = np.array([np.bincount(each.theme, minlength=len(TOPIC_THEMES)) for each in found])
    assert (counts.mean(axis=0) >= 0.7).all()
    assert 20 < counts.sum(axis=1).mean() < 60
    assert len({each.names for each in found}) == 20


@pytest.mark.parametrize("longer_days", [400, 900])
def test_a_longer_log_keeps_the_topics_of_a_shorter_one(longer_days):
    short, long = (topics.topics("cn", 3, START, n) for n in (200, longer_days))
    n = len(short.names)
    assert long.names[:n] == short.names
    np.testing.assert_array_equal(long.days[:n], short.days)
    np.testing.assert_array_equal(long.theme[:n], short.theme)


def test_a_log_that_starts_earlier_keeps_them_too():
    late = topics.topics("cn", 3, START, 200)
    early = topics.topics("cn", 3, START - 500, 700)
    assert set(zip(late.names, map(tuple, late.days), strict=True)) <= set(
        zip(early.names, map(tuple, early.days), strict=True)
    )


def test_topics_start_in_their_months_and_last_their_days():
    found = topics.topics("cn", 0, START - 1500, 3000)
    length = found.days[:, 1] - found.days[:, 0] + 1
    assert length.min() >= 2
    assert length.max() <= 60
    heat = [calendar.date_of(day).month for day in found.days[found.theme == TOPIC_THEMES.index("heat_wave"), 0]]
    assert heat
    assert set(heat) <= {6, 7, 8}


def test_a_theme_is_hot_from_first_to_last_day_of_any_of_its_topics():
    days = np.array([[10, 12], [12, 12], [1, 9], [13, 99]], np.int32)
    table = topic_features(topics.Topics(("a", "b", "c", "d"), days, np.array([0, 2, 1, 2], np.int32)), 10, 4)
    np.testing.assert_array_equal(table[:, :3], [[1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])
    assert not table[:, 3:].any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("weather,Rain,,1,,1,2", "row 1: theme 'weather' is not one of sports_event"),
        ("film,Hit {},,1,,1,2", "expected fills exactly where it has {}"),
        ("film,Hit,,x,,1,2", "per_year 'x': expected a number from 0 to 20"),
        ("film,Hit,,1,13,1,2", "month '13': expected numbers 1 to 12"),
        ("film,Hit,,1,,5,2", "5 to 2 days: expected min_days at most max_days"),
        ("film,Hit,,1,,5", r"row 1 \(film\): 6 fields; expected 7"),
    ],
)
def test_a_bad_topic_stops_with_one_line(monkeypatch, line, message):
    head = "theme,title,fills,per_year,months,min_days,max_days"
    monkeypatch.setattr(locales, "read_text", lambda name, locale: f"{head}\n{line}\n")
    with pytest.raises(InputError, match=message):
        topics._templates.__wrapped__("cn")
