"""Attention over a tree in blocks (`blocks`), on any device, with its own backward pass.

Query heads that share a key head are rows of one matrix, token by token:

    trunk      queries [B K, P J, H]      see keys of the trunk up to themselves
    branches   queries [B K, G R J, H]    see the valid keys of the trunk
               queries [B G K, R J, H]    see keys of their branch up to themselves
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from usergpt_jax.models.blocks import Part, Sight, attend, attend_backward
from usergpt_jax.models.shares import WHOLE, Share


def attend_causal(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    lengths: Int[Array, " B"],
    share: Share = WHOLE,
) -> Float[Array, "B T N H"]:
    """Causal attention of scaled queries, a share of the tokens, within each row, right padded after `lengths`."""
    return _causal(share.of, q, k, v, lengths, jnp.asarray(share.index))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _causal(n_shares: int, q: Array, k: Array, v: Array, lengths: Array, index: Array) -> Array:
    return _causal_forward(n_shares, q, k, v, lengths, index)[0]


def _causal_forward(n_shares: int, q: Array, k: Array, v: Array, lengths: Array, index: Array) -> tuple[Array, Any]:
    cut = _Cut(q.shape, k.shape[-2])
    part = attend(cut.rows(q), _keys(k), _keys(v), Sight(cut.each(lengths), cut.group, Share(index, n_shares)))
    out = cut.tokens(part.mixed).astype(q.dtype)
    return out, (q, k, v, lengths, index, out, part.logsumexp)


def _causal_backward(n_shares: int, saved: Any, d_out: Array) -> tuple[Any, ...]:
    q, k, v, lengths, index, out, logsumexp = saved
    cut = _Cut(q.shape, k.shape[-2])
    rows, d_rows, delta = cut.rows(q), cut.rows(d_out), cut.rows(_delta(out, d_out))[..., 0]
    sight = Sight(cut.each(lengths), cut.group, Share(index, n_shares))
    dq, dk, dv = attend_backward(rows, _keys(k), _keys(v), sight, logsumexp, d_rows, delta)
    gradients = (cut.tokens(dq), _tokens(dk, k), _tokens(dv, v))
    return (*_as_given((q, k, v), gradients), _no_gradient(lengths), _no_gradient(index))


_causal.defvjp(_causal_forward, _causal_backward)


@jax.custom_vjp
def attend_tree(
    q: Float[Array, "B G R N H"],
    trunk_k: Float[Array, "B P K H"],
    trunk_v: Float[Array, "B P K H"],
    own_k: Float[Array, "B G R K H"],
    own_v: Float[Array, "B G R K H"],
    lengths: Int[Array, " B"],
) -> Float[Array, "B G R N H"]:
    """Attention of branch tokens to the first `lengths` tokens of their trunk and, causally, to their own branch."""
    return _tree_forward(q, trunk_k, trunk_v, own_k, own_v, lengths)[0]


def _tree_forward(
    q: Array, trunk_k: Array, trunk_v: Array, own_k: Array, own_v: Array, lengths: Array
) -> tuple[Array, Any]:
    cut = _Cut(q.shape, trunk_k.shape[-2])
    to_trunk, to_own = cut.sights(lengths)
    rows = cut.rows(q)
    trunk = attend(cut.by_trunk(rows), _keys(trunk_k), _keys(trunk_v), to_trunk)
    own = attend(rows, _keys(own_k), _keys(own_v), to_own)
    part = _merge(Part(*(cut.by_branch(x) for x in trunk)), own)
    out = cut.tokens(part.mixed).astype(q.dtype)
    return out, (q, trunk_k, trunk_v, own_k, own_v, lengths, out, part.logsumexp)


def _tree_backward(saved: Any, d_out: Array) -> tuple[Any, ...]:
    *given, lengths, out, logsumexp = saved
    q, trunk_k, trunk_v, own_k, own_v = given
    cut = _Cut(q.shape, trunk_k.shape[-2])
    to_trunk, to_own = cut.sights(lengths)
    rows, *of_rows = cut.rows(q), logsumexp, cut.rows(d_out), cut.rows(_delta(out, d_out))[..., 0]
    trunk_rows, *trunk_of_rows = (cut.by_trunk(x) for x in (rows, *of_rows))
    trunk = attend_backward(trunk_rows, _keys(trunk_k), _keys(trunk_v), to_trunk, *trunk_of_rows)
    own = attend_backward(rows, _keys(own_k), _keys(own_v), to_own, *of_rows)
    gradients = [cut.tokens(cut.by_branch(trunk[0]) + own[0])]
    gradients += [_tokens(g, like) for g, like in zip((*trunk[1:], *own[1:]), given[1:], strict=True)]
    return (*_as_given(given, gradients), _no_gradient(lengths))


attend_tree.defvjp(_tree_forward, _tree_backward)


def _merge(a: Part, b: Part) -> Part:
    """Two softmaxes over different keys as one."""
    logsumexp = jnp.logaddexp(a.logsumexp, b.logsumexp)
    share = jnp.exp(a.logsumexp - logsumexp)[..., None]
    return Part(a.mixed * share + b.mixed * (1 - share), logsumexp)


def _delta(out: Array, d_out: Array) -> Array:
    return jnp.sum(out.astype(jnp.float32) * d_out.astype(jnp.float32), axis=-1, keepdims=True)


def _as_given(given: Sequence[Array], gradients: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(gradient.astype(x.dtype) for x, gradient in zip(given, gradients, strict=True))


def _no_gradient(x: Array | int) -> np.ndarray:
    return np.zeros(jnp.shape(x), jax.dtypes.float0)


def _keys(x: Float[Array, "*B T K H"]) -> Float[Array, "M T H"]:
    """Keys or values with their heads as rows: M = B x K."""
    *batch, T, K, H = x.shape
    return jnp.swapaxes(x, -2, -3).reshape(math.prod(batch) * K, T, H)


def _tokens(x: Float[Array, "M T H"], like: Float[Array, "*B T K H"]) -> Float[Array, "*B T K H"]:
    """Undoes `_keys`."""
    *batch, T, K, H = like.shape
    return jnp.swapaxes(x.reshape(*batch, K, T, H), -2, -3)


class _Cut:
    """Turns what belongs to queries [B T N H] or [B G R N H] into rows and back."""

    def __init__(self, shape: tuple[int, ...], n_kv_heads: int):
        *self._batch, self._tokens, n_heads, _ = shape
        self._kv, self.group = n_kv_heads, n_heads // n_kv_heads

    def each(self, lengths: Int[Array, " B"]) -> Int[Array, " M"]:
        """One length a row of matrices [B K]."""
        return jnp.repeat(lengths, self._kv)

    def sights(self, lengths: Int[Array, " B"]) -> tuple[Sight, Sight]:
        """Of all branches on their trunk, and of each branch on itself."""
        B, G = self._batch
        return Sight(self.each(lengths), 0), Sight(jnp.full(B * G * self._kv, self._tokens), self.group)

    def rows(self, x: Float[Array, "*B T N H"]) -> Float[Array, "M Q H"]:
        """Matrices a batch row and key head; heads of a token are next to each other."""
        x = x.reshape(*self._batch, self._tokens, self._kv, self.group, x.shape[-1])
        return jnp.swapaxes(x, -3, -4).reshape(-1, self._tokens * self.group, x.shape[-1])

    def tokens(self, x: Float[Array, "M Q H"]) -> Float[Array, "*B T N H"]:
        """Undoes `rows`."""
        x = x.reshape(*self._batch, self._kv, self._tokens, self.group, x.shape[-1])
        return jnp.swapaxes(x, -3, -4).reshape(*self._batch, self._tokens, -1, x.shape[-1])

    def by_trunk(self, x: Array) -> Array:
        """[(B G K) Q ...] as [(B K) (G Q) ...]: the branches of a trunk are rows of one matrix."""
        B, G = self._batch
        x = jnp.swapaxes(x.reshape(B, G, self._kv, *x.shape[1:]), 1, 2)
        return x.reshape(B * self._kv, G * x.shape[3], *x.shape[4:])

    def by_branch(self, x: Array) -> Array:
        """Undoes `by_trunk`."""
        B, G = self._batch
        x = jnp.swapaxes(x.reshape(B, self._kv, G, x.shape[1] // G, *x.shape[2:]), 1, 2)
        return x.reshape(B * G * self._kv, *x.shape[3:])
