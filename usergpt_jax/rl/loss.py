"""The clipped policy loss with a KL term, over trees."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models.policy import branch_logprobs
from usergpt_jax.models.qwen3 import Params, Qwen3Config


class PolicyBatch(NamedTuple):
    """Groups of samples to learn from; `output_mask` is true on sampled tokens, `weight` 0 on dropped samples."""

    trunk: Int[Array, "B P"]
    trunk_mask: Bool[Array, "B P"]
    branches: Int[Array, "B G R"]
    branch_mask: Bool[Array, "B G R"]
    output_mask: Bool[Array, "B G R"]
    old_logprob: Float[Array, "B G R"]
    advantage: Float[Array, "B G"]
    weight: Float[Array, "B G"]


class PolicyParts(NamedTuple):
    """Figures of one update, means over the tokens or samples that count.

    Attributes:
      policy_loss: of the clipped objective.
      kl: to the reference, in nats a token.
      entropy: of the policy, in nats a token.
      clip_frac: share of tokens whose ratio was clipped.
      ratio_error: largest distance of a ratio from 1; with one update a batch this is rounding.
    """

    policy_loss: Float[Array, ""]
    kl: Float[Array, ""]
    entropy: Float[Array, ""]
    clip_frac: Float[Array, ""]
    ratio_error: Float[Array, ""]


def policy_loss(
    params: Params,
    reference_logprob: Float[Array, "B G S"],
    batch: PolicyBatch,
    *,
    config: Qwen3Config,
    first: int,
    chunk_tokens: int,
    clip_ratio: float,
    kl_weight: float,
) -> tuple[Float[Array, ""], PolicyParts]:
    """`-mean_i mean_t min(r A, clip(r) A) + beta KL`, samples weighted alike, tokens within a sample alike.

    `reference_logprob` is of the branch tokens from position `first` on, the question's length: S = R - first.

    The KL term is the estimate `exp(d) - d - 1` with `d = log p_ref - log p` (Schulman 2020, "k3").

    Paper: §3.3.4. Differs from the paper: beta was not published.
    """
    tree = (batch.trunk, batch.trunk_mask, batch.branches, batch.branch_mask)
    logprob, entropy = branch_logprobs(params, config, *tree, first=first, chunk_tokens=chunk_tokens)
    mask = batch.output_mask[:, :, first:].astype(jnp.float32)
    per_sample = batch.weight / jnp.maximum(jnp.sum(batch.weight), 1.0)
    token_weight = mask / jnp.maximum(jnp.sum(mask, -1, keepdims=True), 1.0) * per_sample[..., None]

    def mean(values: Float[Array, "B G S"]) -> Float[Array, ""]:
        return jnp.sum(token_weight * jnp.where(mask > 0, values, 0.0))

    log_ratio = jnp.where(mask > 0, logprob - batch.old_logprob[:, :, first:], 0.0)
    ratio = jnp.exp(log_ratio)
    advantage = batch.advantage[..., None]
    clipped = jnp.clip(ratio, 1 - clip_ratio, 1 + clip_ratio)
    objective = mean(jnp.minimum(ratio * advantage, clipped * advantage))
    gap = jnp.where(mask > 0, reference_logprob - logprob, 0.0)
    kl = mean(jnp.exp(gap) - gap - 1)
    loss = -objective + kl_weight * kl
    counted = mask * (batch.weight > 0)[..., None]
    parts = PolicyParts(
        -objective,
        kl,
        mean(entropy),
        jnp.sum(counted * (ratio != clipped)) / jnp.maximum(jnp.sum(counted), 1.0),
        jnp.max(counted * jnp.abs(ratio - 1)),
    )
    return loss, jax.tree.map(jax.lax.stop_gradient, parts)
