import random

import polars as pl

from tests.semantize.ingest.logs import dropped, mapping, write
from usergpt_jax.semantize.ingest import cancel
from usergpt_jax.semantize.ingest.read_log import read_events
from usergpt_jax.semantize.ingest.rows import ORDER


def test_cancellations_undo_the_latest_earlier_purchase(tmp_path):
    rows = [  # invoice, user, day, item, quantity
        "1,a,2025-01-01,T,5",
        "2,a,2025-01-02,T,3",
        "C3,a,2025-01-03,T,-4",  # all 3 of invoice 2, and 1 of invoice 1
        "4,a,2025-01-04,T,2",
        "C5,b,2025-01-05,T,-1",  # another user: nothing to cancel
        "C6,c,2025-01-01,R,-1",  # before the purchase
        "7,c,2025-01-02,R,1",
    ]
    file = write(tmp_path, "no,uid,ts,item,n,name\n" + "".join(f"{row},x{i}\n" for i, row in enumerate(rows)))
    events, report = read_events(file, mapping(item_id="item", quantity="n", cancel_column="no", cancel_prefix="C"))
    assert events.select("user_id", "item_id", "quantity").rows() == [("a", "T", 4.0), ("a", "T", 2.0), ("c", "R", 1.0)]
    assert dropped(report) == {
        "cancellation of a purchase": 1,
        "cancellation without a purchase": 2,
        "purchase cancelled": 1,
    }
    assert report.changed["purchase cancelled in part"].count == 1


def test_a_quantity_of_zero_is_no_cancelled_purchase(tmp_path):
    rows = "1,a,2025-01-01,Tea,0\n2,a,2025-01-02,Rug,1\nC3,a,2025-01-03,Rug,-1\n"
    file = write(tmp_path, "no,uid,ts,name,n\n" + rows)
    kept = mapping(quantity="n", cancel_column="no", cancel_prefix="C", negative_quantity="keep")
    assert read_events(file, kept)[0].select("title", "quantity").rows() == [("Tea", 0.0)]


def plain_match(rows):
    """Unit by unit, over all rows: the definition."""
    matched = [0.0] * len(rows)
    for i in sorted(range(len(rows)), key=lambda i: (rows[i]["time"], i)):
        if not rows[i]["is_cancel"]:
            continue
        for _ in range(rows[i]["quantity"]):
            earlier = [
                j
                for j in range(len(rows))
                if (rows[j]["time"], j) < (rows[i]["time"], i)
                and not rows[j]["is_cancel"]
                and rows[j]["action"] == "purchase"
                and (rows[j]["user_id"], rows[j]["item_id"]) == (rows[i]["user_id"], rows[i]["item_id"])
                and matched[j] < rows[j]["quantity"]
            ]
            if earlier:
                matched[max(earlier, key=lambda j: (rows[j]["time"], j))] += 1
                matched[i] += 1
    return matched


def test_matching_is_the_same_as_unit_by_unit():
    draw = random.Random(0)
    for _ in range(20):
        rows = [
            {
                "user_id": draw.choice("ab"),
                "item_id": draw.choice("xy"),
                "title": "t",
                "time": draw.randrange(12),
                "action": draw.choice(["purchase", "purchase", "click"]),
                "quantity": draw.randrange(1, 5),
                "is_cancel": draw.random() < 0.4,
            }
            for _ in range(30)
        ]
        frame = pl.DataFrame(rows).with_columns(pl.int_range(pl.len()).alias(ORDER))
        assert cancel.match(frame)["matched"].to_list() == plain_match(rows)
