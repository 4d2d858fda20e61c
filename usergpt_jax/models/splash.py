"""Attention over a tree on TPU: the Pallas kernel `splash_attention` under a mask that it computes itself.

The mask is static for a shape (P, G, R), so whole blocks that nobody sees are neither loaded nor computed, and no mask
is stored; right padding of trunks is told apart by segment ids. The functions are those of `blockwise`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jaxtyping import Array, Float, Int

from usergpt_jax.core import mesh

LANES = 128
BLOCK = 512  # queries and keys of a block, where so many fit
VALID, PADDING = 1, 0  # segment ids


class _Mask(masks._ComputableMask):
    """A mask given as a function of query and key numbers; equal for equal shapes, so that a program is made once."""

    def __init__(self, shape: tuple[int, int], name: tuple[Any, ...], sees: Callable[[Any, Any], Any]):
        super().__init__(shape, sees)
        self._name = (*shape, *name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Mask) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)


def attend_causal(
    q: Float[Array, "B T N H"], k: Float[Array, "B T K H"], v: Float[Array, "B T K H"], lengths: Int[Array, " B"]
) -> Float[Array, "B T N H"]:
    """Causal attention of scaled queries within each row, right padded after `lengths`."""
    T = q.shape[1]
    size = _padded(T)
    segments = _segments(jnp.arange(T) < lengths[:, None], size)
    mask = _Mask((size, size), ("causal",), lambda row, key: row >= key)
    return _run(mask, q, k, v, segments, segments)


def attend_tree(
    q: Float[Array, "B G R N H"],
    trunk_k: Float[Array, "B P K H"],
    trunk_v: Float[Array, "B P K H"],
    own_k: Float[Array, "B G R K H"],
    own_v: Float[Array, "B G R K H"],
    lengths: Int[Array, " B"],
) -> Float[Array, "B G R N H"]:
    """Attention of branch tokens to the first `lengths` tokens of their trunk and, causally, to their own branch."""
    (B, G, R, N, H), (P, K) = q.shape, trunk_k.shape[1:3]
    k, v = (
        jnp.concatenate([trunk, own.reshape(B, G * R, K, H)], axis=1)
        for trunk, own in ((trunk_k, own_k), (trunk_v, own_v))
    )

    def sees(row: Any, key: Any) -> Any:
        own = key - P  # place among the branches' keys
        return (own < 0) | ((own // R == row // R) & (own <= row))

    mask = _Mask((_padded(G * R), _padded(P + G * R)), ("tree", P, G, R), sees)
    every = jnp.ones((B, G * R), bool)
    seen = jnp.concatenate([jnp.arange(P) < lengths[:, None], every], axis=1)
    out = _run(
        mask, q.reshape(B, G * R, N, H), k, v, _segments(every, _padded(G * R)), _segments(seen, _padded(P + G * R))
    )
    return out.reshape(q.shape)


def _run(mask: _Mask, q: Array, k: Array, v: Array, of_rows: Array, of_keys: Array) -> Array:
    """The kernel over batch and key heads; rows and keys are filled up to what it takes."""
    B, T, N, H = q.shape
    K = k.shape[2]
    q = _fill(q, of_rows.shape[1]).reshape(B, -1, K, N // K, H)
    k, v = (_fill(x, of_keys.shape[1]) for x in (k, v))

    def over_batch_and_heads(q: Array, k: Array, v: Array, of_rows: Array, of_keys: Array) -> Array:
        run = _kernel(mask, N // K)
        return jax.vmap(jax.vmap(run, in_axes=(0, 0, 0, None)))(q, k, v, kernel.SegmentIds(of_rows, of_keys))

    keys_axes, segment_axes = ("batch", "kv_heads", None, None), ("batch", None)
    rows_axes = ("batch", "kv_heads", None, None, None)
    split = mesh.on_shards(
        over_batch_and_heads, (rows_axes, keys_axes, keys_axes, segment_axes, segment_axes), rows_axes
    )
    out = split(jnp.einsum("BTKJH->BKJTH", q), jnp.swapaxes(k, 1, 2), jnp.swapaxes(v, 1, 2), of_rows, of_keys)
    return jnp.einsum("BKJTH->BTKJH", out)[:, :T].reshape(B, T, N, H)


def _kernel(mask: _Mask, group: int) -> Any:
    """The kernel for the query heads of one key head; made where it runs, for it holds arrays."""
    q, kv = (BLOCK if size % BLOCK == 0 else LANES for size in mask.shape)
    sizes = kernel.BlockSizes(
        block_q=q, block_kv=kv, block_kv_compute=kv,
        block_q_dkv=q, block_kv_dkv=kv, block_kv_dkv_compute=kv,
        block_q_dq=q, block_kv_dq=kv,
    )  # fmt: skip
    heads = masks.MultiHeadMask([mask] * group)
    return kernel.make_splash_mqa_single_device(heads, block_sizes=sizes, interpret=INTERPRET)


INTERPRET = False  # tests run the kernel without a TPU


def _padded(size: int) -> int:
    return -(-size // LANES) * LANES


def _fill(x: Array, size: int) -> Array:
    return jnp.pad(x, [(0, 0), (0, size - x.shape[1])] + [(0, 0)] * (x.ndim - 2))


def _segments(valid: Array, size: int) -> Array:
    return jnp.where(_fill(valid, size), VALID, PADDING).astype(jnp.int32)
