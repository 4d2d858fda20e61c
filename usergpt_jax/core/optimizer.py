"""The optimizer of both trainers. Paper: §3.3 (AdamW 0.9, 0.999, 1e-8; cosine; gradient norm clipped at 1)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.sharding import NamedSharding, PartitionSpec


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and cosine decay.

    Attributes:
      lr: peak learning rate.
      warmup_frac: share of the steps over which the rate rises; the first step already learns.
      final_lr_frac: rate at the last step as a share of the peak.
      weight_decay: decoupled, on matrices only.
      clip_norm: largest global gradient norm.
    """

    lr: float
    warmup_frac: float
    final_lr_frac: float
    weight_decay: float
    clip_norm: float


def make_optimizer(config: OptimizerConfig, n_steps: int) -> optax.GradientTransformation:
    """The optimizer for a run of `n_steps`."""
    warmup = min(max(1, round(config.warmup_frac * n_steps)), max(n_steps - 1, 1))
    schedule = optax.warmup_cosine_decay_schedule(
        config.lr / (warmup + 1),
        config.lr,
        warmup,
        max(n_steps, warmup + 1),
        end_value=config.lr * config.final_lr_frac,
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, b1=0.9, b2=0.999, eps=1e-8, weight_decay=config.weight_decay, mask=_is_matrix),
    )


def init_state(optimizer: optax.GradientTransformation, params: optax.Params) -> optax.OptState:
    """A new state, split over devices like `state_shardings` says, so that the first step compiles for all steps."""
    return jax.jit(optimizer.init, out_shardings=state_shardings(optimizer, params))(params)


def state_shapes(optimizer: optax.GradientTransformation, params: optax.Params) -> optax.OptState:
    """Shapes and shardings of `init_state`, without memory; parameters may be shapes too."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        jax.eval_shape(optimizer.init, params),
        state_shardings(optimizer, params),
    )


def state_shardings(optimizer: optax.GradientTransformation, params: optax.Params) -> Any:
    """Shardings of a state: moments like their parameters, the rest whole on every device of the parameters."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    shardings = {jax.tree_util.keystr(path): leaf.sharding for path, leaf in leaves}
    first = leaves[0][1].sharding
    everywhere = NamedSharding(first.mesh, PartitionSpec()) if isinstance(first, NamedSharding) else first

    def leaf(path: tuple[Any, ...], _: Any) -> Any:
        name = jax.tree_util.keystr(path)
        return shardings.get(max((end for end in shardings if name.endswith(end)), key=len, default=""), everywhere)

    return jax.tree_util.tree_map_with_path(leaf, jax.eval_shape(optimizer.init, params))


def jit_step(step: Callable[..., Any], params: optax.Params, state: optax.OptState) -> Any:
    """A jitted training step that gives parameters and state back split as it takes them, so it compiles once.

    Args:
      step: takes parameters, state and more; returns new parameters and state, the loss's parts and a norm.
      params: arrays or shapes, with shardings; those given to the step are donated.
      state: from `init_state` or `state_shapes`.
    """
    kept = jax.tree.map(lambda leaf: leaf.sharding, (params, state))
    return jax.jit(step, donate_argnums=(0, 1), out_shardings=(*kept, None, None))


def _is_matrix(params: optax.Params) -> optax.Params:
    """True on weights; scales of norms and biases, named so, do not decay."""

    def decays(path: tuple[Any, ...], _: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        return "norm" not in name and "bias" not in name

    return jax.tree_util.tree_map_with_path(decays, params)
