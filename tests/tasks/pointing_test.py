import hypothesis
import pytest
from hypothesis import strategies

from usergpt_jax.corpus.tokenizer import CONTROL
from usergpt_jax.corpus.word_pieces import train_word_pieces
from usergpt_jax.tasks import pointing
from usergpt_jax.tasks.refinement import Refined


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [" urban thread wool coat | trench ; tea", " [ hot sale ] tea shop w w <w1>"] * 30
    return train_word_pieces(texts, tmp_path_factory.mktemp("pieces"), vocab_size=380, seed=0)


def round_trip(tokenizer, refined, title, category=None):
    ids = pointing.answer_ids(tokenizer, refined, title, category)
    return None if ids is None else pointing.answer_text(tokenizer, ids, title, category)


@pytest.mark.parametrize(
    ("entity", "stated", "title", "category", "text"),
    [
        ("Coat", ("Urban Thread", "women's"), "URBAN THREAD Women's Coat", None, "coat | urban thread ; women's"),
        ("Snack Pack", (), "[Hot Sale] Snack Gift Pack", None, "snack pack"),  # words in order, not a run
        ("Tea", ("Terra Viva",), "TerraViva Tea", None, "tea | terra viva"),
        ("Tea", ("Haven and Oak",), "HavenandOak Tea", None, "tea | havenand oak"),  # a run of the same letters
        ("Coffee Shop", ("Blue Door",), "Blue Door", "Places > Coffee Shop", "coffee shop | blue door"),
        ("Tea", ("Nobody",), "Tea", None, None),
        ("Tea", ("shop",), "Tea", "Shop", None),  # an attribute is of the title
    ],
)  # fmt: skip
def test_an_answer_is_a_row_of_numbers(tokenizer, entity, stated, title, category, text):
    assert round_trip(tokenizer, Refined(entity, stated), title, category) == text


def test_a_word_is_one_token_of_the_answer(tokenizer):
    ids = pointing.answer_ids(tokenizer, Refined("Wool Coat", ("Žluťoučký",)), "Žluťoučký Wool Coat", None)
    numbers = tokenizer.number_ids
    assert ids == [numbers[1], numbers[2], tokenizer.bar_id, numbers[0], tokenizer.end_id]


@hypothesis.given(strategies.text(max_size=80), strategies.none() | strategies.text(max_size=30))
def test_any_title_keeps_its_limits_and_no_title_spells_a_number(tokenizer, title, category):
    trunk, before = pointing.prompt_ids(tokenizer, title, category, 30)
    assert len(trunk) <= 30
    control = {id_ for text in CONTROL for id_ in tokenizer.encode_template(text)}
    assert not control & {*trunk, *before[1:-1]}
    numbers = [id_ for id_ in trunk if id_ in tokenizer.number_ids]
    assert numbers == sorted(numbers)
    assert len(numbers) == len(set(numbers)) <= len(pointing.numbered_title(title))
    assert not set(tokenizer.number_ids) & set(tokenizer.encode(f"{title} <|w3|>"))


@hypothesis.given(strategies.lists(strategies.integers(0, 379), max_size=24))
def test_any_row_of_ids_has_a_text(tokenizer, ids):
    text = pointing.answer_text(tokenizer, ids, "Wool Coat", None)
    assert set(text.split()) <= {"wool", "coat", "|", ";", "?"}
