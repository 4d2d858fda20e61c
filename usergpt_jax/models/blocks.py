"""Attention in blocks of queries and keys: no array holds every pair, and no block is read that nobody sees.

A block of queries meets one block of keys after the other; running maximum and sum in float32 keep the softmax exact
(Milakov and Gimelshein 2018; Dao et al. 2022). Blocks of keys that none of the queries may see are skipped. The
backward pass makes the weights again from the saved logsumexp. Arrays are [M, Q, H]: M independent attentions.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from usergpt_jax.models.attention import MASKED
from usergpt_jax.models.linear import outer_sum
from usergpt_jax.models.shares import WHOLE, Share, number

ROWS, KEYS = 512, 256  # queries and keys of a block
CACHED, CORES = ROWS * KEYS, os.cpu_count() or 1  # scores that the cache of each core of a CPU holds


class Sight(NamedTuple):
    """What queries see: keys before `lengths`; with `group` = J > 0, row r is token r // J and sees no later key.

    With a `share`, row r is token r // J of that share of the keys' tokens.
    """

    lengths: Int[Array, " M"]
    group: int
    share: Share = WHOLE


class Part(NamedTuple):
    """A softmax over some of the keys: `mixed` is the weighted mean of their values."""

    mixed: Float[Array, "M Q H"]
    logsumexp: Float[Array, "M Q"]


def attend(q: Float[Array, "M Q H"], k: Float[Array, "M S H"], v: Float[Array, "M S H"], sight: Sight) -> Part:
    """Attention of scaled queries; a query that sees no key gets zeros and the logsumexp `MASKED`."""
    return _in_turns(_attend, sight, q, k, v)


def _attend(sight: Sight, q: Array, k: Array, v: Array) -> Part:
    blocks = _Blocks(q.shape[1], k.shape[1], sight)
    k, v = blocks.padded(k), blocks.padded(v)

    def one(carry: None, i: Array, rows: Array) -> tuple[None, Part]:
        def meet(j: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            mixed, top, total = carry
            scores = _scores(rows, blocks.keys(k, j), blocks.visible(i, j))
            new_top = jnp.maximum(top, jnp.max(scores, axis=-1))
            weights = jnp.exp(scores - new_top[..., None])
            shrink = jnp.exp(top - new_top)
            values = blocks.keys(v, j)
            added = jnp.einsum("MQS,MSH->MQH", weights.astype(v.dtype), values, preferred_element_type=jnp.float32)
            return mixed * shrink[..., None] + added, new_top, total * shrink + jnp.sum(weights, axis=-1)

        start = (
            jnp.zeros((*rows.shape[:2], v.shape[2]), jnp.float32),
            jnp.full(rows.shape[:2], MASKED, jnp.float32),
            jnp.zeros(rows.shape[:2], jnp.float32),
        )
        mixed, top, total = jax.lax.fori_loop(0, blocks.stop(i), meet, start)
        seen = top > MASKED / 2  # a row whose keys were all masked has weights, but of nothing
        mixed = jnp.where(seen[..., None], mixed / jnp.where(total > 0, total, 1.0)[..., None], 0.0)
        return carry, Part(mixed, jnp.where(seen, top + jnp.log(jnp.where(total > 0, total, 1.0)), MASKED))

    return blocks.scan_rows(one, None, q)[1]


def attend_backward(
    q: Float[Array, "M Q H"],
    k: Float[Array, "M S H"],
    v: Float[Array, "M S H"],
    sight: Sight,
    logsumexp: Float[Array, "M Q"],
    d_out: Float[Array, "M Q H"],
    delta: Float[Array, "M Q"],
) -> tuple[Float[Array, "M Q H"], Float[Array, "M S H"], Float[Array, "M S H"]]:
    """Gradients by queries, keys and values, in float32.

    Args:
      q: as in `attend`.
      k: as in `attend`.
      v: as in `attend`.
      sight: as in `attend`.
      logsumexp: over all keys that the queries see, here and elsewhere.
      d_out: gradient by the output.
      delta: `sum(out * d_out)` of each query.
    """
    return _in_turns(_attend_backward, sight, q, k, v, logsumexp, d_out, delta)


def _attend_backward(
    sight: Sight, q: Array, k: Array, v: Array, logsumexp: Array, d_out: Array, delta: Array
) -> tuple[Array, Array, Array]:
    blocks = _Blocks(q.shape[1], k.shape[1], sight)
    n_keys, wide = k.shape[1], jnp.float32
    k, v = blocks.padded(k), blocks.padded(v)

    def one(carry: tuple[Array, Array], i: Array, rows: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        q_rows, lse, d_rows, delta_rows = rows

        def meet(j: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            dq, dk, dv = carry
            some_k, some_v = blocks.keys(k, j), blocks.keys(v, j)
            scores = _scores(q_rows, some_k, blocks.visible(i, j))
            weights = jnp.exp(scores - lse[..., None])
            d_weights = jnp.einsum("MQH,MSH->MQS", d_rows, some_v, preferred_element_type=wide)
            d_scores = (weights * (d_weights - delta_rows[..., None])).astype(q.dtype)
            dq += jnp.einsum("MQS,MSH->MQH", d_scores, some_k, preferred_element_type=wide)
            dk = blocks.add(dk, j, outer_sum(d_scores, q_rows, 1, n_batch=1))
            dv = blocks.add(dv, j, outer_sum(weights.astype(v.dtype), d_rows, 1, n_batch=1))
            return dq, dk, dv

        dq, dk, dv = jax.lax.fori_loop(0, blocks.stop(i), meet, (jnp.zeros(q_rows.shape, wide), *carry))
        return (dk, dv), dq

    hidden = jnp.where(logsumexp > MASKED / 2, logsumexp, -MASKED)  # of a row that sees nothing: weights of zero
    start = jnp.zeros(k.shape, wide), jnp.zeros(v.shape, wide)
    (dk, dv), dq = blocks.scan_rows(one, start, (q, hidden, d_out.astype(q.dtype), delta))
    return dq, dk[:, :n_keys], dv[:, :n_keys]


def _in_turns(work: Callable[..., Any], sight: Sight, q: Array, k: Array, *others: Array) -> Any:
    """`work` for all M; a CPU takes a few of them at a time, so that their scores stay in its cache."""
    M = q.shape[0]
    at_once = max(1, CACHED * CORES // max(1, min(ROWS, q.shape[1]) * min(KEYS, k.shape[1])))
    n_turns = max(1, -(-M // at_once))
    filled = n_turns * -(-M // n_turns)  # turns of one size; an attention that fills one up has no keys

    def some(lengths: Array, *operands: Array) -> Any:
        return work(sight._replace(lengths=lengths), *operands)

    def on_cpu(*operands: Array) -> Any:
        padded = (jnp.pad(x, [(0, filled - M)] + [(0, 0)] * (x.ndim - 1)) for x in operands)
        turns = [x.reshape(n_turns, filled // n_turns, *x.shape[1:]) for x in padded]
        out = jax.lax.map(lambda turn: some(*turn), turns)
        return jax.tree.map(lambda x: x.reshape(filled, *x.shape[2:])[:M], out)

    return jax.lax.platform_dependent(sight.lengths, q, k, *others, cpu=on_cpu, default=some)


def _scores(q: Array, k: Array, visible: Array) -> Array:
    scores = jnp.einsum("MQH,MSH->MQS", q, k, preferred_element_type=jnp.float32)
    return jnp.where(visible, scores, MASKED)


class _Blocks:
    """How queries and keys are cut."""

    def __init__(self, n_rows: int, n_keys: int, sight: Sight):
        self._n_rows, self._sight = n_rows, sight
        self._rows, self._keys = max(1, min(ROWS, n_rows)), max(1, min(KEYS, n_keys))
        self._n_blocks = max(1, -(-n_keys // self._keys))

    def padded(self, x: Array) -> Array:
        """Keys or values filled up to whole blocks."""
        return jnp.pad(x, ((0, 0), (0, self._n_blocks * self._keys - x.shape[1]), (0, 0)))

    def keys(self, x: Array, j: Array) -> Array:
        """Block `j` of padded keys or values."""
        return jax.lax.dynamic_slice_in_dim(x, j * self._keys, self._keys, axis=1)

    def add(self, x: Array, j: Array, values: Array) -> Array:
        """Padded keys or values with something added to block `j`."""
        return jax.lax.dynamic_update_slice_in_dim(x, self.keys(x, j) + values, j * self._keys, axis=1)

    def visible(self, i: Array, j: Array) -> Array:
        """Which keys of block `j` the rows of block `i` see, [M Q S] or [M 1 S]."""
        keys = j * self._keys + jnp.arange(self._keys)
        valid = (keys < self._sight.lengths[:, None])[:, None]
        if not self._sight.group:
            return valid
        tokens = self._token(i * self._rows + jnp.arange(self._rows))
        return valid & (keys <= tokens[:, None])

    def stop(self, i: Array) -> Array:
        """Blocks of keys from the first to the last that a row of block `i` may see."""
        longest = jnp.max(self._sight.lengths, initial=0)
        last = self._token((i + 1) * self._rows - 1) + 1 if self._sight.group else longest
        return jnp.minimum(-(-jnp.minimum(last, longest) // self._keys), self._n_blocks)

    def _token(self, row: Array) -> Array:
        """Which token a row is."""
        group = self._sight.group
        return number(self._sight.share, row // group, self._n_rows // group)

    def scan_rows(self, one: Callable[[Any, Array, Any], tuple[Any, Any]], carry: Any, rows: Any) -> tuple[Any, Any]:
        """`one(carry, i, block i of the rows)` for every block; its second results are joined along the rows."""
        n = -(-self._n_rows // self._rows)

        def split(x: Array) -> Array:
            x = jnp.pad(x, [(0, 0), (0, n * self._rows - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
            return jnp.swapaxes(x.reshape(x.shape[0], n, self._rows, *x.shape[2:]), 0, 1)

        def join(x: Array) -> Array:
            x = jnp.swapaxes(x, 0, 1)
            return x.reshape(x.shape[0], n * self._rows, *x.shape[3:])[:, : self._n_rows]

        carry, out = jax.lax.scan(
            lambda carry, block: one(carry, *block), carry, (jnp.arange(n), jax.tree.map(split, rows))
        )
        return carry, jax.tree.map(join, out)
