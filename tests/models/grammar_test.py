import jax.numpy as jnp
import numpy as np

from usergpt_jax.models.grammar import REFUSED, Grammar, advance, allowed

# "a" any number of times, then "b", then the end token; "c" is a longer way to the end: "c" "a" "b" end.
# Tokens: 0 pad, 1 a, 2 also a, 3 b, 4 c, 5 end. Classes: 0 refused, 1 a, 2 b, 3 c, 4 end.
LOOP, AFTER_C, COMPLETE, ENDED = range(4)
GRAMMAR = Grammar(
    token_class=jnp.array([0, 1, 1, 2, 3, 4]),
    next_state=jnp.array(
        [
            [-1, LOOP, COMPLETE, AFTER_C, -1],
            [-1, LOOP, -1, -1, -1],
            [-1, -1, -1, -1, ENDED],
            [-1, -1, -1, -1, ENDED],
        ],
        jnp.int16,
    ),
    start=jnp.array([LOOP]),
    shortest=jnp.array([2, 3, 1, 0]),
)


def tokens_allowed(state, left=None):
    mask = allowed(GRAMMAR, jnp.array(state), None if left is None else jnp.array(left))
    return np.flatnonzero(np.asarray(mask)).tolist()


def test_only_what_the_table_holds_is_allowed():
    assert tokens_allowed(LOOP) == [1, 2, 3, 4]
    assert tokens_allowed(AFTER_C) == [1, 2]


def test_the_end_token_is_allowed_when_complete_and_again_after_the_end():
    assert tokens_allowed(COMPLETE) == [5]
    assert tokens_allowed(ENDED) == [5]
    assert tokens_allowed(ENDED, left=0) == [5]


def test_a_token_after_which_the_end_is_too_far_is_masked():
    assert tokens_allowed(LOOP, left=4) == [1, 2, 3, 4]
    assert tokens_allowed(LOOP, left=3) == [1, 2, 3]
    assert tokens_allowed(LOOP, left=2) == [3]


def test_where_it_is_too_late_to_end_nothing_more_is_masked():
    assert tokens_allowed(LOOP, left=1) == [1, 2, 3, 4]


def test_advance_follows_the_table_for_a_batch():
    states = advance(GRAMMAR, jnp.array([[LOOP, LOOP], [AFTER_C, COMPLETE]]), jnp.array([[2, 4], [1, 5]]))
    np.testing.assert_array_equal(states, [[LOOP, AFTER_C], [LOOP, ENDED]])


def test_a_refused_token_leads_out_for_good():
    state = advance(GRAMMAR, jnp.array(AFTER_C), jnp.array(3))
    assert state == REFUSED
    assert advance(GRAMMAR, state, jnp.array(1)) == REFUSED
    assert tokens_allowed(REFUSED) == []
