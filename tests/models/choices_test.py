import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.models import qwen3
from usergpt_jax.models.choices import Choices, score_choices
from usergpt_jax.models.tree_attention import forward_flat

TRUNKS = ([3, 4, 5, 6, 7], [8, 9, 10])
QUESTIONS = {0: [11, 12], 1: [13]}
# Group -> what may be written after its question; 20 starts three choices, 20 21 two.
ANSWERS = {0: ([20, 21, 22], [20, 21, 23], [20, 24], [25]), 1: ([26], [27])}
# The branches: question and all but the last token; [11 12 20 21] holds all that stands before tokens of group 0.
BRANCHES = ([11, 12, 20, 21], [13])


score_jitted = jax.jit(score_choices, static_argnums=(1,), static_argnames=("chunk_tokens",))
flat_jitted = jax.jit(forward_flat, static_argnums=(1,))


def padded(rows, length):
    tokens = np.zeros((len(rows), length), np.int32)
    mask = np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], mask[i, : len(row)] = row, True
    return tokens, mask


def choices(users, n_choices=6, n_tokens=3):
    shape = (users, n_choices, n_tokens)
    branch, place, token = np.zeros(shape, np.int32), np.ones(shape, np.int32), np.zeros(shape, np.int32)
    counted, group = np.zeros(shape, bool), np.zeros(shape[:2], np.int32)
    written = [(g, answer) for g, answers in ANSWERS.items() for answer in answers]
    for n, (g, answer) in enumerate(written):
        group[:, n] = g
        for k, id_ in enumerate(answer):
            branch[:, n, k], place[:, n, k], token[:, n, k] = g, len(QUESTIONS[g]) + k, id_
            counted[:, n, k] = True
    return Choices(branch, place, token, counted, group)


def params():
    """Weights as `init` gives them: of doubled ones the logits are so large that rounding shows in a probability."""
    return tiny.params(scale=1.0)


def score(trunks=TRUNKS, P=6, G=3, R=5, n_choices=6, n_tokens=3):
    trunk, trunk_mask = padded(trunks, P)
    branches, branch_mask = padded([*BRANCHES, *[[]] * (G - len(BRANCHES))], R)
    tile = lambda x: np.broadcast_to(x, (len(trunks), *x.shape))  # noqa: E731
    arguments = map(jnp.asarray, (trunk, trunk_mask, tile(branches), tile(branch_mask)))
    asked = jax.tree.map(jnp.asarray, choices(len(trunks), n_choices, n_tokens))
    return np.asarray(score_jitted(params(), tiny.CONFIG, *arguments, asked, chunk_tokens=7))


def one_by_one(trunk):
    """Each choice as a flat sequence of its own."""
    found = []
    for g, answers in ANSWERS.items():
        totals = []
        for answer in answers:
            ids, mask = padded([[*trunk, *QUESTIONS[g], *answer]], 12)
            hidden = flat_jitted(params(), tiny.CONFIG, ids, mask)
            logp = jax.nn.log_softmax(hidden[0] @ qwen3.head(params()).T, axis=-1)
            start = len(trunk) + len(QUESTIONS[g])
            totals.append(sum(logp[start + k - 1, id_] for k, id_ in enumerate(answer)))
        found += jax.nn.softmax(jnp.array(totals)).tolist()
    return found


@pytest.mark.parametrize("user", [0, 1])
def test_probabilities_equal_those_of_flat_sequences(user):
    np.testing.assert_allclose(score()[user], one_by_one(TRUNKS[user]), rtol=1e-4)


def test_probabilities_of_a_group_sum_to_one():
    found = score()
    np.testing.assert_allclose(found[:, :4].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found[:, 4:].sum(axis=1), 1, rtol=1e-6)


def test_other_users_do_not_matter():
    np.testing.assert_allclose(score(TRUNKS[1:]), score()[1:], rtol=1e-5)


def test_padding_does_not_matter_and_has_probability_zero():
    wide = score(P=9, G=5, R=8, n_choices=9, n_tokens=5)
    np.testing.assert_allclose(wide[:, :6], score(), rtol=1e-5)
    np.testing.assert_array_equal(wide[:, 6:], 0)
