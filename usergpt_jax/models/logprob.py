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

from usergpt_jax.core.mesh import constrain
from usergpt_jax.models.linear import outer_sum

HEAD = ("vocab", "embed")  # logical axes


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
      hidden: states after the final norm; their dtype is that of the operands of the matrix product.
      head: output matrix.
      targets: token ids in [0, V).
      chunk_tokens: tokens whose logits exist at once.
    """
    figures: Any = _token_logprobs(hidden, head, targets, max(1, min(chunk_tokens, hidden.shape[0])))
    return TokenLogprobs(*figures)


def logits(hidden: Float[Array, "*T D"], head: Float[Array, "V D"]) -> Float[Array, "*T V"]:
    """Logits in float32 of operands in the dtype of `hidden`."""
    return _product("...D,VD->...V", hidden, head.astype(hidden.dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _token_logprobs(hidden, head, targets, chunk_tokens):
    return _forward(hidden, head, targets, chunk_tokens)[0]


def _forward(hidden, head, targets, chunk_tokens):
    whole_head = _whole(head, hidden.dtype)

    def chunk(_, inputs):
        hidden_chunk, targets_chunk = inputs
        scores = _chunk_logits(hidden_chunk, whole_head)
        highest = jnp.max(scores, axis=-1)
        shifted = scores - highest[:, None]
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

    p * (g_logsumexp - g_logprob - g_entropy * (log p + entropy)) + g_logprob at the target. They are rounded to the
    dtype of the operands, and their products are summed in float32.
    """
    hidden, head, targets, entropy, logsumexp = saved
    whole_head = _whole(head, hidden.dtype)

    def chunk(head_gradient, inputs):
        hidden_chunk, targets_chunk, entropy_chunk, logsumexp_chunk, g_logprob, g_entropy, g_logsumexp = inputs
        logp = _chunk_logits(hidden_chunk, whole_head) - logsumexp_chunk[:, None]
        factor = (g_logsumexp - g_logprob - g_entropy * entropy_chunk)[:, None] - g_entropy[:, None] * logp
        at_target = targets_chunk[:, None] == jnp.arange(head.shape[0])[None, :]
        d_logits = jnp.exp(logp) * factor + jnp.where(at_target, g_logprob[:, None], 0.0)
        d_logits = d_logits.astype(hidden.dtype)
        d_hidden = constrain(_product("TV,VD->TD", d_logits, whole_head), ("tokens", None)).astype(hidden.dtype)
        d_head = constrain(outer_sum(hidden_chunk, d_logits, 1, precision=_precision(hidden.dtype)), HEAD[::-1])
        return constrain(head_gradient + d_head, HEAD[::-1]), d_hidden

    parts = (hidden, targets, entropy, logsumexp, *cotangents)
    head_gradient, d_hidden = jax.lax.scan(
        chunk, jnp.zeros(head.shape[::-1], jnp.float32), tuple(_split(part, chunk_tokens) for part in parts)
    )
    d_hidden = _join(d_hidden, hidden.shape[0])
    return d_hidden, head_gradient.T.astype(head.dtype), np.zeros(targets.shape, jax.dtypes.float0)


_token_logprobs.defvjp(_forward, _backward)


def _chunk_logits(hidden: Float[Array, "T D"], head: Float[Array, "V D"]) -> Float[Array, "T V"]:
    """Logits that each device makes of its own tokens and rows of the head."""
    return constrain(logits(constrain(hidden, ("tokens", None)), head), ("tokens", "vocab"))


def _whole(head: Float[Array, "V D"], dtype: Any) -> Float[Array, "V D"]:
    """The head as an operand: brought together along its width once, and not once a chunk."""
    return constrain(head.astype(dtype), ("vocab", None))


def _product(equation: str, x: Array, y: Array) -> Array:
    """A matrix product of operands of one dtype, summed in float32."""
    return jnp.einsum(equation, x, y, preferred_element_type=jnp.float32, precision=_precision(x.dtype))


def _precision(dtype: Any) -> str | None:
    return "highest" if dtype == jnp.float32 else None  # else a TPU would round float32 to bfloat16


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
