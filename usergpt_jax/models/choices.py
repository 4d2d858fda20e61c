"""How likely the model writes each of a few given answers: exact, in one forward pass, without sampling."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models import qwen3
from usergpt_jax.models.logprob import token_logprobs
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.tree_attention import forward_tree


class Choices(NamedTuple):
    """N choices a user; token k of a choice is read off the branch that holds all before it.

    Choices that start alike share branches, and the last token of a choice stands in none:

        branches   q q { "a"      choice 0: "a" }     k=0: branch 0, place 3    k=1: branch 0, place 4
                                  choice 1: "b"       k=0: branch 0, place 3

    Numbers out of their range cannot be checked under `jax.jit` and give other probabilities.
    """

    branch: Int[Array, "B N K"]
    place: Int[Array, "B N K"]  # how many of the branch's tokens stand before the token, at least 1
    token: Int[Array, "B N K"]
    counted: Bool[Array, "B N K"]  # false on padding; a choice without any token is padding, of probability 0
    group: Int[Array, "B N"]  # in [0, N); choices of one number exclude each other


def score_choices(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
    choices: Choices,
    *,
    chunk_tokens: int,
) -> Float[Array, "B N"]:
    """Probability of each choice, given that one of its group is written; sums to 1 in a group.

        p(n) = exp(sum_k log p(token[n, k] | trunk, branch[:place])) / sum over the group

    Args:
      params: from `qwen3.init`.
      config: of the decoder.
      trunk: token ids, right padded.
      trunk_mask: which trunk tokens are real.
      branches: token ids, right padded.
      branch_mask: which branch tokens are real.
      choices: what to score.
      chunk_tokens: tokens whose logits exist at once.
    """
    hidden = forward_tree(params, config, trunk, trunk_mask, branches, branch_mask)
    read = jax.vmap(lambda states, branch, place: states[branch, place])(hidden, choices.branch, choices.place - 1)
    figures = token_logprobs(
        read.reshape(-1, read.shape[-1]).astype(config.head_dtype),
        qwen3.head(params),
        choices.token.reshape(-1),
        chunk_tokens,
    )
    logprob = jnp.where(choices.counted, figures.logprob.reshape(choices.token.shape), 0.0).sum(axis=-1)
    return _normalised(logprob, choices.group, jnp.any(choices.counted, axis=-1))


def _normalised(
    logprob: Float[Array, "B N"], group: Int[Array, "B N"], real: Bool[Array, "B N"]
) -> Float[Array, "B N"]:
    """Softmax within each group."""

    def of_user(logprob: Float[Array, " N"], group: Int[Array, " N"]) -> Float[Array, " N"]:
        N = group.shape[0]
        highest = jax.ops.segment_max(logprob, group, N)[group]
        weight = jnp.exp(logprob - jnp.where(jnp.isfinite(highest), highest, 0.0))
        total = jax.ops.segment_sum(weight, group, N)[group]
        return weight / jnp.where(total > 0, total, 1.0)

    return jax.vmap(of_user)(jnp.where(real, logprob, -jnp.inf), group)
