import datetime

from usergpt_jax.semantize import coded, damp

DAY = datetime.datetime(2025, 1, 1)


def log_of(event_rows, events):
    """Events (user, hours, action, title)."""
    return coded.code(
        event_rows(
            [
                {
                    "user_id": user,
                    "time": DAY + datetime.timedelta(hours=hours),
                    "source": "ecommerce",
                    "action": action,
                    "title": title,
                }
                for user, hours, action, title in events
            ]
        ).to_arrow()
    )


def test_of_a_loop_the_first_events_of_each_day_count(event_rows):
    log = log_of(event_rows, [("a", hour, "click", "x") for hour in (1, 2, 3, 25, 26, 27)] + [("b", 28, "click", "x")])
    made = damp.damp(log, max_repeats_a_day=2, max_browsing_a_day=100)
    assert made.counts.tolist() == [True, True, False, True, True, False, True]
    assert (made.repeats, made.robot) == (1 + 1, 0)


def test_another_action_or_title_is_no_repeat(event_rows):
    log = log_of(event_rows, [("a", 1, "click", "x"), ("a", 2, "purchase", "x"), ("a", 3, "click", "y")])
    assert damp.damp(log, max_repeats_a_day=1, max_browsing_a_day=100).counts.all()


def test_a_day_of_a_robot_keeps_its_purchases_only(event_rows):
    human = [("b", hour, "click", f"t{hour}") for hour in range(3)]
    robot = [("a", hour, "click", f"t{hour}") for hour in range(4)] + [("a", 5, "purchase", "x")]
    made = damp.damp(log_of(event_rows, robot + human), max_repeats_a_day=9, max_browsing_a_day=3)
    assert made.counts.tolist() == [False] * 4 + [True] * 4
    assert (made.repeats, made.robot) == (0, 4)


def test_days_are_judged_by_themselves(event_rows):
    events = [("a", hour, "click", "x") for hour in (1, 2, 3, 4)] + [("a", 24 + hour, "click", "x") for hour in (1, 2)]
    limits = {"max_repeats_a_day": 2, "max_browsing_a_day": 3}
    whole = damp.damp(log_of(event_rows, events), **limits).counts.tolist()
    parts = (events[:4], events[4:])
    assert [one for part in parts for one in damp.damp(log_of(event_rows, part), **limits).counts.tolist()] == whole
    assert whole == [False] * 4 + [True, True]


def test_no_events_are_no_trouble(event_rows):
    log = log_of(event_rows, [("a", 1, "click", "x")]).take(slice(0, 0))
    assert damp.damp(log, max_repeats_a_day=1, max_browsing_a_day=1).counts.tolist() == []
