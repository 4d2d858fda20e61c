import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models

from tests.corpus.tiny_tokenizers import KINDS
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import IM_END, THINK, HuggingFaceTokenizer
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import tag_prediction


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return KINDS[request.param]()


def joined(tokenizer, ids):
    found = tokenizer.token_bytes()
    return b"".join(found[id_] for id_ in ids)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=30))
def test_the_bytes_of_a_texts_ids_are_the_texts(tokenizer, text):
    ids = tokenizer.encode(text)
    assert joined(tokenizer, ids) == text.encode() == tokenizer.decode(ids).encode()


def test_the_bytes_of_control_tokens_are_their_strings(tokenizer):
    text = tag_prediction.target(HPR18["interests"], "猫, tea", "Cat Litter (L3)")
    assert joined(tokenizer, tokenizer.encode_template(text)) == text.encode()
    assert tokenizer.token_bytes()[tokenizer.end_id] == IM_END.encode()
    assert THINK.encode() in tokenizer.token_bytes()


def test_what_bytes_are_joined_is_what_is_decoded_one_by_one(tokenizer):
    for id_, found in enumerate(tokenizer.token_bytes()):
        if found.isascii() and found:
            assert tokenizer.decode([id_]).encode() == found


def test_every_byte_is_a_token_but_padding_and_the_unknown_are_none(tokenizer):
    found = tokenizer.token_bytes()
    wide = set(range(0x80, 0xC0)) | set(range(0xC2, 0xF5))
    assert {bytes([byte]) for byte in (*range(0x80), *wide)} <= set(found)
    assert found[tokenizer.pad_id] == b""
    assert len(found) == tokenizer.vocab_size


def write(folder, decoder, vocabulary):
    made = tokenizers.Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    if decoder is not None:
        made.decoder = decoder
    made.add_special_tokens(["<|im_end|>", "<|vision_start|>"])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return HuggingFaceTokenizer(folder)


def test_byte_fallback_of_a_hugging_face_tokenizer_is_read(tmp_path):
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    vocabulary = {"\u2581a": 0, "<0xE7>": 1, "<0x8C>": 2, "<0xAB>": 3, "\u2581": 4}
    tokenizer = write(tmp_path, decoders.Sequence(parts), vocabulary)
    assert tokenizer.token_bytes() == [b" a", b"\xe7", b"\x8c", b"\xab", b" ", b"<|im_end|>", b""]
    assert tokenizer.decode([4, 1, 2, 3, 0]) == " 猫 a"


def test_a_tokenizer_whose_bytes_cannot_be_told_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither bytes"):
        write(tmp_path, None, {"a": 0}).token_bytes()
