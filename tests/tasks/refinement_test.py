import contextlib

import hypothesis
import pytest
from hypothesis import strategies

from usergpt_jax.tasks import refinement
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.refinement import Refined, grounded, parse, score, target


@pytest.mark.parametrize(
    ("text", "refined"),
    [
        ("Wet Wipes | Huggies; baby", Refined("Wet Wipes", ("Huggies", "baby"))),
        (" wet wipes |  huggies ;; huggies ; <|im_end|>", Refined("wet wipes", ("huggies",))),
        ("Museum", Refined("Museum", ())),
        ("Museum |", Refined("Museum", ())),
    ],
)
def test_an_answer_is_read(text, refined):
    assert parse(text) == refined


@pytest.mark.parametrize(
    "text", ["", "   ", "| a", "a | b | c", "a | b; c; d; e", "a\nb", "x" * 500, "!!!", "<answer> a | b", ";;;"]
)
def test_a_bad_answer_is_refused(text):
    with pytest.raises(MalformedOutput):
        parse(text)


def test_an_answer_survives_being_written():
    refined = Refined("Wool Coat", ("Urban Thread", "women's"))
    assert parse(target(refined)) == refined


@hypothesis.given(strategies.text(max_size=60), strategies.text(max_size=60), strategies.none() | strategies.text())
def test_garbage_is_refused_or_grounded(answer, title, category):
    with contextlib.suppress(MalformedOutput):
        refined, _ = grounded(parse(answer), title, category)
        assert refined.entity
        assert len(refined.attributes) <= refinement.MAX_ATTRIBUTES
        said = "".join(refinement.plain(title).split())
        assert all("".join(refinement.plain(one).split()) in said for one in refined.attributes)


def test_grounding_spells_as_the_title_does():
    title = "[Official Store] SUNNY READER Latest Cookbook Baking For iPhone TerraViva"
    checked = grounded(Refined("cookbook", ("sunny reader", "baking", "iphone")), title, None)
    assert checked.refined == Refined("Cookbook", ("Sunny Reader", "Baking", "iPhone"))
    assert grounded(Refined("cookbook", ("terra viva",)), title, None).refined.attributes == ("Terra Viva",)


def test_grounding_drops_what_the_title_does_not_say():
    checked = grounded(Refined("Diapers", ("Pampers", "size L")), "Huggies Diapers Size L", None)
    assert checked.refined.attributes == ("Size L",)
    assert checked.n_dropped == 1
    with pytest.raises(MalformedOutput):
        grounded(Refined("Maternity Diapers", ()), "Huggies Diapers", None)


def test_a_category_lends_words_to_the_entity_alone():
    assert grounded(Refined("Coffee Shop", ()), "Blue Door", "Places > Coffee_Shops").refined.entity == "Coffee Shop"
    assert grounded(Refined("Coffee", ("shop",)), "Blue Door", "Coffee Shops").refined.attributes == ()


def test_scores_by_hand():
    gold = Refined("Wool Coat", ("Urban Thread", "Trench"))
    scores = score(Refined("wool coat", ("urban thread", "women's")), gold)
    assert (scores.entity, scores.exact) == (1.0, 0.0)
    assert scores.attribute_f1 == pytest.approx(1 / 2)  # 1 shared of 2 and 2
    assert scores.rouge_1 == pytest.approx(4 / 5)  # wool coat urban thread of 5 words each
    assert scores.rouge_l == pytest.approx(4 / 5)
    assert score(Refined("Wool Coat", ("Trench", "Urban Thread")), gold).exact == 1.0
    assert score(Refined("Tea", ()), Refined("Tea", ())).attribute_f1 == 1.0
