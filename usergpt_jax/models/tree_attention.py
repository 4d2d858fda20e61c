"""Forward passes: over a tree (one trunk, many branches) and over flat sequences.

    trunk    [B, P]     role, constraints, history      one a user, right padded
    branches [B, G, R]  question and output             many a user, right padded

A branch token attends to its trunk and, causally, to its own branch, and its position continues after the trunk's
true length, so a branch's hidden states are those of the flat sequence trunk + branch. One pass costs P + G R tokens
where G flat sequences cost G (P + R).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.core.mesh import constrain
from usergpt_jax.models import attention, blockwise, qwen3
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.qwen3_config import REMAT

# Measured on 2 CPU cores: up to this depth a straight line of layers beats a scan, which stacks its residuals.
STRAIGHT_LAYERS = 4


class Cache(NamedTuple):
    """Keys and values of every layer for the tokens of a tree."""

    trunk_k: Float[Array, "L B P K H"]
    trunk_v: Float[Array, "L B P K H"]
    branch_k: Float[Array, "L B G R K H"]
    branch_v: Float[Array, "L B G R K H"]


class Tree(NamedTuple):
    """Layout of a batch of trees on one token axis: trunk, then the branches one after the other (T = P + G R)."""

    trunk_mask: Bool[Array, "B P"]
    branch_mask: Bool[Array, "B G R"]
    rotation: qwen3.Rotation  # of T tokens


def layout(config: Qwen3Config, trunk_mask: Bool[Array, "B P"], branch_mask: Bool[Array, "B G R"]) -> Tree:
    """Masks and positions of a batch of trees: branches continue after their trunk's true length."""
    (B, P), (_, G, R) = trunk_mask.shape, branch_mask.shape
    trunk = jnp.broadcast_to(jnp.arange(P), (B, P))
    branch = jnp.sum(trunk_mask, axis=1)[:, None, None] + jnp.broadcast_to(jnp.arange(R), (B, G, R))
    positions = jnp.concatenate([trunk, branch.reshape(B, G * R)], axis=1)
    return Tree(trunk_mask, branch_mask, qwen3.rotation(config, positions, P + R))


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
    hidden, _ = _run(params, config, trunk, branches, layout(config, trunk_mask, branch_mask), keep_trunk=False)
    return qwen3.final_norm(params, config, hidden).reshape(*branches.shape, -1)


def forward_flat(
    params: Params, config: Qwen3Config, tokens: Int[Array, "B T"], mask: Bool[Array, "B T"]
) -> Float[Array, "B T D"]:
    """Hidden states of plain causal sequences, right padded, after the final norm."""
    B = tokens.shape[0]
    no_branches = jnp.zeros((B, 0, 1), tokens.dtype)
    tree = layout(config, mask, jnp.zeros((B, 0, 1), bool))
    hidden, _ = _run(params, config, tokens, no_branches, tree, keep_trunk=True)
    return qwen3.final_norm(params, config, hidden)


def prefill(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
) -> tuple[Float[Array, "B G R D"], Cache]:
    """`forward_tree` that also returns the keys and values of every layer, stored once a trunk and once a branch."""
    hidden, cache = _run(
        params, config, trunk, branches, layout(config, trunk_mask, branch_mask), keep_trunk=False, keep_cache=True
    )
    assert cache is not None
    return qwen3.final_norm(params, config, hidden).reshape(*branches.shape, -1), cache


def _run(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    branches: Int[Array, "B G R"],
    tree: Tree,
    *,
    keep_trunk: bool,
    keep_cache: bool = False,
) -> tuple[Float[Array, "B _ D"], Cache | None]:
    """All layers. Without `keep_trunk` only branch tokens come back, and the last layer skips the trunk's share."""
    P = trunk.shape[1]
    x = _embed(params, config, trunk, branches)
    if config.n_layers > STRAIGHT_LAYERS:

        def step(x: jax.Array, layer: Params) -> tuple[jax.Array, tuple[jax.Array, ...] | None]:
            x, cache = _remat(config, _apply_layer)(config, layer, x, tree, 0)
            return x, cache if keep_cache else None

        x, caches = jax.lax.scan(step, x, params["layers"])
        return (x if keep_trunk else x[:, P:]), None if caches is None else Cache(*caches)
    kept = []
    for i in range(config.n_layers):
        drop = P if i == config.n_layers - 1 and not keep_trunk else 0
        x, cache = _remat(config, _apply_layer)(config, _layer(params, i), x, tree, drop)
        kept.append(cache)
    return x, Cache(*(jnp.stack(part) for part in zip(*kept, strict=True))) if keep_cache else None


def _apply_layer(
    config: Qwen3Config, layer: Params, x: Float[Array, "B T D"], tree: Tree, drop: int
) -> tuple[Float[Array, "B _ D"], tuple[jax.Array, ...]]:
    """One layer; the first `drop` tokens (0 or the whole trunk) give keys and values but no output."""
    P = tree.trunk_mask.shape[1]
    B, G, R = tree.branch_mask.shape
    block = qwen3.block(config, layer)
    normed = block.norm_in(x)
    k, v = block.keys_values(normed, tree.rotation)
    late = jax.tree.map(lambda part: part[:, drop:], tree.rotation)
    q = block.queries(normed[:, drop:], late)
    trunk_k, trunk_v = k[:, :P], v[:, :P]
    branch_k, branch_v = (part[:, P:].reshape(B, G, R, *part.shape[2:]) for part in (k, v))
    path, lengths = _path(config), jnp.sum(tree.trunk_mask, axis=1)
    parts = []
    if drop < P:
        parts.append(path.attend_causal(q[:, : P - drop], trunk_k, trunk_v, lengths))
    if G:
        branch_q = q[:, P - drop :].reshape(B, G, R, *q.shape[2:])
        out = path.attend_tree(branch_q, trunk_k, trunk_v, branch_k, branch_v, lengths)
        parts.append(out.reshape(B, G * R, *q.shape[2:]))
    attended = jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    x = constrain(block.finish(x[:, drop:], attended), ("batch", None, None))
    return x, (trunk_k, trunk_v, branch_k, branch_v)


def _embed(
    params: Params, config: Qwen3Config, trunk: Int[Array, "B P"], branches: Int[Array, "B G R"]
) -> Float[Array, "B T D"]:
    tokens = jnp.concatenate([trunk, branches.reshape(trunk.shape[0], -1)], axis=1)
    return constrain(qwen3.embed(params, config, tokens), ("batch", None, None))


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
