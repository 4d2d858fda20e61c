"""A tree's tokens in C equal shares, one for each device along the mesh axis `context`.

A share holds one early and one late chunk of the trunk, and whole branches. With C = 2, a trunk of 8 tokens and
branches a to d:

    share 0   t0 t1  t6 t7 | a b
    share 1   t2 t3  t4 t5 | c d

A late token sees more keys than an early one: chunks i and 2 C - 1 - i together see as many keys in every share.
Branches see the whole trunk and themselves. So a share's queries need the keys of the whole trunk and of no other
share's branches. Without such a mesh C = 1 and tokens stay in their order.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.core import mesh


class Share(NamedTuple):
    """Share `index` of the `of` shares of a sequence."""

    index: Any  # int, or the device's place along `context`
    of: int


WHOLE = Share(0, 1)


def count() -> int:
    """C: shares on the mesh in context."""
    return mesh.ways("sequence")


def mine(n_shares: int) -> Share:
    """The share of the device that runs this, inside `mesh.on_shards`."""
    return WHOLE if n_shares == 1 else Share(jax.lax.axis_index(mesh.RULES["sequence"]), n_shares)


def number(share: Share, row: Any, n_rows: int) -> Any:
    """Which token of its sequence row `row` of a share of `n_rows` is; rises with the row.

    With two shares of four rows: 0 1 6 7 and 2 3 4 5.
    """
    if share.of == 1:
        return row
    half = n_rows // 2
    return row + half * (share.index + (row >= half) * 2 * (share.of - 1 - share.index))


def numbers(n_tokens: int, n_shares: int) -> np.ndarray:
    """`number` of all rows of all shares of a sequence, [C, n_tokens / C]."""
    rows = np.arange(n_tokens // n_shares)
    return np.stack([number(Share(i, n_shares), rows, len(rows)) for i in range(n_shares)])


def padded(
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
) -> tuple[Array, Array, Array, Array]:
    """The tree with padding tokens and branches, so that the trunk has 2 C equal chunks and each share G / C branches.

    Cheaper than to refuse: at most 2 C - 1 tokens, and C - 1 branches that are short beside a trunk worth splitting.
    """
    n_shares = count()
    if n_shares == 1:
        return trunk, trunk_mask, branches, branch_mask

    def fill(x: Array, multiple: int) -> Array:
        return jnp.pad(x, [(0, 0), (0, -x.shape[1] % multiple)] + [(0, 0)] * (x.ndim - 2))

    return (
        fill(trunk, 2 * n_shares),
        fill(trunk_mask, 2 * n_shares),
        fill(branches, n_shares),
        fill(branch_mask, n_shares),
    )


def split(trunk: Int[Array, "B P"], branches: Int[Array, "B G R"]) -> Int[Array, "B C T"]:
    """Lays whatever belongs to tokens out in shares, T = (P + G R) / C."""
    (B, P), n_shares = trunk.shape, count()
    parts = [trunk[:, numbers(P, n_shares)] if n_shares > 1 else trunk[:, None], branches.reshape(B, n_shares, -1)]
    return mesh.constrain(jnp.concatenate(parts, axis=2), ("batch", "sequence", None))


def in_order(x: Float[Array, "B C T *D"]) -> Float[Array, "B _ *D"]:
    """The trunk's part of shares as one sequence."""
    B, n_shares, T = x.shape[:3]
    if n_shares == 1:
        return x[:, 0]
    early, late = x[:, :, : T // 2], x[:, ::-1, T // 2 :]
    return jnp.concatenate([early, late], axis=1).reshape(B, n_shares * T, *x.shape[3:])


def gathered(x: Float[Array, "B T K H"], n_shares: int) -> Float[Array, "B P K H"]:
    """Keys or values of a share's trunk tokens together with those of all other shares, inside `mesh.on_shards`.

    Its transpose adds up the gradients of all shares and leaves to each its own (a reduce-scatter).
    """
    if n_shares == 1:
        return x
    return in_order(jax.lax.all_gather(x, mesh.RULES["sequence"], axis=1))
