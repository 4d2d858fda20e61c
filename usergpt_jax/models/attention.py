"""Who attends to whom in a tree: the dense reference, and what all paths share.

One trunk, G branches; a branch token sees its whole trunk and, causally, its own branch:

    trunk  t0 t1 __        key    t0 t1 __ | a0 a1 | b0 b1
    branch a: a0 a1        t0      x  .  . |  .  . |  .  .
    branch b: b0 b1        t1      x  x  . |  .  . |  .  .
                           a0      x  x  . |  x  . |  .  .
                           a1      x  x  . |  x  x |  .  .
                           b0      x  x  . |  .  . |  x  .
                           b1      x  x  . |  .  . |  x  x

Three paths give the same two functions, `attend_causal` for trunks (and flat rows, which are trees without branches)
and `attend_tree` for branches: this module under a dense mask, for tests; `blockwise` for any device; `splash` for
TPU. Queries come scaled. Softmax is float32.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models.shares import WHOLE, Share, number

MASKED = -1e30  # finite, so that a row without any key stays finite


def group_heads(q: Float[Array, "*B T N H"], n_kv_heads: int) -> Float[Array, "*B T K J H"]:
    """Splits the query heads into the groups that share a key head."""
    return q.reshape(*q.shape[:-2], n_kv_heads, q.shape[-2] // n_kv_heads, q.shape[-1])


def joint_softmax(*scores: Float[Array, "... _"]) -> tuple[Float[Array, "... _"], ...]:
    """The softmax over the last axes of several blocks of keys taken together."""
    top = [jnp.max(block, axis=-1, keepdims=True) for block in scores if block.shape[-1]]
    highest = jax.lax.stop_gradient(jnp.max(jnp.concatenate(top, axis=-1), axis=-1, keepdims=True))
    weights = [jnp.exp(block - highest) for block in scores]
    total = sum(jnp.sum(block, axis=-1, keepdims=True) for block in weights)
    return tuple(block / total for block in weights)


def attend_causal(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    lengths: Int[Array, " B"],
    share: Share = WHOLE,
) -> Float[Array, "B T N H"]:
    """Reference: causal attention within each row, right padded after `lengths`; queries are a share of the tokens."""
    T, S = q.shape[1], k.shape[1]
    past = jnp.arange(S) <= number(share, jnp.arange(T), T)[:, None]
    return _attend(q, k, v, past & _valid(lengths, S)[:, None])


def attend_tree(
    q: Float[Array, "B G R N H"],
    trunk_k: Float[Array, "B P K H"],
    trunk_v: Float[Array, "B P K H"],
    own_k: Float[Array, "B G R K H"],
    own_v: Float[Array, "B G R K H"],
    lengths: Int[Array, " B"],
) -> Float[Array, "B G R N H"]:
    """Reference: attention of branch tokens to the valid trunk and, causally, to their own branch."""
    (B, G, R), P = q.shape[:3], trunk_k.shape[1]
    branch = jnp.repeat(jnp.arange(G), R, total_repeat_length=G * R)
    own = (branch[:, None] == branch) & jnp.tri(G * R, dtype=bool)
    seen = jnp.broadcast_to(_valid(lengths, P)[:, None], (B, G * R, P))
    mask = jnp.concatenate([seen, jnp.broadcast_to(own, (B, G * R, G * R))], axis=2)

    def keys(trunk: jax.Array, own: jax.Array) -> jax.Array:
        return jnp.concatenate([trunk, own.reshape(B, G * R, *own.shape[3:])], axis=1)

    out = _attend(q.reshape(B, G * R, *q.shape[3:]), keys(trunk_k, own_k), keys(trunk_v, own_v), mask)
    return out.reshape(q.shape)


def _attend(
    q: Float[Array, "B T N H"], k: Float[Array, "B S K H"], v: Float[Array, "B S K H"], mask: Bool[Array, "B T S"]
) -> Float[Array, "B T N H"]:
    grouped = group_heads(q, k.shape[2])
    scores = jnp.einsum("BTKJH,BSKH->BKJTS", grouped, k, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), axis=-1).astype(v.dtype)
    return jnp.einsum("BKJTS,BSKH->BTKJH", weights, v).reshape(q.shape)


def _valid(lengths: Int[Array, " B"], size: int) -> Bool[Array, "B size"]:
    return jnp.arange(size) < lengths[:, None]
