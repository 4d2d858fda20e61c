"""DF-GRPO: roll out, score, filter, compare within groups, update. Paper: §3.3.4.

Differs from the paper: filtered groups are replaced by fresh ones, up to `max_rounds` rollouts an iteration, so that
updates stay full; G, beta and the bounds of the group filter were not published.
"""

import dataclasses
import functools
import pathlib

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.config import require_positive
from usergpt_jax.core.metrics import MetricWriter
from usergpt_jax.core.optimizer import OptimizerConfig, init_state, jit_step, make_optimizer
from usergpt_jax.core.resume import Preempted, StateStore, catch_sigterm
from usergpt_jax.corpus.batches import Encoder
from usergpt_jax.models import lora
from usergpt_jax.models.policy import branch_logprobs
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.sampler import SamplingConfig
from usergpt_jax.rl.advantage import ADVANTAGE
from usergpt_jax.rl.filters import Filtered, dual_filter
from usergpt_jax.rl.loss import PolicyBatch, PolicyParts, policy_loss
from usergpt_jax.rl.reward import RewardConfig, Rewards, score
from usergpt_jax.rl.rollout import Prompts, Rollout, rollout
from usergpt_jax.tasks import summary

NORMALISE = ("after", "before")


@dataclasses.dataclass(frozen=True)
class GrpoConfig:
    """How DF-GRPO learns.

    Attributes:
      n_steps: iterations, one update each.
      batch_groups: groups an update.
      max_rounds: rollouts of `batch_groups` groups an iteration may take to fill its batch.
      sample_filter: drop truncated and malformed samples.
      group_filter: drop groups whose mean reward is outside [eps_low, eps_high].
      eps_low: lower bound.
      eps_high: upper bound.
      advantage: a key of `ADVANTAGE`.
      normalise: whether the sample filter is applied before the advantages are computed ("after": over the samples
        that are left) or they are computed over the whole group first ("before").
      clip_ratio: of the policy loss.
      kl_weight: beta.
      save_every_steps: steps between saved states.
      chunk_tokens: tokens whose logits exist at once.
      optimizer: learning rate and the like.
    """

    n_steps: int
    batch_groups: int
    max_rounds: int
    sample_filter: bool
    group_filter: bool
    eps_low: float
    eps_high: float
    advantage: str
    normalise: str
    clip_ratio: float
    kl_weight: float
    save_every_steps: int
    chunk_tokens: int
    optimizer: OptimizerConfig

    def __post_init__(self) -> None:
        names = ("n_steps", "batch_groups", "max_rounds", "save_every_steps", "chunk_tokens", "clip_ratio")
        require_positive({name: getattr(self, name) for name in names}, "rl.grpo")


@dataclasses.dataclass(frozen=True)
class Policy:
    """What rollouts and rewards need besides parameters."""

    config: Qwen3Config
    encoder: Encoder
    sampling: SamplingConfig
    reward: RewardConfig

    @functools.cached_property
    def question(self) -> list[int]:
        """Token ids of the summary question."""
        return self.encoder.tokenizer.encode_template(summary.prompt())


_reference = functools.partial(jax.jit, static_argnames=("config", "first", "chunk_tokens"))(branch_logprobs)


def update(
    params: Params,
    state: optax.OptState,
    reference_logprob: jax.Array,
    batch: PolicyBatch,
    *,
    config: Qwen3Config,
    optimizer: optax.GradientTransformation,
    first: int,
    chunk_tokens: int,
    clip_ratio: float,
    kl_weight: float,
) -> tuple[Params, optax.OptState, PolicyParts, jax.Array]:
    """One policy update; returns new parameters and state, the loss's parts and the gradient norm.

    `jit_step` compiles it. With low-rank terms these alone are trained, and `state` is theirs.
    """
    trained, frozen = lora.split(params)

    def loss(trained: Params) -> tuple[jax.Array, PolicyParts]:
        return policy_loss(
            lora.join(trained, frozen),
            reference_logprob,
            batch,
            config=config,
            first=first,
            chunk_tokens=chunk_tokens,
            clip_ratio=clip_ratio,
            kl_weight=kl_weight,
        )

    (_, parts), grads = jax.value_and_grad(loss, has_aux=True)(trained)
    updates, state = optimizer.update(grads, state, trained)
    trained: Params = optax.apply_updates(trained, updates)  # type: ignore[assignment]
    return lora.join(trained, frozen), state, parts, optax.tree.norm(grads)


def train(
    folder: pathlib.Path,
    params: Params,
    prompts: grain.DatasetIterator[Prompts],
    policy: Policy,
    cfg: GrpoConfig,
    mesh: Mesh,
    seed: int,
) -> Params:
    """Runs `n_steps` iterations, going on from the state that a killed run left in `folder`.

    Raises:
      Preempted: SIGTERM came; the state is saved.
      FloatingPointError: a metric is NaN or infinite; the message names the step.
    """
    first = len(policy.question)
    reference = jax.tree.map(jnp.copy, lora.split(params)[0])  # the rest of the reference is never trained
    optimizer = make_optimizer(cfg.optimizer, cfg.n_steps)
    state = init_state(optimizer, lora.split(params)[0])
    store = StateStore(folder / "state", cfg.save_every_steps)
    start = 0
    if (restored := store.restore({"params": params, "state": state})) is not None:
        start, arrays, position = restored
        params, state = arrays["params"], arrays["state"]
        prompts.set_state(position)
    update_fn = functools.partial(
        update,
        config=policy.config,
        optimizer=optimizer,
        first=first,
        chunk_tokens=cfg.chunk_tokens,
        clip_ratio=cfg.clip_ratio,
        kl_weight=cfg.kl_weight,
    )
    update_fn = jit_step(update_fn, params, state)
    progress = tqdm(total=cfg.n_steps, initial=start, desc="df_grpo", unit="step")
    with store, MetricWriter(folder, start) as writer, catch_sigterm() as preemption, progress, jax.set_mesh(mesh):
        for step in range(start + 1, cfg.n_steps + 1):
            key = jax.random.fold_in(jax.random.key(seed), step)
            batch, metrics = collect(params, prompts, policy, cfg, key)
            batch = mesh_lib.shard_batch(mesh, batch)
            tokens = (batch.trunk, batch.trunk_mask, batch.branches, batch.branch_mask)
            reference_logprob, _ = _reference(
                lora.join(reference, lora.split(params)[1]),
                policy.config,
                *tokens,
                first=first,
                chunk_tokens=cfg.chunk_tokens,
            )
            params, state, parts, grad_norm = update_fn(params, state, reference_logprob, batch)
            writer.write(
                step, metrics | {k: float(v) for k, v in parts._asdict().items()} | {"grad_norm": float(grad_norm)}
            )
            progress.update()
            progress.set_postfix(reward=f"{metrics['reward']:.3f}")
            last = preemption.requested and step < cfg.n_steps
            store.save(step, {"params": params, "state": state}, prompts.get_state(), force=last)
            if last:
                raise Preempted(step)
    return params


def collect(
    params: Params, prompts: grain.DatasetIterator[Prompts], policy: Policy, cfg: GrpoConfig, key: jax.Array
) -> tuple[PolicyBatch, dict[str, float]]:
    """Rolls out until `batch_groups` groups have passed the filters, or `max_rounds` rollouts are done.

    Slots that stay empty hold groups of weight zero, so that shapes never change.
    """
    rounds: list[tuple[Prompts, Rollout, Rewards, Filtered]] = []
    passed = 0
    while passed < cfg.batch_groups and len(rounds) < cfg.max_rounds:
        asked = next(prompts)
        drawn = rollout(
            params,
            asked,
            policy.question,
            jax.random.fold_in(key, len(rounds)),
            config=policy.config,
            sampling=policy.sampling,
            encoder=policy.encoder,
        )
        rewards = score(drawn.texts, asked.labels, policy.encoder.schema, policy.reward)
        kept = dual_filter(
            _total(rewards, cfg),
            rewards.well_formed > 0,
            drawn.truncated,
            sample_filter=cfg.sample_filter,
            group_filter=cfg.group_filter,
            eps_low=cfg.eps_low,
            eps_high=cfg.eps_high,
        )
        passed += int(kept.keep.any(1).sum())
        rounds.append((asked, drawn, rewards, kept))
    return _assemble(rounds, cfg), _metrics(rounds, passed, cfg)


def _assemble(rounds: list[tuple[Prompts, Rollout, Rewards, Filtered]], cfg: GrpoConfig) -> PolicyBatch:
    """Takes the groups that passed, first come first, then fills up with others at weight zero."""
    keep = np.concatenate([kept.keep for *_, kept in rounds])
    chosen = np.argsort(~keep.any(1), kind="stable")[: cfg.batch_groups]
    tree = ("branches", "branch_mask", "output_mask", "old_logprob")
    drawn = [np.concatenate([getattr(rolled, name) for _, rolled, *_ in rounds]) for name in tree]
    trunk, trunk_mask = (np.concatenate([getattr(p, name) for p, *_ in rounds]) for name in ("trunk", "trunk_mask"))
    total = np.concatenate([_total(rewards, cfg) for *_, rewards, _ in rounds])
    counted = keep if cfg.normalise == "after" else np.ones_like(keep)
    advantage = np.where(keep, ADVANTAGE[cfg.advantage](total, counted), 0.0).astype(np.float32)
    arrays = (trunk, trunk_mask, *drawn, advantage, keep.astype(np.float32))
    return PolicyBatch(*(jnp.asarray(array[chosen]) for array in arrays))


def _total(rewards: Rewards, cfg: GrpoConfig) -> np.ndarray:
    """Without the sample filter, form is a reward of its own; behind it, every sample has it."""
    return rewards.total if cfg.sample_filter else rewards.total + rewards.well_formed


def _metrics(
    rounds: list[tuple[Prompts, Rollout, Rewards, Filtered]], passed: int, cfg: GrpoConfig
) -> dict[str, float]:
    """Figures over all samples of the iteration, dropped ones included."""
    rewards = Rewards(*(np.concatenate(arrays) for arrays in zip(*(r for _, _, r, _ in rounds), strict=True)))
    lengths = np.concatenate([drawn.output_mask.sum(-1) for _, drawn, *_ in rounds])
    counts = {
        name: float(sum(getattr(kept, name) for *_, kept in rounds)) for name in Filtered._fields if name != "keep"
    }
    return {
        "reward": float(rewards.total.mean()),
        "format_rate": float(rewards.well_formed.mean()),
        "atomic_accuracy": float(rewards.atomic.mean()),
        "quality": float(rewards.quality.mean()),
        "extracted_accuracy": float(rewards.extracted.mean()),
        "response_tokens": float(lengths.mean()),
        "truncated_rate": float(np.mean([drawn.truncated.mean() for _, drawn, *_ in rounds])),
        "rounds": float(len(rounds)),
        "groups_used": float(min(passed, cfg.batch_groups)),
        **counts,
    }
