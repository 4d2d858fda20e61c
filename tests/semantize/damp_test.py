from usergpt_jax.semantize import damp


def test_of_a_loop_the_first_events_of_each_day_count(log_of):
    log = log_of([("a", hour, "click", "x") for hour in (1, 2, 3, 25, 26, 27)] + [("b", 28, "click", "x")])
    made = damp.damp(log, max_repeats_a_day=2, max_browsing_a_day=100)
    assert made.counts.tolist() == [True, True, False, True, True, False, True]
    assert (made.repeats, made.robot) == (1 + 1, 0)


def test_another_action_or_title_is_no_repeat(log_of):
    log = log_of([("a", 1, "click", "x"), ("a", 2, "purchase", "x"), ("a", 3, "click", "y")])
    assert damp.damp(log, max_repeats_a_day=1, max_browsing_a_day=100).counts.all()


def test_a_day_of_a_robot_keeps_its_purchases_only(log_of):
    human = [("b", hour, "click", f"t{hour}") for hour in range(3)]
    robot = [("a", hour, "click", f"t{hour}") for hour in range(4)] + [("a", 5, "purchase", "x")]
    made = damp.damp(log_of(robot + human), max_repeats_a_day=9, max_browsing_a_day=3)
    assert made.counts.tolist() == [False] * 4 + [True] * 4
    assert (made.repeats, made.robot) == (0, 4)


def test_days_are_judged_by_themselves(log_of):
    events = [("a", hour, "click", "x") for hour in (1, 2, 3, 4)] + [("a", 24 + hour, "click", "x") for hour in (1, 2)]
    limits = {"max_repeats_a_day": 2, "max_browsing_a_day": 3}
    whole = damp.damp(log_of(events), **limits).counts.tolist()
    parts = (events[:4], events[4:])
    assert [one for part in parts for one in damp.damp(log_of(part), **limits).counts.tolist()] == whole
    assert whole == [False] * 4 + [True, True]


def test_no_events_are_no_trouble(log_of):
    log = log_of([("a", 1, "click", "x")]).take(slice(0, 0))
    assert damp.damp(log, max_repeats_a_day=1, max_browsing_a_day=1).counts.tolist() == []
