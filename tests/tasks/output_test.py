import pytest

from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import output, tag_prediction
from usergpt_jax.tasks.output import MalformedOutput

GENDER, INTERESTS, CITY = HPR18["gender"], HPR18["interests"], HPR18["resident_city"]


def test_a_target_is_parsed_back_into_value_and_reasoning():
    text = tag_prediction.target(GENDER, "female", "Lipstick (L3)")
    assert tag_prediction.parse(GENDER, text) == ("female", "gender: Lipstick (L3)")


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"gender": "male"}',
        '<think>x</think>{"gender": "male"}',
        '<think>x</think><answer>{"gender": "male"}',
        '<answer>{"gender": "male"}</answer><think>x</think>',
        '<think>x</think><answer>{"gender": male}</answer>',
        '<think>x</think><answer>["male"]</answer>',
        '<think>x</think><answer>{"gender": "male"}</answer> and more',
        '<think><think>x</think><answer>{"gender": "male"}</answer>',
        '<think>x</think><answer>{"gender": "Male"}</answer>',
        '<think>x</think><answer>{"gender": "man"}</answer>',
        '<think>x</think><answer>{"gender": ""}</answer>',
        '<think>x</think><answer>{"gender": null}</answer>',
        '<think>x</think><answer>{"gender": "male", "pet": "cat"}</answer>',
        '<think>x</think><answer>{"pet": "cat"}</answer>',
    ],
)
def test_anything_else_is_malformed(text):
    with pytest.raises(MalformedOutput):
        tag_prediction.parse(GENDER, text)


def test_an_open_tag_takes_a_bounded_list():
    assert tag_prediction.valid_value(INTERESTS, "a, b, c, d, e") == "a, b, c, d, e"
    with pytest.raises(MalformedOutput, match="more than 5 items"):
        tag_prediction.valid_value(INTERESTS, "a, b, c, d, e, f")


def test_json_escapes_survive():
    text = tag_prediction.target(CITY, "Xi'an", "")
    assert tag_prediction.parse(CITY, text)[0] == "Xi'an"
    assert output.parse(text).think == "resident_city: no line tells"


@pytest.mark.parametrize(
    ("tag", "predicted", "gold", "credit"),
    [
        (GENDER, "male", "male", 1.0),
        (GENDER, "male", "female", 0.0),
        (GENDER, "NA", "NA", 1.0),
        (GENDER, "NA", "male", 0.0),
        (GENDER, "male", "NA", 0.0),
        (CITY, "hangzhou city", "Hangzhou", 1.0),
        (CITY, "Ningbo", "Hangzhou", 0.0),
        (CITY, "Atlantis", "Hangzhou", 0.0),
        (INTERESTS, "reading, cycling", "cycling, reading", 1.0),
        (INTERESTS, "cycling, fishing", "cycling", 2 * 0.5 * 1 / 1.5),  # precision 1/2, recall 1
        (INTERESTS, "fishing", "cycling", 0.0),
        (INTERESTS, "NA", "cycling", 0.0),
    ],
)
def test_credit_is_exact_for_closed_tags_and_soft_for_lists(tag, predicted, gold, credit):
    assert tag_prediction.score(tag, predicted, gold) == pytest.approx(credit, abs=1e-6)
