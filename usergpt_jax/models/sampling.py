"""From logits to a token: temperature, then top-k, then top-p, then a draw."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from usergpt_jax.core.errors import InputError


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a token is drawn from logits.

    Attributes:
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: keeps the k likeliest tokens, of equal ones those with the lower ids; 0 keeps all.
      top_p: keeps a token while the tokens likelier than it hold less than this probability; 1 keeps all.
    """

    temperature: float
    top_k: int
    top_p: float

    def check(self) -> None:
        """Raises `InputError`, naming the field, when a value is out of range."""
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"sampling.temperature: expected at least 0 and finite, got {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"sampling.top_k: expected 0 (off) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"sampling.top_p: expected above 0 and at most 1, got {self.top_p}")


class Adjusted(NamedTuple):
    """A distribution over candidates: `logits[t, c]` belongs to token `tokens[t, c]`; excluded ones are -inf."""

    logits: Float[Array, "T C"]
    tokens: Int[Array, "T C"] | None  # None: candidate c is token c


def adjust_logits(logits: Float[Array, "T V"], drawing: Drawing) -> Adjusted:
    """The distribution that is drawn from: temperature, then top-k, then top-p."""
    if drawing.temperature == 0:
        return Adjusted(logits, None)
    logits = logits / drawing.temperature
    if 0 < drawing.top_k < logits.shape[-1]:
        values, tokens = jax.lax.top_k(logits, drawing.top_k)
        before = jnp.cumsum(jax.nn.softmax(values, axis=-1), axis=-1)[:, :-1]
        likely = jnp.concatenate([jnp.ones_like(values[:, :1], bool), before < drawing.top_p], axis=-1)
        return Adjusted(jnp.where(likely | (drawing.top_p >= 1), values, -jnp.inf), tokens)
    if drawing.top_p < 1:
        logits = jnp.where(nucleus(jax.nn.softmax(logits, axis=-1), drawing.top_p), logits, -jnp.inf)
    return Adjusted(logits, None)


def nucleus(probability: Float[Array, "T V"], top_p: float) -> Array:
    """Which tokens to keep: those for which the likelier tokens together hold less than `top_p`.

    Finds the least kept probability by bisection over the bits of a float, which orders like an integer when positive:
    31 masked sums, where a sort of every row would cost several times more on a CPU.
    """

    def bisect(_, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds  # the mass above `high` is below top_p; that above `low - 1` is not, or low is 0
        middle = low + (high - low) // 2
        edge = jax.lax.bitcast_convert_type(middle, jnp.float32)
        mass = jnp.sum(jnp.where(probability > edge[:, None], probability, 0.0), axis=-1)
        enough = mass < top_p
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    rows = probability.shape[0]
    top = jax.lax.bitcast_convert_type(jnp.max(probability, axis=-1), jnp.int32)
    _, edge = jax.lax.fori_loop(0, 31, bisect, (jnp.zeros(rows, jnp.int32), top))
    return probability >= jax.lax.bitcast_convert_type(edge, jnp.float32)[:, None]


def sample_token(
    adjusted: Adjusted, keys: PRNGKeyArray | Array, *, greedy: bool
) -> tuple[Int[Array, " T"], Float[Array, " T"]]:
    """One token a row and its log-prob under `adjusted` (0 when greedy: the choice is certain)."""
    logits = adjusted.logits
    if greedy:
        chosen = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return chosen, jnp.zeros(chosen.shape, jnp.float32)
    noise = jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[1:]))(keys)
    chosen = jnp.argmax(logits + noise, axis=-1)[:, None]
    logprob = jnp.take_along_axis(logits, chosen, axis=-1)[:, 0] - jax.nn.logsumexp(logits, axis=-1)
    tokens = chosen if adjusted.tokens is None else jnp.take_along_axis(adjusted.tokens, chosen, axis=-1)
    return tokens[:, 0].astype(jnp.int32), logprob
