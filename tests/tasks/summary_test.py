import random

import pytest

from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.summary import JudgeWeights, Persona

OPEN = {"resident_city": ("Hangzhou", "Jilin City", "Xi'an", NA), "interests": ("cats", "reading, cycling", NA)}


def some_values(seed):
    rng = random.Random(seed)
    return {tag.name: rng.choice(OPEN.get(tag.name) or (*tag.values, NA)) for tag in HPR18.tags}


@pytest.mark.parametrize("seed", range(200))
def test_what_is_composed_is_read_back(seed):
    values = some_values(seed)
    known = {name: value for name, value in values.items() if value != NA}
    assert summary.extract(HPR18, summary.compose(HPR18, values)) == known


def test_each_value_of_each_tag_is_read_back_alone():
    for tag in HPR18.tags:
        for value in tag.values:
            assert summary.extract(HPR18, summary.compose(HPR18, {tag.name: value})) == {tag.name: value}


def test_a_tag_worded_two_ways_is_not_read():
    assert "gender" not in summary.extract(HPR18, "Life stage: a man, a woman.")


def test_a_target_is_parsed_back():
    values = some_values(1)
    persona = summary.parse(HPR18, summary.target(HPR18, values, "Lipstick (L1)"))
    assert persona.attributes == values
    assert persona.think == "user: Lipstick (L1)"


def test_a_user_of_whom_nothing_is_known_still_has_a_summary():
    persona = summary.parse(HPR18, summary.target(HPR18, {}, ""))
    assert persona.summary == summary.NOTHING_KNOWN
    assert set(persona.attributes.values()) == {NA}


@pytest.mark.parametrize(
    "answer",
    [
        '{"attributes": {}, "summary": "x."}',
        '{"attributes": {"gender": "male"}}',
        '{"summary": "x."}',
        '{"attributes": "male", "summary": "x."}',
    ],
)
def test_a_summary_output_without_all_attributes_is_malformed(answer):
    with pytest.raises(MalformedOutput):
        summary.parse(HPR18, f"<think>x</think><answer>{answer}</answer>")


def test_an_empty_summary_is_malformed():
    text = summary.target(HPR18, {}, "").replace(summary.NOTHING_KNOWN, " ")
    with pytest.raises(MalformedOutput, match="empty"):
        summary.parse(HPR18, text)


def judged(values, text):
    attributes = {tag.name: values.get(tag.name, NA) for tag in HPR18.tags}
    return summary.judge(HPR18, Persona(attributes, text, ""), max_summary_chars=400)


def test_the_composed_portrait_of_consistent_attributes_is_perfect():
    values = {"gender": "male", "pet": "cat", "resident_city": "Hangzhou", "resident_province": "Zhejiang"}
    assert judged(values, summary.compose(HPR18, values)) == dict.fromkeys(
        ("completeness", "consistency", "conciseness", "aesthetics"), 1.0
    )


def test_leaving_out_an_attribute_costs_completeness():
    # 18 attributes, of which the one that is left out is not conveyed: 17/18.
    axes = judged({"gender": "male", "pet": "cat"}, "Life stage: a man.")
    assert axes["completeness"] == pytest.approx(17 / 18)


def test_stating_what_the_attributes_do_not_say_costs_completeness():
    assert judged({}, "Life stage: a man.")["completeness"] == pytest.approx(17 / 18)


def test_broken_rules_cost_consistency():
    values = {"resident_city": "Hangzhou", "resident_province": "Sichuan"}
    assert judged(values, "Geography: home is the city of Hangzhou.")["consistency"] == 0.75


def test_length_and_repetition_cost_conciseness():
    assert judged({}, "A man. " * 50 + "A man.")["conciseness"] < 0.05
    assert judged({}, "x" * 799 + ".")["conciseness"] == pytest.approx(0.5)


def test_bad_form_costs_aesthetics():
    assert judged({}, "lower case,, no stop NA")["aesthetics"] == 0.0


def test_quality_weighs_the_axes():
    axes = {"completeness": 1.0, "consistency": 0.0, "conciseness": 0.5, "aesthetics": 0.0}
    assert summary.quality(axes, JudgeWeights(2, 1, 1, 0)) == pytest.approx((2 + 0.5) / 4)


def test_accuracy_counts_an_absent_tag_as_na():
    gold = dict.fromkeys(HPR18.names, NA)
    assert summary.accuracy(HPR18, {}, gold) == 1.0
    assert summary.accuracy(HPR18, {"gender": "male"}, gold) == pytest.approx(17 / 18)
