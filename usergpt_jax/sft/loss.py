"""The loss of supervised fine-tuning: cross-entropy of output tokens, over trees."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models.policy import branch_logprobs
from usergpt_jax.models.qwen3 import Params, Qwen3Config


class LossParts(NamedTuple):
    """What one batch adds up to.

    Attributes:
      loss: mean cross-entropy, in nats a token.
      n_tokens: output tokens counted.
      entropy: mean entropy of the next-token distribution, in nats.
    """

    loss: Float[Array, ""]
    n_tokens: Float[Array, ""]
    entropy: Float[Array, ""]


def sft_loss(
    params: Params,
    *,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
    output_mask: Bool[Array, "B G R"],
    first_output: int,
    chunk_tokens: int,
) -> tuple[Float[Array, ""], LossParts]:
    """`-sum(mask * logp) / sum(mask)` over the output tokens of a batch; questions and padding do not count.

    `first_output` is a position before which no branch has output: the length of the shortest question.
    """
    logprob, entropy = branch_logprobs(
        params, config, trunk, trunk_mask, branches, branch_mask, first=first_output, chunk_tokens=chunk_tokens
    )
    mask = output_mask[:, :, first_output:].astype(jnp.float32)
    n_tokens = jnp.maximum(jnp.sum(mask), 1.0)
    loss = -jnp.sum(mask * logprob) / n_tokens
    parts = LossParts(loss, n_tokens, jnp.sum(mask * entropy) / n_tokens)
    return loss, jax.tree.map(jax.lax.stop_gradient, parts)
