"""Samples answers to each of G questions about B users: the trunk is read once a user, the question once a branch.

    trunk [B, P] --read--> cache a layer [B, P, K, H]             shared by all samples of the user
    questions [B, G, R] --read--> cache a layer [B, G, R, K, H]   shared by the samples of the question
    decode: one token a slot and step

`sample` is one pure function for a batch whose samples start together and take a slot each, as in training. Where
users come one after the other, `inference.tree_queue` keeps seats and slots filled.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from usergpt_jax.core.errors import InputError
from usergpt_jax.models import decoding
from usergpt_jax.models.decoding import Samples
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.sampling import Drawing


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn.

    Attributes:
      n_samples: samples a question.
      max_new_tokens: limit of a sample, stop token included.
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: keeps the k likeliest tokens; 0 keeps all.
      top_p: keeps a token while the tokens likelier than it hold less than this probability; 1 keeps all.
      stop_token: ends a sample.
    """

    n_samples: int
    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    stop_token: int

    def check(self) -> None:
        """Raises `InputError`, naming the field, when a value is out of range."""
        for name in ("n_samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"sampling.{name}: expected at least 1, got {getattr(self, name)}")
        self.drawing.check()

    @property
    def drawing(self) -> Drawing:
        """How a token is drawn from logits."""
        return Drawing(self.temperature, self.top_k, self.top_p)


def sample(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    prefixes: Int[Array, "B G R"],
    prefix_mask: Bool[Array, "B G R"],
    keys: PRNGKeyArray | Array,
    sampling: SamplingConfig,
) -> Samples:
    """Draws `sampling.n_samples` (C) continuations of every prefix, [B G C M]; jit with `config` and `sampling` static.

    Args:
      params: from `qwen3.init`.
      config: of the decoder.
      trunk: token ids, right padded.
      trunk_mask: which trunk tokens are real.
      prefixes: question tokens, right padded, at least one real token each.
      prefix_mask: which prefix tokens are real.
      keys: one PRNG key a user, [B].
      sampling: how tokens are drawn.

    Raises:
      InputError: `sampling` is out of range, or shapes do not belong together.
    """
    sampling.check()
    (B, G, _), C, M = prefixes.shape, sampling.n_samples, sampling.max_new_tokens
    limits, stops = jnp.full((B, G), M), jnp.full((B, G, 1), sampling.stop_token)
    rows = decoding.Rows(jnp.repeat(jnp.arange(G), C), jnp.tile(jnp.arange(C), G))
    prompts = decoding.Prompts(trunk, trunk_mask, prefixes, prefix_mask, keys, limits, stops)
    seats = decoding.read(params, config, prompts)
    state = decoding.begin(config, seats, rows, G * C, M)
    state = state._replace(slots=decoding.draw(params, config, seats, state.slots, rows, sampling.drawing))
    drawn = decoding.draw_until(params, config, state, rows, sampling.drawing, 0).slots.samples
    return Samples(*(part.reshape(B, G, C, *part.shape[2:]) for part in drawn))
