from usergpt_jax.semantize import coded, returns


def test_a_return_takes_back_the_latest_purchase_of_the_item(log_of):
    log = log_of(
        [
            ("a", 0, "purchase", "x", 1.0),
            ("a", 24, "purchase", "y", 1.0),
            ("a", 48, "purchase", "x", 2.0),
            ("a", 72, "click", "x", None),
            ("a", 120, "purchase", "x", -2.0),
            ("b", 48, "purchase", "x", 1.0),
        ],
    )
    assert returns.taken_back(log).tolist() == [False, False, True, False, True, False]


def test_a_return_without_a_purchase_vanishes_alone(log_of):
    log = log_of([("a", 0, "purchase", "y", 1.0), ("a", 24, "purchase", "x", -1.0)])
    assert returns.taken_back(log).tolist() == [False, True]


def test_a_purchase_without_a_quantity_can_be_taken_back(log_of):
    log = log_of([("a", 0, "purchase", "x", None), ("a", 24, "purchase", "x", -1.0)])
    assert returns.taken_back(log).tolist() == [True, True]


def test_a_log_without_returns_is_left_as_it_is(events):
    assert not returns.taken_back(coded.code(events.to_arrow())).any()


def test_two_returns_take_back_two_purchases(log_of):
    rows = [("a", 24 * day, "purchase", "x", n) for day, n in enumerate((1.0, 1.0, -1.0, -1.0, -1.0, 1.0))]
    assert returns.taken_back(log_of(rows)).tolist() == [True] * 5 + [False]
