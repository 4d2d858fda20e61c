"""Who attends to whom in a tree, as structured attention and as the dense reference.

One trunk, G branches; a branch token sees its whole trunk and, causally, its own branch:

    trunk  t0 t1 __        key    t0 t1 __ | a0 a1 | b0 b1
    branch a: a0 a1        t0      x  .  . |  .  . |  .  .
    branch b: b0 b1        t1      x  x  . |  .  . |  .  .
                           a0      x  x  . |  x  . |  .  .
                           a1      x  x  . |  x  x |  .  .
                           b0      x  x  . |  .  . |  x  .
                           b1      x  x  . |  .  . |  x  x

The structured form computes the two dense parts, trunk x trunk and branches x trunk, and the small diagonal blocks,
and never the (P + G R)^2 square. Queries come scaled. Softmax is float32.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

MASKED = -1e30  # finite, so that a row without any key stays finite


def group_heads(q: Float[Array, "*B T N H"], n_kv_heads: int) -> Float[Array, "*B T K J H"]:
    """Splits the query heads into the groups that share a key head."""
    return q.reshape(*q.shape[:-2], n_kv_heads, q.shape[-2] // n_kv_heads, q.shape[-1])


def attend_causal(
    q: Float[Array, "B T N H"], k: Float[Array, "B T K H"], v: Float[Array, "B T K H"]
) -> Float[Array, "B T N H"]:
    """Causal attention within each row. Right padding needs no mask: no valid query sees a later key."""
    grouped = group_heads(q, k.shape[2])
    scores = jnp.einsum("BTKJH,BSKH->BKJTS", grouped, k, preferred_element_type=jnp.float32)
    causal = jnp.tri(q.shape[1], dtype=bool)
    weights = jax.nn.softmax(jnp.where(causal, scores, MASKED), axis=-1).astype(v.dtype)
    return jnp.einsum("BKJTS,BSKH->BTKJH", weights, v).reshape(q.shape)


def attend_tree(
    q: Float[Array, "B G R N H"],
    trunk_k: Float[Array, "B P K H"],
    trunk_v: Float[Array, "B P K H"],
    own_k: Float[Array, "B G R K H"],
    own_v: Float[Array, "B G R K H"],
    trunk_mask: Bool[Array, "B P"],
) -> Float[Array, "B G R N H"]:
    """Attention of branch tokens to their trunk and, causally, to their own branch, in one softmax."""
    grouped = jnp.einsum("BGRKJH->BKGJRH", group_heads(q, own_k.shape[3]))
    to_trunk = jnp.einsum("BKGJRH,BPKH->BKGJRP", grouped, trunk_k, preferred_element_type=jnp.float32)
    to_own = jnp.einsum("BKGJRH,BGSKH->BKGJRS", grouped, own_k, preferred_element_type=jnp.float32)
    to_trunk = jnp.where(trunk_mask[:, None, None, None, None, :], to_trunk, MASKED)
    to_own = jnp.where(jnp.tri(q.shape[2], dtype=bool), to_own, MASKED)
    trunk_weights, own_weights = joint_softmax(to_trunk, to_own)
    mixed = jnp.einsum("BKGJRP,BPKH->BKGJRH", trunk_weights.astype(trunk_v.dtype), trunk_v)
    mixed += jnp.einsum("BKGJRS,BGSKH->BKGJRH", own_weights.astype(own_v.dtype), own_v)
    return jnp.einsum("BKGJRH->BGRKJH", mixed).reshape(q.shape)


def joint_softmax(*scores: Float[Array, "... _"]) -> tuple[Float[Array, "... _"], ...]:
    """The softmax over the last axes of several blocks of keys taken together."""
    top = [jnp.max(block, axis=-1, keepdims=True) for block in scores if block.shape[-1]]
    highest = jax.lax.stop_gradient(jnp.max(jnp.concatenate(top, axis=-1), axis=-1, keepdims=True))
    weights = [jnp.exp(block - highest) for block in scores]
    total = sum(jnp.sum(block, axis=-1, keepdims=True) for block in weights)
    return tuple(block / total for block in weights)


def attend_masked(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    mask: Bool[Array, "B T S"],
) -> Float[Array, "B T N H"]:
    """Reference: attention under a dense mask."""
    grouped = group_heads(q, k.shape[2])
    scores = jnp.einsum("BTKJH,BSKH->BKJTS", grouped, k, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), axis=-1).astype(v.dtype)
    return jnp.einsum("BKJTS,BSKH->BTKJH", weights, v).reshape(q.shape)


def tree_mask(trunk_mask: Bool[Array, "B P"], branch_mask: Bool[Array, "B G R"]) -> Bool[Array, "B T T"]:
    """Reference: the dense mask of a tree laid out as trunk, then the branches one after the other (T = P + G R)."""
    (B, P), (_, G, R) = trunk_mask.shape, branch_mask.shape
    segment = jnp.concatenate([jnp.zeros(P, int), 1 + jnp.repeat(jnp.arange(G), R, total_repeat_length=G * R)])
    same_or_trunk = (segment[None, :] == segment[:, None]) | (segment[None, :] == 0)
    causal = jnp.tri(P + G * R, dtype=bool)
    valid = jnp.concatenate([trunk_mask, branch_mask.reshape(B, G * R)], axis=1)
    return same_or_trunk & causal & valid[:, None, :]
