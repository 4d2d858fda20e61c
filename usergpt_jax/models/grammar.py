"""Constrained decoding: which tokens may come next, from a small automaton over token ids.

    state --allowed--> Bool[V] --(the sampler draws)--> token --advance--> state

Tokens that lead from every state to the same state share a class, so the table is [states, classes], not [states, V].
`corpus.token_automaton` makes a grammar, `tasks.answer_grammar` one of the answers to a schema.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

REFUSED = -1


class Grammar(NamedTuple):
    """An automaton over token ids; one start state a question.

    From every state the end can be reached. It is the state `next_state.shape[0] - 1`: only the end token leads to it,
    and from it only to itself.
    """

    token_class: Int[Array, " V"]
    next_state: Int[Array, "S classes"]  # REFUSED where no token of the class may come
    start: Int[Array, " G"]
    shortest: Int[Array, " S"]  # least number of tokens from a state to the end, the end token included


def allowed(grammar: Grammar, state: Int[Array, "*B"], left: Int[Array, "*B"] | None = None) -> Bool[Array, "*B V"]:
    """Which tokens may come next; at least one, unless the state is `REFUSED`.

    Args:
      grammar: the automaton.
      state: where the outputs stand.
      left: how many tokens each output may still take, the end token included. Tokens from which it could not end in
        time are masked, so no output is cut off; where it is too late for any, they are all left in.
    """
    found = grammar.next_state[jnp.maximum(state, 0)]
    ok = (found >= 0) & (state >= 0)[..., None]
    if left is not None:
        in_time = grammar.shortest[jnp.maximum(found, 0)] <= jnp.maximum(left - 1, 0)[..., None]
        too_late = grammar.shortest[jnp.maximum(state, 0)] > left
        ok &= in_time | too_late[..., None]
    return jnp.take(ok, grammar.token_class, axis=-1)


def advance(grammar: Grammar, state: Int[Array, "*B"], token: Int[Array, "*B"]) -> Int[Array, "*B"]:
    """The state after a token; `REFUSED` after one that is not allowed, and from there on."""
    found = grammar.next_state[jnp.maximum(state, 0), grammar.token_class[token]].astype(jnp.int32)
    return jnp.where(state >= 0, found, REFUSED)
