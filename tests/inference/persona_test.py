import pytest

from usergpt_jax.inference import persona
from usergpt_jax.inference.persona import Verdict
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary, tag_prediction

MUB = "\n".join(
    [
        "[Source: E-commerce] [TIME: 2025-06] [TYPE: Purchase] [COUNT: 2] | Cat Litter, Razor",
        "[Source: Delivery] [TIME: 2025] [TYPE: Purchase] [COUNT: 1] | Chengdu, Noodles",
    ]
)
TRUE, FALSE = "Cat Litter (L1)", "Cat Food (L1)"
BROKEN = "<think>L1 Cat Litter</think> cat"


def said(tag, value, think=TRUE):
    return tag_prediction.target(HPR18[tag], value, think)


def vote(tag, outputs):
    return persona.vote(HPR18[tag], MUB, outputs)


def consolidate(tag_outputs, summaries=(), min_confidence=0.5):
    outputs = {name: tag_outputs.get(name, [said(name, NA, "")] * 4) for name in HPR18.names}
    return persona.consolidate(HPR18, MUB, outputs, summaries, min_confidence)


def test_the_most_frequent_value_wins_with_its_share_of_all_samples():
    # cat twice, dog once, one malformed: cat has 2 of 4
    verdict = vote("pet", [said("pet", "cat"), said("pet", "dog", "Noodles (L2)"), said("pet", "cat", FALSE), BROKEN])
    assert verdict == Verdict("cat", 0.5, (1,), "")


def test_a_tie_goes_to_the_better_grounded_value():
    assert vote("pet", [said("pet", "dog", FALSE), said("pet", "cat")]).value == "cat"


def test_evidence_is_what_winning_samples_cite_truly():
    thinks = ["Cat Litter (L1), Shaver (L2)", "Noodles (L9)", "Cat Food (L1)", "no citation"]
    assert vote("pet", [said("pet", "cat", think) for think in thinks]).evidence == (1, 2)


def test_a_value_without_a_true_line_is_withheld():
    tags = consolidate({"pet": [said("pet", "cat", FALSE)] * 4}).tags
    assert tags["pet"] == Verdict(NA, 1.0, (), "no_evidence")


def test_a_value_with_few_votes_is_withheld():
    outputs = [said("pet", "cat"), said("pet", "cat"), said("pet", "dog"), BROKEN, BROKEN]
    assert consolidate({"pet": outputs}, min_confidence=0.41).tags["pet"].reason == "low_confidence"
    assert consolidate({"pet": outputs}, min_confidence=0.4).tags["pet"].value == "cat"


def test_only_malformed_outputs_are_na_and_say_so():
    assert consolidate({"pet": [BROKEN] * 4}).tags["pet"] == Verdict(NA, 0.0, (), "malformed")


def test_na_voted_by_the_model_has_no_reason():
    verdict = consolidate({}).tags["pet"]
    assert verdict == Verdict(NA, 1.0, (), "")
    assert verdict.to_json() == {"value": NA, "confidence": 1.0, "evidence": []}


def test_a_list_is_voted_item_by_item():
    outputs = [said("interests", value) for value in ("Cats, cooking", "cats", "cats, travel", "cooking")]
    verdict = vote("interests", outputs)
    # cats 3 of 4, cooking 2 of 4, travel 1 of 4
    assert verdict == Verdict("cats, cooking", (3 + 2) / 8, (1,), "")


def test_a_list_without_a_majority_item_is_na():
    outputs = [said("interests", value) for value in ("cats", "cooking", "travel")]
    assert vote("interests", outputs) == Verdict(NA, 1 / 3, (), "low_confidence")
    assert vote("interests", [said("interests", NA, "")] * 3) == Verdict(NA, 1.0, (), "")


def test_cities_are_counted_under_one_name():
    outputs = [said("resident_city", value, "Chengdu (L2)") for value in ("chengdu", "Chengdu city", "Beijing")]
    assert vote("resident_city", outputs) == Verdict("Chengdu", 2 / 3, (2,), "")


def test_the_least_confident_tag_of_a_broken_rule_is_withheld():
    sure, unsure = [said("life_stage", "student")] * 4, [said("occupation", "teacher")] * 3 + [BROKEN]
    tags = consolidate({"life_stage": sure, "occupation": unsure}).tags
    assert tags["life_stage"].value == "student"
    assert tags["occupation"] == Verdict(NA, 0.75, (), "inconsistent")


def test_no_rule_is_broken_after_repair():
    values = {
        "life_stage": "student",
        "occupation": "retired",
        "marital_status": "married",
        "age_band": "<18",
        "child_stage": "0-1",
        "resident_city": "Chengdu",
        "resident_province": "Guangdong",
    }
    tags = {name: Verdict(values.get(name, NA), 0.5 + i / 100, (1,), "") for i, name in enumerate(HPR18.names)}
    repaired = persona.repair(HPR18, tags)
    assert not HPR18.violations({name: verdict.value for name, verdict in repaired.items()})
    assert repaired["occupation"].value == "retired"  # the most confident of its rules


def written(values, think=TRUE):
    return summary.target(HPR18, values, think)


CAT = {"pet": [said("pet", "cat")] * 4, "gender": [said("gender", "male", "Razor (L1)")] * 4}


def test_the_summary_that_agrees_best_is_taken():
    texts = [written({"pet": "cat"}), written({"pet": "cat", "gender": "male"}), BROKEN]
    made = consolidate(CAT, texts)
    assert (made.summary_source, made.summary) == ("model", "Life stage: a man. Lifestyle: keeps a cat.")


@pytest.mark.parametrize(
    "text",
    [
        written({"pet": "dog"}),
        written({"pet": "cat", "education": "college"}),  # education is not told
        written({"pet": "cat"}, FALSE),
        written({"pet": "cat"}).replace("keeps a cat", "keeps a cat, keeps a dog"),
        BROKEN,
    ],
    ids=["contradicts", "adds", "ungrounded", "two ways", "malformed"],
)
def test_a_summary_that_does_not_fit_is_composed_anew(text):
    made = consolidate(CAT, [text])
    assert (made.summary_source, made.summary) == ("composed", "Life stage: a man. Lifestyle: keeps a cat.")


def test_a_user_without_evidence_is_all_na():
    made = consolidate({name: [said(name, NA, "")] for name in HPR18.names})
    assert set(made.values.values()) == {NA}
    assert made.summary == summary.NOTHING_KNOWN
