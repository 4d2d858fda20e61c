import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.corpus.tiny_tokenizers import byte_level_tokenizer
from tests.inference.tiny_model import TINY
from usergpt_jax.corpus.trees import encode_trunk, pad_rows
from usergpt_jax.inference import choices
from usergpt_jax.inference.generate import UserLog
from usergpt_jax.models import qwen3
from usergpt_jax.models.tree_attention import forward_flat
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import tag_prediction

LINES = [f"[Source: E-commerce] [TIME: 2025-0{i}] [TYPE: Purchase] [COUNT: {i}] | Cat Litter" for i in range(1, 6)]
USERS = [UserLog(f"user {i}", "\n".join(LINES[:i])) for i in range(4)]
THOUGHTS = [{"gender": ["gender: Lipstick (L1)"], "pet": ["pet: Cat Litter (L2)"] * i} for i in range(4)]
CLOSED = [tag.name for tag in HPR18.tags if not tag.is_open]


@pytest.fixture(scope="module", params=["sentencepiece", "byte_level"])
def either(request, model):
    """A model of either kind of tokenizer."""
    if request.param == "sentencepiece":
        return model
    tokenizer = byte_level_tokenizer()
    config = qwen3.Qwen3Config(**TINY)
    params = qwen3.init(config, tokenizer.vocab_size, jax.random.key(1))
    return dataclasses.replace(model, params=params, tokenizer=tokenizer)


def score(model, users=USERS, thoughts=THOUGHTS, users_at_once=3):
    return choices.score_tags(model, users, thoughts, users_at_once, "test")


def close(found, expected):
    return all(
        found[name].keys() == values.keys() and np.allclose([found[name][v] for v in values], [*values.values()])
        for name, values in expected.items()
    )


def one_by_one(model, user, tag, think):
    """The softmax of the log-probs of whole sequences, from the reasoning's end up to the value's closing quote."""
    totals, forward = [], jax.jit(forward_flat, static_argnums=1)
    for value in (*tag.values, NA):
        output = tag_prediction.target(tag, value, "x").replace(f"{tag.name}: x", think)
        text = tag_prediction.prompt(tag, model.prompt) + output
        ids = model.tokenizer.encode_template(text)
        end, start = text.index(f'"{value}"') + len(value) + 2, text.index("</think>")
        first, last = (
            next(n for n in range(len(ids) + 1) if len(model.tokenizer.decode(ids[:n])) >= at) for at in (start, end)
        )
        trunk = encode_trunk(model.tokenizer, user.mub, model.trunk_tokens)
        row, mask = pad_rows([[*trunk, *ids[:last]]], 1024, model.tokenizer.pad_id)
        hidden = forward(model.params, model.config, row, mask)
        logp = jax.nn.log_softmax(hidden[0] @ qwen3.head(model.params).T, axis=-1)
        totals.append(sum(logp[len(trunk) + i - 1, ids[i]] for i in range(first, last)))
    return dict(zip((*tag.values, NA), jax.nn.softmax(jnp.array(totals)).tolist(), strict=True))


def test_every_closed_tag_gets_a_distribution_over_its_values(either):
    for found in score(either):
        assert list(found) == CLOSED
        for name, values in found.items():
            assert list(values) == [*HPR18[name].values, NA]
            np.testing.assert_allclose(sum(values.values()), 1, rtol=1e-5)


def test_probabilities_equal_those_of_whole_sequences_computed_one_by_one(either):
    found = score(either)[2]
    for name, think in (("gender", "gender: Lipstick (L1)"), ("pet", "pet: Cat Litter (L2)")):
        expected = one_by_one(either, USERS[2], HPR18[name], think)
        np.testing.assert_allclose([found[name][v] for v in expected], [*expected.values()], rtol=1e-3)


def test_a_choice_is_written_as_an_output_is_and_ends_behind_the_closing_quote(either):
    for tag in (HPR18["gender"], HPR18["child_stage"]):
        for value, ids in zip((*tag.values, NA), choices._written(either, tag, f"{tag.name}: tea"), strict=True):
            whole = tag_prediction.prompt(tag, either.prompt) + tag_prediction.target(tag, value, "tea")
            assert list(ids) == either.tokenizer.encode_template(whole)[: len(ids)]
            end = whole.index(f'"{value}"') + len(value) + 2
            assert len(either.tokenizer.decode(ids)) >= end
            assert len(either.tokenizer.decode(ids[:-1])) < end


def test_neither_other_users_nor_the_batch_size_matter(either):
    together = score(either)
    assert close(score(either, USERS[2:3], THOUGHTS[2:3])[0], together[2])
    assert all(map(close, score(either, users_at_once=1), together))
    assert all(map(close, score(either, USERS[::-1], THOUGHTS[::-1]), together[::-1]))


def test_thoughts_of_other_tags_do_not_matter(either):
    alone = score(either, USERS[3:], [{"pet": THOUGHTS[3]["pet"]}])[0]
    assert close({"pet": alone["pet"]}, {"pet": score(either)[3]["pet"]})


def test_several_thoughts_give_their_mean_and_equal_ones_count_as_often_as_they_stand(either):
    one, other = "pet: Cat Litter (L1)", "pet: Dog Food (L2)"
    found = [
        score(either, USERS[3:], [{"pet": thoughts}])[0]["pet"] for thoughts in ([one], [other], [one, other, one])
    ]
    for value in found[0]:
        np.testing.assert_allclose(found[2][value], (2 * found[0][value] + found[1][value]) / 3, rtol=1e-5)


def test_branches_are_as_few_as_hold_what_stands_before_the_choices(either):
    sheet = choices._Sheet([], [], [], [])
    choices._add(sheet, [(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 6), (1, 7, 8)], alike=1)
    assert sheet.branches == [[1, 2, 3], [1, 7]]
    read = [[(r.branch, r.place, r.token) for r in reads] for reads in sheet.reads]
    assert read == [
        [(0, 1, 2), (0, 2, 3), (0, 3, 4)],
        [(0, 1, 2), (0, 2, 3), (0, 3, 5)],
        [(0, 1, 2), (0, 2, 6)],
        [(1, 1, 7), (1, 2, 8)],
    ]


def test_thoughts_are_those_of_well_formed_outputs(model):
    texts = [["no output", tag_prediction.target(tag, NA, "tea (L1)")] for tag in HPR18.tags]
    assert choices.thoughts_of(HPR18, texts) == {tag.name: [f"{tag.name}: tea (L1)"] for tag in HPR18.tags}
    drawn = choices.sample_thoughts(model, USERS[:1], 2, users_at_once=1, samples_at_once=0, seed=0, label="test")
    assert [list(thoughts) for thoughts in drawn] == [list(HPR18.names)]
