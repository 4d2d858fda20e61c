"""Keys and values of sampled tokens, and attention of one new token a row to everything before it.

Three levels, each stored once: the trunk a user [B, P], the question prefix a branch [B, G, R], and the new tokens a
sample [B, G, C, M]. All rows write slot `step` at step `step`, so positions in the cache need no bookkeeping.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models import attention


class RowCache(NamedTuple):
    """Keys and values of the new tokens, a tuple over layers so that each is updated in place."""

    k: tuple[Float[Array, "B G C M K H"], ...]
    v: tuple[Float[Array, "B G C M K H"], ...]


def empty(shape: tuple[int, int, int, int, int, int], n_layers: int, dtype: jnp.dtype | type) -> RowCache:
    """A cache of zeros; `shape` is [B, G, C, M, K, H]."""
    return RowCache(*(tuple(jnp.zeros(shape, dtype) for _ in range(n_layers)) for _ in range(2)))


def write(
    cache: RowCache,
    layer: int,
    step: Int[Array, ""],
    k: Float[Array, "B G C K H"],
    v: Float[Array, "B G C K H"],
) -> RowCache:
    """The cache with slot `step` of one layer set."""

    def put(parts: tuple[jax.Array, ...], value: jax.Array) -> tuple[jax.Array, ...]:
        new = jax.lax.dynamic_update_slice_in_dim(parts[layer], value[:, :, :, None], step, axis=3)
        return (*parts[:layer], new, *parts[layer + 1 :])

    return RowCache(put(cache.k, k), put(cache.v, v))


def attend_new(
    q: Float[Array, "B G C N H"],
    trunk: tuple[Float[Array, "B P K H"], Float[Array, "B P K H"]],
    prefix: tuple[Float[Array, "B G R K H"], Float[Array, "B G R K H"]],
    own: tuple[Float[Array, "B G C M K H"], Float[Array, "B G C M K H"]],
    trunk_mask: Bool[Array, "B P"],
    prefix_mask: Bool[Array, "B G R"],
    step: Int[Array, ""],
) -> Float[Array, "B G C N H"]:
    """Attention of each row's newest token (slot `step`) to trunk, prefix and own tokens in one softmax."""
    wide = jnp.float32
    grouped = jnp.einsum("BGCKJH->BKGCJH", attention.group_heads(q, trunk[0].shape[2]))
    to_trunk = jnp.einsum("BKGCJH,BPKH->BKGCJP", grouped, trunk[0], preferred_element_type=wide)
    to_prefix = jnp.einsum("BKGCJH,BGRKH->BKGCJR", grouped, prefix[0], preferred_element_type=wide)
    to_own = jnp.einsum("BKGCJH,BGCMKH->BKGCJM", grouped, own[0], preferred_element_type=wide)
    masked = attention.MASKED
    to_trunk = jnp.where(trunk_mask[:, None, None, None, None, :], to_trunk, masked)
    to_prefix = jnp.where(prefix_mask[:, None, :, None, None, :], to_prefix, masked)
    to_own = jnp.where(jnp.arange(own[0].shape[3]) <= step, to_own, masked)
    weights = attention.joint_softmax(to_trunk, to_prefix, to_own)
    on_trunk, on_prefix, on_own = (part.astype(q.dtype) for part in weights)
    mixed = jnp.einsum("BKGCJP,BPKH->BKGCJH", on_trunk, trunk[1])
    mixed += jnp.einsum("BKGCJR,BGRKH->BKGCJH", on_prefix, prefix[1])
    mixed += jnp.einsum("BKGCJM,BGCMKH->BKGCJH", on_own, own[1])
    return jnp.einsum("BKGCJH->BGCKJH", mixed).reshape(q.shape)
