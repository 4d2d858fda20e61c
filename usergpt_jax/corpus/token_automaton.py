"""From an automaton over bytes to one over token ids: a token leads where its bytes lead, one after the other.

So a text may be written in any tokens that spell it, not only in those that the tokenizer would choose.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.byte_automaton import END, REFUSED, ByteAutomaton
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.models.grammar import Grammar

_CHUNK_ROWS = 1024


def lift(automaton: ByteAutomaton, tokenizer: Tokenizer, vocab_size: int) -> Grammar:
    """The grammar of the texts that the automaton reads, each followed by the end token.

    Args:
      automaton: over bytes.
      tokenizer: what the ids stand for.
      vocab_size: V of the model; ids past the tokenizer's are refused.

    Raises:
      InputError: the tokenizer cannot spell any text of a question.
    """
    token_class, ways = token_ways(automaton.next_state, tokenizer.token_bytes(), tokenizer.end_id)
    shortest = _distance(ways)
    if (shortest[automaton.start] == _FAR).any():
        raise InputError("the tokenizer has no tokens that spell an answer")
    keep = (shortest < _FAR) & _reached(ways, automaton.start)
    number = np.full(len(ways) + 1, REFUSED, np.int32)  # of each old state; the last entry serves REFUSED
    number[:-1][keep] = np.arange(keep.sum())
    kind = np.int16 if keep.sum() < 2**15 else np.int32
    table, same_class = np.unique(number[ways[keep]], axis=1, return_inverse=True)
    columns = np.zeros(vocab_size, np.int32)  # of ids that the tokenizer lacks: a class that is refused everywhere
    columns[: len(token_class)] = same_class.reshape(-1)[token_class] + 1
    table = np.concatenate([np.full((len(table), 1), REFUSED), table], axis=1)
    return Grammar(
        token_class=jnp.asarray(columns),
        next_state=jnp.asarray(table, kind),
        start=jnp.asarray(number[automaton.start]),
        shortest=jnp.asarray(shortest[keep], jnp.int32),
    )


def token_ways(next_state: np.ndarray, tokens: Sequence[bytes], end_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of tokens, Int[V], and where each class leads from each state and the ended one, Int[S+1 classes].

    Args:
      next_state: Int[S 256], of the byte automaton.
      tokens: bytes of each id, b"" where it may not be written.
      end_id: leads from the state `END` to the ended state, S, and from there to itself.
    """
    S = len(next_state)
    kinds, kind_of_byte = np.unique(next_state, axis=1, return_inverse=True)
    readable = [b"" if id_ == end_id else token for id_, token in enumerate(tokens)]
    effect, effects = _read(kinds, kind_of_byte.reshape(-1), readable)
    used, token_class = np.unique(effect, return_inverse=True)
    token_class = token_class.reshape(-1)
    token_class[end_id] = len(used)
    ways = np.full((S + 1, len(used) + 1), REFUSED, np.int32)
    ways[:-1, :-1] = np.where(effects[used] == S, REFUSED, effects[used]).T
    ways[[END, S], -1] = S
    return token_class, ways


def _read(kinds: np.ndarray, kind_of_byte: np.ndarray, tokens: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Number of each token's effect, Int[V], and the effects, Int[N S]: where each state is left for, S if refused.

    All tokens are read at once, byte by byte. What the bytes read so far do is an effect, which many tokens share, so a
    step works out each distinct pair of effect and next byte once.
    """
    S, n_kinds = kinds.shape
    number = np.int16 if S < 2**15 - 1 else np.int32
    step = np.full((S + 1, n_kinds), S, number)
    step[:-1] = np.where(kinds < 0, S, kinds)
    refuses, keeps = np.full(S, S, number), np.arange(S, dtype=number)
    effects, known = np.stack([refuses, keeps]), {refuses.tobytes(): 0, keeps.tobytes(): 1}
    lengths = np.array([len(token) for token in tokens])
    starts = np.cumsum(lengths) - lengths
    letters = kind_of_byte[np.frombuffer(b"".join(tokens), np.uint8)]
    effect = np.where(lengths > 0, 1, 0)
    reading = np.flatnonzero(effect)
    for position in range(int(lengths.max(initial=0))):
        reading = reading[(lengths[reading] > position) & (effect[reading] > 0)]
        pairs = effect[reading] * n_kinds + letters[starts[reading] + position]
        pairs, which = np.unique(pairs, return_inverse=True)
        found, new = np.empty(len(pairs), np.int64), []
        for begin in range(0, len(pairs), _CHUNK_ROWS):
            before, kind = np.divmod(pairs[begin : begin + _CHUNK_ROWS], n_kinds)
            for i, row in enumerate(step[effects[before], kind[:, None]], start=begin):
                key = row.tobytes()
                if key not in known:
                    known[key] = len(known)
                    new.append(row)
                found[i] = known[key]
        effects = np.concatenate([effects, *(row[None] for row in new)])
        effect[reading] = found[which.reshape(-1)]
    return effect, effects


_FAR = np.iinfo(np.int32).max


def _distance(ways: np.ndarray) -> np.ndarray:
    """Least number of tokens from each state to the last one, `_FAR` where there is no way."""
    linked = _linked(ways)
    distance = np.full(len(ways), _FAR, np.int32)
    front, steps = np.array([len(ways) - 1]), 0
    while front.size:
        distance[front] = steps
        steps += 1
        front = np.flatnonzero(linked[:, front].any(1) & (distance == _FAR))
    return distance


def _reached(ways: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which states some row of tokens leads to from a start."""
    linked = _linked(ways)
    reached = np.zeros(len(ways), bool)
    front = np.unique(starts)
    while front.size:
        reached[front] = True
        front = np.flatnonzero(linked[front].any(0) & ~reached)
    return reached


def _linked(ways: np.ndarray) -> np.ndarray:
    """Bool[S S]: whether a token leads from a state to another."""
    linked = np.zeros((len(ways), len(ways)), bool)
    source, column = np.nonzero(ways >= 0)
    linked[source, ways[source, column]] = True
    return linked
