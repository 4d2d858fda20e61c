"""Forward passes: over a tree (one trunk, many branches) and over flat sequences.

    trunk    [B, P]     role, constraints, history      one a user, right padded
    branches [B, G, R]  question and output             many a user, right padded

A branch token attends to its trunk and, causally, to its own branch, and its position continues after the trunk's
true length, so a branch's hidden states are those of the flat sequence trunk + branch. One pass costs P + G R tokens
where G flat sequences cost G (P + R).

All tokens lie on axes [B, C, T], T = (P + G R) / C, in the C shares of `shares`: each a part of the trunk, then its
branches one after the other. C = 1 but on a mesh that splits sequences.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.core.mesh import constrain, on_shards
from usergpt_jax.models import attention, blockwise, qwen3, shares
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.qwen3_config import LAYER_INPUT, REMAT

# Measured on 2 CPU cores: up to this depth a straight line of layers beats a scan, which stacks its residuals.
STRAIGHT_LAYERS = 4


class Cache(NamedTuple):
    """Keys and values of every layer for the tokens of a tree."""

    trunk_k: Float[Array, "L B P K H"]
    trunk_v: Float[Array, "L B P K H"]
    branch_k: Float[Array, "L B G R K H"]
    branch_v: Float[Array, "L B G R K H"]


class Tree(NamedTuple):
    """A batch of trees whose trunks and branches have shares of equal size."""

    trunk_mask: Bool[Array, "B P"]
    branch_mask: Bool[Array, "B G R"]
    rotation: qwen3.Rotation  # of tokens [B, C, T]


def layout(config: Qwen3Config, trunk_mask: Bool[Array, "B P"], branch_mask: Bool[Array, "B G R"]) -> Tree:
    """Masks and positions of a batch of trees: branches continue after their trunk's true length."""
    (B, P), (_, G, R) = trunk_mask.shape, branch_mask.shape
    trunk = jnp.broadcast_to(jnp.arange(P), (B, P))
    branch = jnp.sum(trunk_mask, axis=1)[:, None, None] + jnp.broadcast_to(jnp.arange(R), (B, G, R))
    return Tree(trunk_mask, branch_mask, qwen3.rotation(config, shares.split(trunk, branch), P + R))


def forward_tree(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
) -> Float[Array, "B G R D"]:
    """Hidden states of the branch tokens, after the final norm; those of padding mean nothing.

    Args:
      params: from `qwen3.init`.
      config: of the decoder (static).
      trunk: token ids, right padded.
      trunk_mask: which trunk tokens are real.
      branches: token ids, right padded.
      branch_mask: which branch tokens are real.
    """
    G = branches.shape[1]
    trunk, trunk_mask, branches, branch_mask = shares.padded(trunk, trunk_mask, branches, branch_mask)
    hidden, _ = _run(params, config, trunk, branches, layout(config, trunk_mask, branch_mask), keep_trunk=False)
    return _by_branch(qwen3.final_norm(params, config, hidden), branches)[:, :G]


def forward_flat(
    params: Params, config: Qwen3Config, tokens: Int[Array, "B T"], mask: Bool[Array, "B T"]
) -> Float[Array, "B T D"]:
    """Hidden states of plain causal sequences, right padded, after the final norm."""
    B, T = tokens.shape
    trunk, trunk_mask, branches, branch_mask = shares.padded(
        tokens, mask, jnp.zeros((B, 0, 1), tokens.dtype), jnp.zeros((B, 0, 1), bool)
    )
    hidden, _ = _run(params, config, trunk, branches, layout(config, trunk_mask, branch_mask), keep_trunk=True)
    return shares.in_order(qwen3.final_norm(params, config, hidden))[:, :T]


def prefill(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
) -> tuple[Float[Array, "B G R D"], Cache]:
    """`forward_tree` that also returns the keys and values of every layer, stored once a trunk and once a branch."""
    P, G = trunk.shape[1], branches.shape[1]
    trunk, trunk_mask, branches, branch_mask = shares.padded(trunk, trunk_mask, branches, branch_mask)
    hidden, cache = _run(
        params, config, trunk, branches, layout(config, trunk_mask, branch_mask), keep_trunk=False, keep_cache=True
    )
    assert cache is not None
    trunk_k, trunk_v, branch_k, branch_v = cache
    cache = Cache(trunk_k[:, :, :P], trunk_v[:, :, :P], branch_k[:, :, :G], branch_v[:, :, :G])
    return _by_branch(qwen3.final_norm(params, config, hidden), branches)[:, :G], cache


def _run(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    branches: Int[Array, "B G R"],
    tree: Tree,
    *,
    keep_trunk: bool,
    keep_cache: bool = False,
) -> tuple[Float[Array, "B C _ D"], Cache | None]:
    """All layers. Without `keep_trunk` only branch tokens come back, and the last layer skips the trunk's."""
    x = _embed(params, config, trunk, branches)
    P = trunk.shape[1] // x.shape[1]  # of a share
    if config.n_layers > STRAIGHT_LAYERS:

        def step(x: jax.Array, layer: Params) -> tuple[jax.Array, tuple[jax.Array, ...] | None]:
            x, cache = _remat(config, _apply_layer)(config, layer, x, tree, 0)
            return x, cache if keep_cache else None

        x, caches = jax.lax.scan(step, x, params["layers"])
        return (x if keep_trunk else x[:, :, P:]), None if caches is None else Cache(*caches)
    kept = []
    for i in range(config.n_layers):
        drop = P if i == config.n_layers - 1 and not keep_trunk else 0
        x, cache = _remat(config, _apply_layer)(config, _layer(params, i), x, tree, drop)
        kept.append(cache)
    return x, Cache(*(jnp.stack(part) for part in zip(*kept, strict=True))) if keep_cache else None


def _apply_layer(
    config: Qwen3Config, layer: Params, x: Float[Array, "B C T D"], tree: Tree, drop: int
) -> tuple[Float[Array, "B C _ D"], tuple[jax.Array, ...]]:
    """One layer; the first `drop` tokens of each share (0 or its trunk) give keys and values but no output."""
    n_shares = x.shape[1]
    (B, P), (_, G, R) = tree.trunk_mask.shape, tree.branch_mask.shape
    P //= n_shares
    x = checkpoint_name(x, LAYER_INPUT)
    block = qwen3.gathered_block(config, layer)
    normed = block.norm_in(x)
    k, v = block.keys_values(normed, tree.rotation)
    late = jax.tree.map(lambda part: part[:, :, drop:], tree.rotation)
    q = block.queries(normed[:, :, drop:], late)
    attend = functools.partial(_attend_share, _path(config), n_shares, P, R)
    rows, keys = (("batch", "sequence", None, heads, None) for heads in ("heads", "kv_heads"))
    attend = on_shards(attend, (rows, keys, keys, ("batch",)), rows, "attention")
    attended = attend(q, k, v, jnp.sum(tree.trunk_mask, axis=1))
    x = constrain(block.finish(x[:, :, drop:], attended), ("batch", "sequence", None, None))
    trunk_kv = (shares.in_order(part[:, :, :P]) for part in (k, v))
    branch_kv = (part[:, :, P:].reshape(B, G, R, *part.shape[3:]) for part in (k, v))
    return x, (*trunk_kv, *branch_kv)


def _attend_share(
    path: Any,
    n_shares: int,
    P: int,
    R: int,
    q: Float[Array, "B 1 _ N H"],
    k: Float[Array, "B 1 T K H"],
    v: Float[Array, "B 1 T K H"],
    lengths: Int[Array, " B"],
) -> Float[Array, "B 1 _ N H"]:
    """Attention of one share, `P` tokens of the trunk and branches of `R` each; queries may lack those of the trunk."""
    q, k, v = q[:, 0], k[:, 0], v[:, 0]
    P_q = P - (k.shape[1] - q.shape[1])

    def branches(x: jax.Array, first: int) -> jax.Array:
        return x[:, first:].reshape(x.shape[0], -1, R, *x.shape[2:])

    trunk_k, trunk_v = (shares.gathered(x[:, :P], n_shares) for x in (k, v))
    parts = []
    if P_q:
        parts.append(path.attend_causal(q[:, :P_q], trunk_k, trunk_v, lengths, shares.mine(n_shares)))
    if q.shape[1] > P_q:
        out = path.attend_tree(branches(q, P_q), trunk_k, trunk_v, branches(k, P), branches(v, P), lengths)
        parts.append(out.reshape(out.shape[0], -1, *out.shape[3:]))
    return (jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])[:, None]


def _embed(
    params: Params, config: Qwen3Config, trunk: Int[Array, "B P"], branches: Int[Array, "B G R"]
) -> Float[Array, "B C T D"]:
    tokens = shares.split(trunk, branches)
    return constrain(qwen3.embed(params, config, tokens), ("batch", "sequence", None, None))


def _by_branch(x: Float[Array, "B C T D"], branches: Int[Array, "B G R"]) -> Float[Array, "B G R D"]:
    """The branches of all shares; those of a share stay where they are."""
    return constrain(x.reshape(*branches.shape, -1), ("batch", "sequence", None, None))


def _path(config: Qwen3Config) -> Any:
    """The module that holds `attend_causal` and `attend_tree` of the config's path."""
    if config.attention == "splash":
        from usergpt_jax.models import splash  # Pallas takes a second to import, so only when asked for

        return splash
    return {"blockwise": blockwise, "reference": attention}[config.attention]


def _layer(params: Params, index: int) -> Params:
    return jax.tree.map(lambda weight: weight[index], params["layers"])


def _remat(config: Qwen3Config, function):
    """`jax.checkpoint` around one layer as the config says."""
    if config.remat == "none":
        return function
    return jax.checkpoint(function, policy=REMAT[config.remat], static_argnums=(0, 4))
