import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from usergpt_jax import schema
from usergpt_jax.bench import baselines, features
from usergpt_jax.schema import NA, TagSchema
from usergpt_jax.tags import HPR18

TOY = TagSchema("toy", (HPR18["pet"], HPR18["interests"], HPR18["gender"]), HPR18.dimensions, ())
X = np.array([[1, -1], [-1, 1]] * 20, np.float32)


def gold(pet, interests, gender=NA):
    return {"pet": pet, "interests": interests, "gender": gender}


TRAIN = [gold("cat", "cats, cooking"), gold("dog", NA)] * 20


def test_majority_is_the_most_frequent_label():
    train = [gold("cat", NA)] * 2 + [gold("dog", "cats")] * 3
    assert baselines.majority(TOY, train, 2) == [gold("dog", "cats")] * 2


def test_majority_of_a_list_is_the_label_with_the_most_credit():
    # "cats" is right for nobody exactly as often as NA, yet earns credit with two
    train = [gold("cat", NA)] * 3 + [gold("cat", "cats")] * 2 + [gold("cat", "cats, cooking")] * 2
    assert baselines.majority(TOY, train, 1)[0]["interests"] == "cats"


def test_linear_learns_what_the_features_tell():
    predicted = baselines.linear(TOY, X, TRAIN, X[:2], c=1.0, label="test")
    assert predicted == [gold("cat", "cats, cooking"), gold("dog", NA)]


def test_linear_keeps_the_only_label_there_is():
    train = [gold("cat", "cats", "male")] * 40
    assert baselines.linear(TOY, X, train, X[:1], c=1.0, label="test") == [gold("cat", "cats", "male")]


def test_a_bag_of_the_log_counts_categories_and_cities(tmp_path):
    def event(user, category, place, source="delivery"):
        row = dict.fromkeys(schema.EVENT_SCHEMA.names)
        time = datetime.datetime(2025, 1, 1)
        return row | {
            "user_id": user,
            "time": time,
            "source": source,
            "action": "click",
            "title": "t",
            "category": category,
            "place": place,
        }

    rows = [
        event("a", "Tea", "Chengdu, East Street"),
        event("a", "Tea", "Chengdu, West Street"),
        event("a", None, "Chengdu", "travel"),
        event("b", "Tea", None),
    ]
    path = tmp_path / "part-00000.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.EVENT_SCHEMA), path)
    assert features.log_bags([path], ["a", "c"]) == {
        "a": {"category Tea": 2, "delivery Chengdu": 2, "travel Chengdu": 1},
        "c": {},
    }


def test_a_bag_of_the_mub_counts_items_by_source_and_attributes():
    header = "[Source: E-commerce] [TIME: 2025] [TYPE: Purchase] [COUNT: 1] | "
    mub = f"{header}Tea (premium; women), Cup (premium)\n{header}Tea\n{header.replace('E-commerce', 'Travel')}Chengdu"
    assert features.mub_bag(mub) == {
        "[Source: E-commerce] Tea": 2,
        "[Source: E-commerce] Cup": 1,
        "[Source: Travel] Chengdu": 1,
        "(premium)": 2,
        "(women)": 1,
    }


def test_a_bag_of_the_mub_says_how_dear_the_user_buys():
    line = "[Source: Delivery] [TIME: 2025] [TYPE: Purchase] [COUNT: 10] | "
    bag = features.mub_bag(line + ", ".join(["Tea (premium)"] * 7 + ["Tea (budget)"] * 3))
    assert {"dearness 0.4", "dearness 0.0", "dearness -0.9"} < set(bag)
    assert "dearness 0.5" not in bag


def test_features_are_standardised_by_training_users_and_rare_words_left_out():
    train = [{"tea": 1.0, "rare": 1.0}, {"tea": 3.0}, {}, {"tea": 1.0}]
    x, x_test = features.design(train, [{"tea": 3.0, "unseen": 9.0}], min_users=2)
    assert x.shape == (4, 1)
    np.testing.assert_allclose([x.mean(), x.std()], [0, 1], atol=1e-5)
    np.testing.assert_allclose(x_test, x[1:2], atol=1e-6)
