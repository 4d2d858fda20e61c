"""Rotary positions: by which angles queries and keys turn, and how that is stretched past the length of pretraining."""

import dataclasses
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from usergpt_jax.core.errors import InputError

KINDS = ("linear", "yarn")


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """Rotary frequencies made slower, so that more positions fit.

    Paper: YaRN, arXiv 2309.00071, §3.

    Attributes:
      kind: "linear" divides every frequency by `factor`; "yarn" only the slow ones, with a ramp between.
      factor: by how much, at least 1.
      original_positions: length of pretraining; read by yarn alone, like the next three.
      beta_fast: a frequency with more turns than this within `original_positions` stays as it is.
      beta_slow: one with fewer turns is divided by `factor`; below `beta_fast`.
      truncate: whether the ramp begins and ends at whole dimensions.
      attention_factor: multiplies cosine and sine, so every attention logit by its square.
    """

    kind: str
    factor: float
    original_positions: int
    beta_fast: float
    beta_slow: float
    truncate: bool
    attention_factor: float

    def check(self) -> None:
        """Raises `InputError`, naming the key, when a value is out of range."""
        key = "config.model.rope_scaling"
        if self.kind not in KINDS:
            raise InputError(f"{key}.kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if not 1 <= self.factor < math.inf:
            raise InputError(f"{key}.factor: expected at least 1 and finite, got {self.factor}")
        if not 0 < self.attention_factor < math.inf:
            raise InputError(f"{key}.attention_factor: expected above 0 and finite, got {self.attention_factor}")
        if self.kind == "yarn":
            if self.original_positions < 1:
                raise InputError(f"{key}.original_positions: expected at least 1, got {self.original_positions}")
            if not 0 < self.beta_slow <= self.beta_fast < math.inf:
                raise InputError(f"{key}: expected 0 < beta_slow <= beta_fast, got {self.beta_slow}, {self.beta_fast}")


def default_attention_factor(factor: float, mscale: float = 1.0) -> float:
    """What YaRN multiplies cosine and sine by: `0.1 mscale ln(factor) + 1`."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


class Rotation(NamedTuple):
    """Cosine and sine of every token's rotary angles; made once a forward pass and used by every layer."""

    cos: Float[Array, "*B T half"]
    sin: Float[Array, "*B T half"]


def frequencies(theta: float, head_dim: int, scaling: RopeScaling | None) -> Float[Array, " half"]:
    """Angle a position of each dimension pair: `theta^(-2i/H)` for i < H/2, then scaled."""
    half = head_dim // 2
    frequency = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    if scaling is None:
        return frequency
    slower = frequency / scaling.factor
    if scaling.kind == "linear":
        return slower
    share = yarn_ramp(theta, head_dim, scaling)
    return frequency * (1 - share) + slower * share


def yarn_ramp(theta: float, head_dim: int, scaling: RopeScaling) -> np.ndarray:
    """Share Float[H/2] of the slower frequency in each dimension pair: 0 for fast ones, 1 for slow ones."""

    def pair_with(turns: float) -> float:
        """The pair, as a real number, that makes so many turns within the original length."""
        return head_dim * math.log(scaling.original_positions / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    width = high - low if high != low else 1e-3  # a step, without dividing by zero
    return np.clip((np.arange(head_dim // 2, dtype=np.float32) - low) / width, 0, 1).astype(np.float32)


def rotation(
    theta: float, head_dim: int, scaling: RopeScaling | None, positions: Int[Array, "*B T"], length: int
) -> Rotation:
    """Cosine and sine of `position * frequency`, times the scaling's attention factor.

    Args:
      theta: base of the frequencies.
      head_dim: H.
      scaling: of the frequencies, if any.
      positions: of the tokens, from 0.
      length: bound of the positions; one row of angles is computed for each and then looked up.
    """
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequencies(theta, head_dim, scaling)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    if scaling is not None:
        cos, sin = cos * scaling.attention_factor, sin * scaling.attention_factor
    return Rotation(cos[positions], sin[positions])


def rope(x: Float[Array, "*B T N H"], rotation: Rotation) -> Float[Array, "*B T N H"]:
    """Rotates the dimension pairs (i, i + H/2)."""
    half = x.shape[-1] // 2
    cos, sin = rotation.cos[..., None, :], rotation.sin[..., None, :]
    low, high = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1).astype(x.dtype)
