"""The optimizer of both trainers. Paper: §3.3 (AdamW 0.9, 0.999, 1e-8; cosine; gradient norm clipped at 1)."""

import dataclasses
from typing import Any

import jax
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and cosine decay.

    Attributes:
      lr: peak learning rate.
      warmup_frac: share of the steps over which the rate rises from zero.
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
        0.0, config.lr, warmup, max(n_steps, warmup + 1), end_value=config.lr * config.final_lr_frac
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, b1=0.9, b2=0.999, eps=1e-8, weight_decay=config.weight_decay, mask=_is_matrix),
    )


def _is_matrix(params: optax.Params) -> optax.Params:
    """True on weights; scales of norms and biases, named so, do not decay."""

    def decays(path: tuple[Any, ...], _: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        return "norm" not in name and "bias" not in name

    return jax.tree_util.tree_map_with_path(decays, params)
