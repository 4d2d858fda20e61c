"""A decoder and trees small enough for every test."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from usergpt_jax.models import qwen3

CONFIG = qwen3.Qwen3Config(
    n_layers=3,
    d_model=16,
    d_ff=32,
    n_heads=4,
    n_kv_heads=2,
    head_dim=4,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    tie_embeddings=True,
    param_dtype="float32",
    compute_dtype="float32",
    remat="none",
)
DEEP = dataclasses.replace(CONFIG, n_layers=5)  # past the depth up to which layers are not scanned
VOCAB = 32


def params(config: qwen3.Qwen3Config = CONFIG, scale: float = 2.0) -> qwen3.Params:
    """Parameters `scale` times as large as `init` gives them; twice, so that attention is far from uniform."""
    made = jax.jit(qwen3.init, static_argnums=(0, 1))(config, VOCAB, jax.random.key(0))
    return jax.tree.map(lambda weight: weight * scale, made)


def equations(jaxpr: Any) -> Iterator[Any]:
    """All operations of a traced function, those of inner functions as often as they are called."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def trees(batch: int = 4, trunk: int = 7, branches: int = 3, branch: int = 5) -> dict[str, jax.Array]:
    """Random trees with trunks and branches of different true lengths, padded with random tokens."""
    key = jax.random.key(1)
    trunk_lengths = 2 + jnp.arange(batch) % (trunk - 1)
    branch_lengths = 2 + jnp.arange(batch * branches).reshape(batch, branches) % (branch - 1)
    return {
        "trunk": jax.random.randint(key, (batch, trunk), 2, VOCAB),
        "trunk_mask": jnp.arange(trunk) < trunk_lengths[:, None],
        "branches": jax.random.randint(jax.random.fold_in(key, 1), (batch, branches, branch), 2, VOCAB),
        "branch_mask": jnp.arange(branch) < branch_lengths[..., None],
    }
