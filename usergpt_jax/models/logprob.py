"""The head: log-prob, entropy and logsumexp of tokens without the [T, V] matrix of logits.

Logits exist for one chunk of tokens at a time, in float32, in the forward pass and again in the backward pass. SFT,
reference, old and new policy share this function.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class TokenLogprobs(NamedTuple):
    """Figures of the next-token distribution, in nats."""

    logprob: Float[Array, " T"]  # of the target
    entropy: Float[Array, " T"]
    logsumexp: Float[Array, " T"]


def token_logprobs(
    hidden: Float[Array, "T D"], head: Float[Array, "V D"], targets: Int[Array, " T"], chunk_tokens: int
) -> TokenLogprobs:
    """Log-prob of each target under `softmax(hidden @ head.T)`, with entropy and logsumexp; all differentiable.

    Args:
      hidden: states after the final norm.
      head: output matrix.
      targets: token ids in [0, V).
      chunk_tokens: tokens whose logits exist at once.
    """
    figures: Any = _token_logprobs(hidden, head, targets, max(1, min(chunk_tokens, hidden.shape[0])))
    return TokenLogprobs(*figures)


def token_logprobs_reference(
    hidden: Float[Array, "T D"], head: Float[Array, "V D"], targets: Int[Array, " T"]
) -> TokenLogprobs:
    """`token_logprobs` through the full matrix of logits, for tests."""
    logits = _logits(hidden, head)
    logsumexp = jax.nn.logsumexp(logits, axis=-1)
    logp = logits - logsumexp[:, None]
    chosen = jnp.take_along_axis(logp, targets[:, None], axis=-1)[:, 0]
    return TokenLogprobs(chosen, -jnp.sum(jnp.exp(logp) * logp, axis=-1), logsumexp)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _token_logprobs(hidden, head, targets, chunk_tokens):
    return _forward(hidden, head, targets, chunk_tokens)[0]


def _forward(hidden, head, targets, chunk_tokens):
    def chunk(_, inputs):
        hidden_chunk, targets_chunk = inputs
        logits = _logits(hidden_chunk, head)
        highest = jnp.max(logits, axis=-1)
        shifted = logits - highest[:, None]
        weights = jnp.exp(shifted)
        total = jnp.sum(weights, axis=-1)
        mean = jnp.sum(weights * shifted, axis=-1) / total
        log_total = jnp.log(total)
        chosen = jnp.take_along_axis(shifted, targets_chunk[:, None], axis=-1)[:, 0]
        return None, (chosen - log_total, log_total - mean, highest + log_total)

    _, out = jax.lax.scan(chunk, None, (_split(hidden, chunk_tokens), _split(targets, chunk_tokens)))
    out = tuple(_join(part, hidden.shape[0]) for part in out)
    return out, (hidden, head, targets, out[1], out[2])


def _backward(chunk_tokens, saved, cotangents):
    """Gradients through the logits, made again chunk by chunk (p: softmax; g: cotangents).

    p * (g_logsumexp - g_logprob - g_entropy * (log p + entropy)) + g_logprob at the target.
    """
    hidden, head, targets, entropy, logsumexp = saved
    wide_head = head.astype(jnp.float32)

    def chunk(head_gradient, inputs):
        hidden_chunk, targets_chunk, entropy_chunk, logsumexp_chunk, g_logprob, g_entropy, g_logsumexp = inputs
        logp = _logits(hidden_chunk, head) - logsumexp_chunk[:, None]
        factor = (g_logsumexp - g_logprob - g_entropy * entropy_chunk)[:, None] - g_entropy[:, None] * logp
        at_target = targets_chunk[:, None] == jnp.arange(head.shape[0])[None, :]
        d_logits = jnp.exp(logp) * factor + jnp.where(at_target, g_logprob[:, None], 0.0)
        d_hidden = d_logits @ wide_head
        return head_gradient + d_logits.T @ hidden_chunk.astype(jnp.float32), d_hidden

    parts = (hidden, targets, entropy, logsumexp, *cotangents)
    head_gradient, d_hidden = jax.lax.scan(
        chunk, jnp.zeros(head.shape, jnp.float32), tuple(_split(part, chunk_tokens) for part in parts)
    )
    d_hidden = _join(d_hidden, hidden.shape[0]).astype(hidden.dtype)
    return d_hidden, head_gradient.astype(head.dtype), np.zeros(targets.shape, jax.dtypes.float0)


_token_logprobs.defvjp(_forward, _backward)


def _logits(hidden: Float[Array, "T D"], head: Float[Array, "V D"]) -> Float[Array, "T V"]:
    return jnp.einsum("TD,VD->TV", hidden, head.astype(hidden.dtype), preferred_element_type=jnp.float32)


def _split(x: Array, chunk_tokens: int) -> Array:
    """[T, ...] as [chunks, chunk_tokens, ...], zero padded; chunk c holds tokens c, c + chunks, c + 2 chunks, ...

    The stride keeps every chunk spread over all shards of a split token axis.
    """
    chunks = -(-x.shape[0] // chunk_tokens)
    x = jnp.pad(x, [(0, chunks * chunk_tokens - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
    return jnp.swapaxes(x.reshape(chunk_tokens, chunks, *x.shape[1:]), 0, 1)


def _join(x: Array, size: int) -> Array:
    """Undoes `_split`."""
    return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])[:size]
