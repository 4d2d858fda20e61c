import json

import pytest

from usergpt_jax.rl.reward import RewardConfig, score
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary
from usergpt_jax.tasks.summary import JudgeWeights

CONFIG = RewardConfig(JudgeWeights(0.4, 0.3, 0.15, 0.15), 600)
GOLD = dict.fromkeys(HPR18.names, NA) | {"gender": "female", "pet": "cat"}


def one(text):
    return [float(array[0, 0]) for array in score([[text]], [json.dumps(GOLD)], HPR18, CONFIG)]


def test_the_right_persona_earns_everything():
    assert one(summary.target(HPR18, GOLD, "Cat Food (L1)")) == pytest.approx([1, 1, 1, 1])


def test_a_malformed_output_earns_nothing_even_where_na_is_right():
    assert one("<think>x</think><answer>{}</answer>") == [0, 0, 0, 0]


def test_a_wrong_attribute_costs_its_share_of_atomic_accuracy():
    formed, atomic, quality, extracted = one(summary.target(HPR18, GOLD | {"pet": "dog"}, ""))
    assert (formed, atomic, extracted) == pytest.approx((1, 17 / 18, 17 / 18))
    assert quality == pytest.approx(1)


def test_a_portrait_that_leaves_out_what_the_attributes_state_is_of_lower_quality():
    text = summary.target(HPR18, GOLD, "").replace(", keeps a cat", "").replace("Lifestyle: keeps a cat. ", "")
    text = text.replace(" Lifestyle: keeps a cat.", "")
    _, atomic, quality, extracted = one(text)
    assert atomic == pytest.approx(1)
    assert extracted == pytest.approx(17 / 18)
    assert quality == pytest.approx(1 - 0.4 / 18)


def test_the_total_is_atomic_accuracy_plus_quality():
    rewards = score([[summary.target(HPR18, GOLD, "")]], [json.dumps(GOLD)], HPR18, CONFIG)
    assert rewards.total == pytest.approx(2.0)
