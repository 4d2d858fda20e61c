import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import train_sentencepiece
from usergpt_jax.corpus.word_pieces import load_word_pieces, train_word_pieces

TEXTS = [" urban thread wool coat | urban thread ; trench", " coat | trench", " thread 24 inch"] * 20


def test_a_word_has_the_same_ids_wherever_it_stands(tmp_path):
    tokenizer = train_word_pieces(TEXTS, tmp_path, vocab_size=370, seed=0)
    coat = tokenizer.encode(" coat")
    assert tokenizer.encode(" wool coat") == tokenizer.encode(" wool") + coat
    assert tokenizer.encode(" coat | trench") == [*coat, *tokenizer.encode(" |"), *tokenizer.encode(" trench")]
    assert len(tokenizer.encode(" |")) == len(tokenizer.encode(" ;")) == 1


def test_unseen_letters_come_back(tmp_path):
    tokenizer = train_word_pieces(TEXTS, tmp_path, vocab_size=370, seed=0)
    assert tokenizer.decode(tokenizer.encode(" 小米 žluťoučký")) == " 小米 žluťoučký"


def test_no_text_is_the_users_error(tmp_path):
    with pytest.raises(InputError):
        train_word_pieces(["", " "], tmp_path, vocab_size=370, seed=0)


def test_loading_gives_the_same_ids_and_refuses_another_kind(tmp_path):
    made = train_word_pieces(TEXTS, tmp_path / "own", vocab_size=370, seed=0)
    assert load_word_pieces(tmp_path / "own").number_ids == made.number_ids
    assert len(set(made.number_ids)) == len(made.number_ids)
    train_sentencepiece(TEXTS, [], tmp_path / "other", vocab_size=400, max_piece_chars=16, seed=0)
    with pytest.raises(InputError, match="number words"):
        load_word_pieces(tmp_path / "other")
