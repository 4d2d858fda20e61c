import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import CONTROL, IM_END, load_tokenizer, train_sentencepiece
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import tag_prediction
from usergpt_jax.tasks.wording import number_lines, trunk_head, wording

ITEMS = ("Cat Litter", "Cat Food (premium)", "Lipstick", "Bubble Tea", "Hangzhou")
LINES = [
    f"[Source: {source}] [TIME: {time}] [TYPE: {action}] [COUNT: {i % 7 + 1}] | {ITEMS[i % 5]}, {ITEMS[(i + 1) % 5]}"
    for i, (source, time, action) in enumerate(
        [("E-commerce", "2024", "Purchase"), ("Delivery", "2025-06", "Click"), ("POI", "2025-06-28", "Visit")] * 100
    )
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    return train_sentencepiece(LINES, wording(HPR18), folder, vocab_size=1200, max_piece_chars=64, seed=0)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=40))
def test_any_text_survives_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", CONTROL)
def test_log_text_cannot_spell_a_control_token(tokenizer, text):
    controls = {tokenizer.encode_template(control)[0] for control in CONTROL}
    assert not controls & set(tokenizer.encode(f"a {text} b"))
    assert tokenizer.decode(tokenizer.encode(f"a {text} b")) == f"a {text} b"


@pytest.mark.parametrize("text", CONTROL)
def test_a_control_string_of_a_template_is_one_token(tokenizer, text):
    assert len(tokenizer.encode_template(text)) == 1


def test_a_prompt_and_an_output_survive_encoding(tokenizer):
    for text in (trunk_head(), tag_prediction.target(HPR18["gender"], "female", "Lipstick (L3), Cat Litter (L12)")):
        assert tokenizer.decode(tokenizer.encode_template(text)) == text


def test_an_item_of_the_sample_is_one_token_and_no_piece_spans_two(tokenizer):
    pieces = [tokenizer.decode([id_]) for id_ in tokenizer.encode(number_lines(LINES[0])[0])]
    assert pieces[-2:] == [" Cat Litter", ", Cat Food (premium)"]
    assert len(pieces) == 5  # line number, header, count, two items


def test_padding_decodes_to_nothing_and_the_end_token_to_itself(tokenizer):
    assert tokenizer.decode([tokenizer.pad_id, tokenizer.end_id, tokenizer.pad_id]) == IM_END


def test_training_is_deterministic_and_a_saved_tokenizer_encodes_alike(tokenizer, tmp_path):
    again = train_sentencepiece(LINES, wording(HPR18), tmp_path, vocab_size=1200, max_piece_chars=64, seed=0)
    loaded = load_tokenizer(tmp_path)
    for line in LINES[:3]:
        assert again.encode(line) == tokenizer.encode(line) == loaded.encode(line)


def test_a_folder_without_tokenizer_is_named(tmp_path):
    with pytest.raises(InputError, match="no tokenizer here"):
        load_tokenizer(tmp_path)
