import functools
import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus.tiny_tokenizers import KINDS, spellings
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.byte_automaton import END, REFUSED
from usergpt_jax.corpus.token_automaton import lift
from usergpt_jax.corpus.tokenizer import CONTROL, IM_END
from usergpt_jax.models.grammar import Grammar, advance, allowed
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import answer_grammar, summary, tag_prediction
from usergpt_jax.tasks.output import MalformedOutput

TAGS = HPR18.tags
OPEN = {"resident_city": ("Hangzhou", "Xi'an", "Köln", NA), "interests": ("cats", "reading, gourmet food, 茶", NA)}
AUTOMATON = answer_grammar.task_automaton(HPR18)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def grammar(tokenizer):
    return answer_grammar.task_grammar(tokenizer, tokenizer.vocab_size + 7, HPR18)


@pytest.fixture(scope="module")
def tag_grammar(grammar):
    return grammar._replace(start=grammar.start[:-1])


@pytest.fixture(scope="module")
def summary_grammar(grammar):
    return grammar._replace(start=grammar.start[-1:])


def reads(automaton, start, text):
    """Whether the automaton over bytes accepts a text."""
    state = start
    for byte in text.encode():
        if (state := automaton.next_state[state, byte]) == REFUSED:
            return False
    return state == END


def reads_tag(name, value_json, think="no line tells"):
    start = AUTOMATON.start[HPR18.names.index(name)]
    return reads(AUTOMATON, start, f'<think>{think}</think><answer>{{"{name}": {value_json}}}</answer>')


def accepts(grammar, start, ids):
    ways, token_class, state = np.asarray(grammar.next_state), np.asarray(grammar.token_class), int(start)
    for id_ in ids:
        if (state := int(ways[state, token_class[id_]])) == REFUSED:
            return False
    return state == len(ways) - 1


@functools.partial(jax.jit, static_argnums=(2, 3))
def walk(grammar: Grammar, key, per_start: int, limit: int):
    """Outputs drawn evenly from the allowed tokens: [G * per_start, limit], and how many were allowed at each step."""
    state = jnp.repeat(grammar.start, per_start)

    def step(state, inputs):
        key, left = inputs
        mask = allowed(grammar, state, jnp.full(state.shape, left))
        token = jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf))
        return advance(grammar, state, token), (token, jnp.sum(mask, axis=-1))

    inputs = jax.random.split(key, limit), limit - jnp.arange(limit)
    return jax.lax.scan(step, state, inputs)[1]


def walked(tokenizer, grammar, per_start, limit, seed=0):
    tokens, choices = walk(grammar, jax.random.key(seed), per_start, limit)
    assert np.asarray(choices).min() > 0
    rows = np.asarray(tokens).T.tolist()
    return [row[: row.index(tokenizer.end_id) + 1] for row in rows]


def written_otherwise(tokenizer, text, rng):
    """Ids that spell a text, drawn evenly from those that fit at each place."""
    found, rest, ids = spellings(tokenizer), text.encode(), []
    while rest:
        fitting = [n for n in range(1, len(rest) + 1) if rest[:n] in found and rest[:n] != IM_END.encode()]
        length = rng.choice(fitting)
        ids.append(rng.choice(found[rest[:length]]))
        rest = rest[length:]
    return ids


@pytest.mark.parametrize("slack", [0, 5, 60])
def test_random_walks_over_tag_answers_are_parsed_and_end_in_time(tokenizer, tag_grammar, slack):
    limit = int(tag_grammar.shortest[tag_grammar.start].max()) + slack
    rows = walked(tokenizer, tag_grammar, per_start=8, limit=limit)
    for row, tag in zip(rows, [tag for tag in TAGS for _ in range(8)], strict=True):
        text = tokenizer.decode(row)
        value, _ = tag_prediction.parse(tag, text)
        assert "\ufffd" not in value
        assert text.endswith("}</answer>" + IM_END)


def test_walks_reach_every_value_of_a_tag(tokenizer, tag_grammar):
    gender = HPR18.names.index("gender")
    rows = walked(tokenizer, tag_grammar._replace(start=tag_grammar.start[gender : gender + 1]), 200, 100)
    assert {tag_prediction.parse(HPR18["gender"], tokenizer.decode(row))[0] for row in rows} == {"male", "female", NA}


@pytest.mark.parametrize("slack", [0, 1, 60])
def test_random_walks_over_summaries_are_parsed(tokenizer, summary_grammar, slack):
    limit = int(summary_grammar.shortest[summary_grammar.start[0]]) + slack
    for row in walked(tokenizer, summary_grammar, per_start=20, limit=limit):
        portrait = summary.parse(HPR18, tokenizer.decode(row))
        assert portrait.attributes.keys() == set(HPR18.names)
        assert portrait.summary.strip()


def test_every_value_is_accepted_as_the_model_learns_to_write_it(tokenizer, tag_grammar):
    for tag, start in zip(TAGS, tag_grammar.start, strict=True):
        for value in OPEN.get(tag.name) or (*tag.values, NA):
            text = tag_prediction.target(tag, value, "Cat Litter (L3), Tea (L12)")
            assert accepts(tag_grammar, start, tokenizer.encode_template(text)), text


def test_a_summary_is_accepted_as_the_model_learns_to_write_it(tokenizer, summary_grammar):
    rng = random.Random(0)
    for _ in range(3):
        values = {tag.name: rng.choice(OPEN.get(tag.name) or (*tag.values, NA)) for tag in TAGS}
        ids = tokenizer.encode_template(summary.target(HPR18, values, "Cat Litter (L3)"))
        assert accepts(summary_grammar, summary_grammar.start[0], ids)


def test_any_other_tokens_of_the_same_text_are_accepted(tokenizer, tag_grammar):
    rng = random.Random(0)
    for name in ("gender", "interests", "resident_city"):
        tag = HPR18[name]
        for value in OPEN.get(name) or tag.values:
            text = tag_prediction.target(tag, value, "Köln 猫 (L3)").removesuffix(IM_END)
            ids = [*written_otherwise(tokenizer, text, rng), tokenizer.end_id]
            assert tokenizer.decode(ids) == text + IM_END
            assert accepts(tag_grammar, tag_grammar.start[HPR18.names.index(name)], ids)


def test_padding_unknown_and_ids_past_the_tokenizer_are_never_allowed(tokenizer, tag_grammar, summary_grammar):
    never = [id_ for id_, added in enumerate(tokenizer.token_bytes()) if not added]
    never += range(tokenizer.vocab_size, tokenizer.vocab_size + 7)
    assert tokenizer.pad_id in never
    for grammar in (tag_grammar, summary_grammar):
        mask = np.asarray(allowed(grammar, jnp.arange(len(grammar.shortest))))
        assert not mask[:, never].any()


def test_the_end_token_is_allowed_exactly_where_the_text_is_complete(tokenizer, tag_grammar):
    mask = np.asarray(allowed(tag_grammar, jnp.arange(len(tag_grammar.shortest))))
    np.testing.assert_array_equal(mask[:, tokenizer.end_id], np.asarray(tag_grammar.shortest) <= 1)
    only_end = mask[np.asarray(tag_grammar.shortest) <= 1]
    assert (only_end.sum(axis=1) == 1).all()


def test_no_state_is_without_a_way_on_and_one_step_less_remains_after_the_best(tag_grammar, summary_grammar):
    for grammar in (tag_grammar, summary_grammar):
        ways, shortest = np.asarray(grammar.next_state), np.asarray(grammar.shortest)
        after = np.where(ways >= 0, shortest[ways], 10**6).min(axis=1)
        np.testing.assert_array_equal(after[:-1], shortest[:-1] - 1)


def test_a_character_must_be_whole_before_the_text_goes_on(tokenizer, tag_grammar):
    byte = {added: ids[0] for added, ids in spellings(tokenizer).items() if len(added) == 1}
    state = tag_grammar.start[0]
    for id_ in written_otherwise(tokenizer, "<think>", random.Random(0)):
        state = advance(tag_grammar, state, jnp.asarray(id_))
    for first in (b"\xc3", b"\xe7", b"\xf0"):
        inside = advance(tag_grammar, state, jnp.asarray(byte[first]))
        mask = np.asarray(allowed(tag_grammar, inside))
        assert not mask[byte[b"a"]]
        assert not mask[byte[b"\xc3"]]
        assert mask[byte[b"\x9f"]]
    surrogate = advance(tag_grammar, state, jnp.asarray(byte[b"\xed"]))
    assert not np.asarray(allowed(tag_grammar, surrogate))[byte[b"\xa0"]]
    assert not np.asarray(allowed(tag_grammar, state))[byte[b"\x80"]]


@pytest.mark.parametrize(
    ("name", "value_json"),
    [
        *(("gender", value) for value in ('"Male"', '"mal"', '"malefemale"', '""', '"male', "null")),
        *(("interests", value) for value in ('""', '" "', '" a"', '"a,b"', '"a, "', '", a"', '"a, , b"')),
        *(("interests", value) for value in ('"a, b, c, d, e, f"', r'"\u0020"', r'"\n"', '"a\nb"', '"\u3000"')),
        *(("interests", value) for value in ('"\u2003a"', '"</answer>"', '"<think>"', '"a"b"', r'"\x"', '"\\"')),
        ("interests", r'"<\/answer>"'),
        *(("resident_city", value) for value in ('"Rome, Paris"', '["Rome"]', '"a<|im_end|>"')),
    ],
)
def test_what_is_no_value_is_refused(name, value_json):
    assert not reads_tag(name, value_json)


@pytest.mark.parametrize(
    ("name", "value_json"),
    [
        *(("interests", value) for value in (r'"\""', r'"a\nb"', r'"a\\, b"', '"I <3 tea, <th"', '"<<think"')),
        *(("interests", value) for value in ('"NA"', '"a, b, c, d, e"', '"茶\u3000🍵"', '"a\u00a0"')),
    ],
)
def test_what_is_a_value_is_accepted(name, value_json):
    tag_prediction.valid_value(HPR18[name], json.loads(value_json))
    assert reads_tag(name, value_json)


@pytest.mark.parametrize("mark", [mark for mark in CONTROL if "\n" not in mark])
def test_the_reasoning_holds_no_mark(mark):
    assert reads_tag("pet", '"cat"', think="a < b </thin </ a\n")
    assert not reads_tag("pet", '"cat"', think=f"a {mark} b")
    assert not reads_tag("pet", '"cat"', think=f"<{mark}")


@settings(max_examples=300, deadline=None)
@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.text('a ,<>/\\"', max_size=12))
def test_a_free_value_is_accepted_just_when_it_is_valid_and_in_normal_form(value):
    tag = HPR18["interests"]
    written = json.dumps({tag.name: value}, ensure_ascii=False)
    try:
        tag_prediction.parse(tag, f"<think></think><answer>{written}</answer>")
        valid = True
    except MalformedOutput:
        valid = False
    items = value.split(", ")
    normal = all(item and "," not in item and not item[0].isspace() for item in items)
    assert reads_tag(tag.name, json.dumps(value, ensure_ascii=False)) == (valid and normal)


def test_a_vocabulary_that_cannot_spell_the_answer_is_refused(tokenizer):
    class Mute:
        vocab_size, pad_id, end_id = tokenizer.vocab_size, tokenizer.pad_id, tokenizer.end_id

        def token_bytes(self):
            return [b"" if b"}" in added else added for added in tokenizer.token_bytes()]

    with pytest.raises(InputError, match="no tokens that spell an answer"):
        lift(AUTOMATON, Mute(), tokenizer.vocab_size)


def test_the_table_is_small(tag_grammar, summary_grammar):
    for grammar in (tag_grammar, summary_grammar):
        assert grammar.next_state.dtype == jnp.int16
        assert grammar.next_state.size < 2_000_000
