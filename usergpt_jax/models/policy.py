"""The policy's log-probs of given branches: shared by fine-tuning, reference, old and new policy."""

from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.core.mesh import merge, unmerge
from usergpt_jax.models import qwen3
from usergpt_jax.models.logprob import token_logprobs
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.tree_attention import forward_tree


def branch_logprobs(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    branches: Int[Array, "B G R"],
    branch_mask: Bool[Array, "B G R"],
    *,
    first: int,
    chunk_tokens: int,
) -> tuple[Float[Array, "B G S"], Float[Array, "B G S"]]:
    """Log-prob and entropy of the S = R - first branch tokens from position `first` on, given all before each.

    Args:
      params: from `qwen3.init`.
      config: of the decoder.
      trunk: token ids, right padded.
      trunk_mask: which trunk tokens are real.
      branches: token ids, right padded.
      branch_mask: which branch tokens are real.
      first: at least 1; positions before it, which are the question's, never reach the head.
      chunk_tokens: tokens whose logits exist at once.
    """
    hidden = forward_tree(params, config, trunk, trunk_mask, branches, branch_mask)[:, :, first - 1 : -1]
    axes = ("batch", "sequence", None)  # as a mesh splits branches: its devices each keep their tokens
    flat, targets = merge(hidden.astype(config.head_dtype), axes), merge(branches[:, :, first:], axes)
    figures = token_logprobs(flat, qwen3.head(params), targets, chunk_tokens)
    shape = hidden.shape[:-1]
    return unmerge(figures.logprob, shape, axes), unmerge(figures.entropy, shape, axes)
