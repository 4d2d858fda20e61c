"""Attention over a tree on TPU: the Pallas kernel `splash_attention` under a mask that it computes itself.

The mask is static for a shape (P, G, R), so whole blocks that nobody sees are neither loaded nor computed, and no mask
is stored; right padding of trunks is told apart by segment ids. The functions are those of `blockwise`; on a mesh they
run inside `mesh.on_shards`, since the compiler cannot split a kernel.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jaxtyping import Array, Float, Int

from usergpt_jax.models.shares import WHOLE, Share, number, numbers

LANES = 128
BLOCK = 512  # queries and keys of a block, where so many fit
VALID, PADDING = 1, 0  # segment ids


class _Mask(masks._ComputableMask):
    """A mask given as a function of query and key numbers; equal for equal shapes, so that a program is made once.

    Args:
      shape: rows and keys.
      name: with the shape, says which mask this is.
      sees: whether a row sees a key, by their numbers.
      rows: number of each row; counted from 0 where not given.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        name: tuple[Any, ...],
        sees: Callable[[Any, Any], Any],
        rows: np.ndarray | None = None,
    ):
        super().__init__(shape, sees)
        self._name = (*shape, *name)
        if rows is not None:
            self.q_sequence = rows.astype(np.int32)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Mask) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)


def attend_causal(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    lengths: Int[Array, " B"],
    share: Share = WHOLE,
) -> Float[Array, "B T N H"]:
    """Causal attention of scaled queries, a share of the tokens, within each row, right padded after `lengths`."""
    T, S = q.shape[1], k.shape[1]
    size = _padded(T)
    # One mask for the rows of all shares; what fills a share up sees what its last token does.
    rows = np.pad(numbers(S, share.of), [(0, 0), (0, size - T)], mode="edge").reshape(-1)
    mask = _Mask((rows.size, _padded(S)), ("causal", T, share.of), lambda row, key: row >= key, rows)
    of_rows = _segments(number(share, jnp.arange(T), T) < lengths[:, None], size)
    return _run(mask, q, k, v, of_rows, _segments(jnp.arange(S) < lengths[:, None], _padded(S)), share)


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


def _run(mask: _Mask, q: Array, k: Array, v: Array, of_rows: Array, of_keys: Array, share: Share = WHOLE) -> Array:
    """The kernel over batch and key heads; rows and keys are filled up to what it takes."""
    B, T, N, H = q.shape
    K = k.shape[2]
    q = _fill(q, of_rows.shape[1]).reshape(B, -1, K, N // K, H)
    k, v = (_fill(x, of_keys.shape[1]) for x in (k, v))
    over_batch_and_heads = jax.vmap(jax.vmap(_kernel(mask, N // K, share), in_axes=(0, 0, 0, None)))
    segments = kernel.SegmentIds(of_rows, of_keys)
    out = over_batch_and_heads(jnp.einsum("BTKJH->BKJTH", q), jnp.swapaxes(k, 1, 2), jnp.swapaxes(v, 1, 2), segments)
    return jnp.einsum("BKJTH->BTKJH", out)[:, :T].reshape(B, T, N, H)


def _kernel(mask: _Mask, group: int, share: Share) -> Any:
    """The kernel for the query heads of one key head and a share of the mask's rows; made where it runs."""
    n_rows, n_keys = mask.shape[0] // share.of, mask.shape[1]
    q, kv = (BLOCK if size % BLOCK == 0 else LANES for size in (n_rows, n_keys))
    sizes = kernel.BlockSizes(
        block_q=q, block_kv=kv, block_kv_compute=kv,
        block_q_dkv=q, block_kv_dkv=kv, block_kv_dkv_compute=kv,
        block_q_dq=q, block_kv_dq=kv,
    )  # fmt: skip
    heads = masks.MultiHeadMask([mask] * group)
    made = kernel.make_splash_mqa(heads, block_sizes=sizes, head_shards=1, q_seq_shards=share.of, interpret=INTERPRET)
    infos, options = made.tree_flatten()
    return kernel.SplashAttentionKernel(*(_of_share(info, share) for info in infos), **options)


def _of_share(info: Any, share: Share) -> Any:
    """What the kernel knows about the mask, for the rows of one share."""
    if share.of == 1:
        return info

    def part(x: Array | None, axis: int) -> Array | None:
        if x is None:
            return None
        size = x.shape[axis] // share.of
        return jax.lax.dynamic_slice_in_dim(x, share.index * size, size, axis)

    # Axes as in the kernel's `manual_sharding_spec`.
    return info._replace(
        data_next=part(info.data_next, 1),
        block_mask=part(info.block_mask, 1),
        q_sequence=part(info.q_sequence, 0),
    )


INTERPRET = False  # tests run the kernel without a TPU


def _padded(size: int) -> int:
    return -(-size // LANES) * LANES


def _fill(x: Array, size: int) -> Array:
    return jnp.pad(x, [(0, 0), (0, size - x.shape[1])] + [(0, 0)] * (x.ndim - 2))


def _segments(valid: Array, size: int) -> Array:
    return jnp.where(_fill(valid, size), VALID, PADDING).astype(jnp.int32)
