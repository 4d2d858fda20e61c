import numpy as np
import pytest

from usergpt_jax.bench import baselines, measure, score
from usergpt_jax.bench.items import Item
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary, tag_prediction

NOTHING = dict.fromkeys(HPR18.names, NA)
GOLD = {**NOTHING, "pet": "cat", "gender": "male", "interests": "cats, cooking"}
ITEM = Item("u", "", GOLD, raw_tokens=100, mub_tokens=50)
PET, GENDER, INTERESTS = (HPR18.names.index(name) for name in ("pet", "gender", "interests"))


class Words:
    def encode(self, text):
        return text.split()


def tag_texts(**values):
    """Two samples a tag, NA where not given."""
    return [[tag_prediction.target(tag, v, "") for v in values.get(tag.name, (NA, NA))] for tag in HPR18.tags]


def score_summary(text):
    return score.score_summaries(HPR18, [ITEM], [[text]], Words(), max_summary_chars=600)


def test_credit_by_sample_and_malformed_is_zero():
    texts = tag_texts(pet=("cat", "dog"), interests=("cats", NA))
    texts[GENDER][0] = "<think></think>male"
    scores = score.score_tags(HPR18, [ITEM], [texts])
    assert scores.credit[0, PET].tolist() == [1.0, 0.0]
    assert scores.credit[0, INTERESTS] == pytest.approx([2 / 3, 0.0])  # precision 1, recall 1/2
    assert scores.credit[0, GENDER].tolist() == [0.0, 0.0]  # malformed, and NA where male is right
    assert scores.malformed[0, GENDER].tolist() == [True, False]
    assert scores.malformed.sum() == 1


def test_what_compares_items_decides_the_credit_of_lists_alone():
    texts = tag_texts(pet=("cat", "dog"), interests=("kittens, cooking", "trains"))

    def alike(a, b):
        return 1.0 if a == b else {("kittens", "cats"): 0.75}.get((a, b), 0.25)

    scores = score.score_tags(HPR18, [ITEM], [texts], alike)
    assert scores.credit[0, PET].tolist() == [1.0, 0.0]
    assert scores.credit[0, INTERESTS] == pytest.approx([0.875, 0.0])  # both ways (1 + 0.75) / 2; 0.25 is unrelated
    summed = score.score_summaries(
        HPR18, [ITEM], [[summary.target(HPR18, {**GOLD, "interests": "kittens, cooking"}, "")]], Words(), 600, alike
    )
    assert summed.credit[0, 0, INTERESTS] == summed.attributes[0, 0, INTERESTS] == pytest.approx(0.875)


def test_average_and_pass_by_scope():
    texts = tag_texts(pet=("cat", "dog"), interests=("cats", NA), gender=("male", "male"))
    scores = score.score_tags(HPR18, [ITEM], [texts])
    known = measure.known_mask(HPR18, [ITEM])
    by_key = measure.measure_tags(HPR18, scores, known, (1, 2))

    def value(metric, scope):
        credit, weight = by_key["tags", metric, scope]
        return (credit / weight).item()

    assert value("avg@2", "tag:pet") == 0.5
    assert value("avg@2", "dimension:LI") == pytest.approx((0.5 + 1 / 3 + 1.0) / 3)  # pet, interests, consumption NA
    assert value("avg@2_known", "all") == pytest.approx((0.5 + 1 / 3 + 1.0) / 3)  # pet, interests, gender
    assert value("avg@2_na", "all") == 1.0
    assert value("pass@1", "tag:pet") == 0.5
    assert value("pass@2", "tag:pet") == 1.0
    assert value("pass@1", "tag:interests") == 0.5  # 2/3 of a list passes, as half would


def test_a_portrait_that_says_less_loses_coverage_and_accuracy():
    scores = score_summary(summary.target(HPR18, {**NOTHING, "pet": "cat"}, ""))
    assert scores.credit.sum() == 16  # 15 NA and the pet; not gender, not interests
    assert scores.worded.sum() == 1
    assert scores.tokens.item() == 4  # "Lifestyle: keeps a cat."


def test_a_wrong_word_costs_accuracy_but_not_coverage():
    scores = score_summary(summary.target(HPR18, {**GOLD, "pet": "dog"}, ""))
    assert scores.credit.sum() == 17
    assert scores.worded.sum() == 3


def test_a_word_on_what_is_not_known_costs_accuracy_and_earns_no_coverage():
    scores = score_summary(summary.target(HPR18, {**GOLD, "education": "college"}, ""))
    assert scores.credit.sum() == 17
    assert scores.worded.sum() == 3


def test_the_gold_portrait_is_perfect():
    scores = score_summary(summary.target(HPR18, GOLD, ""))
    assert scores.credit.mean() == scores.attributes.mean() == 1.0
    assert scores.bleu.tolist() == [[[1.0, 1.0]]]
    assert scores.judge.tolist() == [[[1.0] * 4]]


def test_a_malformed_summary_scores_zero_everywhere():
    item = Item("u", "", NOTHING, raw_tokens=100, mub_tokens=50)  # silence would earn every NA
    scores = score.score_summaries(HPR18, [item], [["Lifestyle: keeps a cat."]], Words(), max_summary_chars=600)
    for name in ("credit", "worded", "attributes", "bleu", "judge", "tokens"):
        assert getattr(scores, name).sum() == 0
    assert scores.malformed.item() == 1


def test_compression_counts_well_formed_summaries_only():
    texts = [[summary.target(HPR18, {**NOTHING, "pet": "cat"}, ""), "broken"]]
    scores = score.score_summaries(HPR18, [ITEM], texts, Words(), max_summary_chars=600)
    by_key = measure.measure_summaries(HPR18, scores, measure.known_mask(HPR18, [ITEM]), [ITEM])

    def value(metric):
        credit, weight = by_key["summary", metric, "all"]
        return (credit / weight).item()

    assert value("summary_tokens") == 4
    assert value("saved_from_raw") == pytest.approx(1 - 4 / 100)
    assert value("saved_from_mub") == pytest.approx(1 - 4 / 50)
    assert value("format_failure") == 0.5


def test_a_baseline_writes_outputs_that_read_back_as_its_values():
    tags, text = baselines.as_outputs(HPR18, GOLD)
    scores = score.score_tags(HPR18, [ITEM], [[[answer] for answer in tags]])
    assert scores.credit.mean() == 1.0
    assert summary.parse(HPR18, text).attributes == GOLD


def test_scopes_cover_every_tag_once_a_level():
    found = measure.scopes(HPR18)
    dimensions = [index for name, tags in found.items() if name.startswith("dimension:") for index in tags]
    assert sorted(dimensions) == found["all"] == list(range(18))
    assert np.array_equal(found["tag:pet"], [PET])
