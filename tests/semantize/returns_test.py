import datetime

from usergpt_jax.semantize import coded, returns

DAY = datetime.datetime(2025, 1, 1)


def log_of(event_rows, rows):
    return coded.code(
        event_rows(
            [
                {
                    "user_id": user,
                    "time": DAY + datetime.timedelta(days=day),
                    "source": "ecommerce",
                    "action": action,
                    "title": item,
                    "item_id": item,
                    "quantity": quantity,
                }
                for user, day, action, item, quantity in rows
            ]
        ).to_arrow()
    )


def test_a_return_takes_back_the_latest_purchase_of_the_item(event_rows):
    log = log_of(
        event_rows,
        [
            ("a", 0, "purchase", "x", 1.0),
            ("a", 1, "purchase", "y", 1.0),
            ("a", 2, "purchase", "x", 2.0),
            ("a", 3, "click", "x", None),
            ("a", 5, "purchase", "x", -2.0),
            ("b", 2, "purchase", "x", 1.0),
        ],
    )
    assert returns.taken_back(log).tolist() == [False, False, True, False, True, False]


def test_a_return_without_a_purchase_vanishes_alone(event_rows):
    log = log_of(event_rows, [("a", 0, "purchase", "y", 1.0), ("a", 1, "purchase", "x", -1.0)])
    assert returns.taken_back(log).tolist() == [False, True]


def test_a_purchase_without_a_quantity_can_be_taken_back(event_rows):
    log = log_of(event_rows, [("a", 0, "purchase", "x", None), ("a", 1, "purchase", "x", -1.0)])
    assert returns.taken_back(log).tolist() == [True, True]


def test_a_log_without_returns_is_left_as_it_is(events):
    assert not returns.taken_back(coded.code(events.to_arrow())).any()


def test_two_returns_take_back_two_purchases(event_rows):
    rows = [("a", day, "purchase", "x", quantity) for day, quantity in enumerate((1.0, 1.0, -1.0, -1.0, -1.0, 1.0))]
    assert returns.taken_back(log_of(event_rows, rows)).tolist() == [True] * 5 + [False]
