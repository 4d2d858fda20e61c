import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.inference import tree_queue
from usergpt_jax.inference.tree_queue import Asked, Size, User
from usergpt_jax.models import qwen3, sampler
from usergpt_jax.models.sampling import Drawing

SEED = 3
MESH = make_mesh(MeshConfig(data=1, fsdp=1, tensor=1, context=1))
# Two kinds of questions: many short answers, few long ones that other tokens end.
ASKED = [Asked([3, 4], 4, 3, (1,)), Asked([5, 6, 7], 2, 9, (2, 8))]
DRAWING = Drawing(temperature=1.0, top_k=0, top_p=1.0)
USERS = [User(np.random.default_rng(i).integers(9, tiny.VOCAB, 3 + 5 * i).tolist(), 100 + i) for i in range(7)]


@pytest.fixture(scope="module")
def params():
    shardings = qwen3.param_shardings(tiny.CONFIG, tiny.VOCAB, MESH)
    return jax.device_put(tiny.params(), shardings)


def answers(params, users=None, n_seats=3, n_slots=2, asked=ASKED, trunk_tokens=40):
    users = list(range(len(USERS))) if users is None else users
    done = tree_queue.answers(
        params, tiny.CONFIG, MESH, [USERS[i] for i in users], asked, DRAWING, Size(trunk_tokens, n_seats, n_slots), SEED
    )  # fmt: skip
    return {users[number]: samples for number, samples in done}


@pytest.fixture(scope="module")
def found(params):
    return answers(params)


def test_every_user_is_answered_once(params):
    done = tree_queue.answers(params, tiny.CONFIG, MESH, USERS, ASKED, DRAWING, Size(40, 3, 2), SEED)
    assert sorted(number for number, _ in done) == list(range(len(USERS)))


def assert_equal(a, b):
    np.testing.assert_array_equal(a.tokens, b.tokens)
    np.testing.assert_array_equal(a.lengths, b.lengths)
    np.testing.assert_array_equal(a.truncated, b.truncated)
    np.testing.assert_allclose(a.policy_logprob, b.policy_logprob, atol=1e-4)
    np.testing.assert_allclose(a.sampled_logprob, b.sampled_logprob, atol=1e-4)


@pytest.mark.parametrize(("n_seats", "n_slots"), [(1, 1), (2, 3), (4, 0), (9, 5)])
def test_seats_and_slots_decide_nothing(params, found, n_seats, n_slots):
    for user, samples in answers(params, n_seats=n_seats, n_slots=n_slots).items():
        assert_equal(samples, found[user])


def test_order_and_company_decide_nothing(params, found):
    for user, samples in answers(params, users=[5, 0, 3]).items():
        assert_equal(samples, found[user])


def test_rows_are_those_of_the_batch_sampler(params, found):
    """With one limit and one stop token for all, a queue draws what `sample` draws."""
    asked = [Asked([3, 4], 2, 6, (1,)), Asked([5, 6], 2, 6, (1,))]
    queued = answers(params, users=[2], asked=asked)[2]
    settings = sampler.SamplingConfig(2, 6, 1.0, 0, 1.0, stop_token=1)
    trunk, prefixes = jnp.array([USERS[2].trunk]), jnp.array([[[3, 4], [5, 6]]])
    keys = jax.random.fold_in(jax.random.key(SEED), USERS[2].number)[None]
    sample = jax.jit(sampler.sample, static_argnums=(1, 7))
    batch = sample(params, tiny.CONFIG, trunk, trunk > 0, prefixes, prefixes > 0, keys, settings)
    np.testing.assert_array_equal(queued.tokens, np.asarray(batch.tokens).reshape(4, 6))
    np.testing.assert_allclose(queued.policy_logprob, np.asarray(batch.policy_logprob).reshape(4, 6), atol=1e-4)


def test_a_sample_ends_at_its_own_stop_tokens_or_its_own_limit(found):
    ends = {"stopped": 0, "cut": 0}
    for samples in found.values():
        questions = [question for question in ASKED for _ in range(question.n_samples)]
        for question, tokens, length, cut in zip(
            questions, samples.tokens.tolist(), samples.lengths.tolist(), samples.truncated.tolist(), strict=True
        ):
            assert 1 <= length <= question.limit
            assert not set(tokens[: length - 1]) & set(question.stops)
            assert not any(tokens[length:])
            assert cut == (tokens[length - 1] not in question.stops)
            assert length == question.limit or not cut
            ends["cut" if cut else "stopped"] += 1
    assert min(ends.values()) > 3


@contextlib.contextmanager
def compilations():
    """Counts programs that the compiler is given."""
    events = []

    def listen(name, _, **__):
        if name.endswith("backend_compile_duration"):
            events.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_nothing_compiles_after_the_first_users(params):
    with compilations() as first:
        answers(params, users=[0, 1], n_seats=4, n_slots=5)
    assert first
    with compilations() as later:
        answers(params, users=[3, 6, 2, 4, 5, 1], n_seats=4, n_slots=5)
    assert not later


def test_trunks_are_padded_to_halves_of_the_longest(params, found, monkeypatch):
    assert Size(3000, 1, 1).buckets() == [375, 750, 1500, 3000]
    assert Size(100, 1, 1).buckets() == [100]
    monkeypatch.setattr(tree_queue, "SHORTEST", 20)
    assert Size(40, 1, 1).buckets() == [20, 40]
    for user, samples in answers(params).items():
        assert_equal(samples, found[user])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_seats": 0}, "n_seats: expected at least 1, got 0"),
        ({"n_slots": -1}, "n_slots: expected at least 0, got -1"),
        ({"trunk_tokens": 20}, "a trunk of 33 tokens; expected at most 20"),
        ({"asked": [Asked([], 1, 1, ())]}, "tokens: expected at least 1"),
        ({"asked": [Asked([3], 1, 0, ())]}, "limit: expected at least 1"),
    ],
)
def test_the_impossible_is_refused(params, changed, message):
    with pytest.raises(InputError, match=message):
        answers(params, **changed)
