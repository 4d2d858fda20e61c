"""LoRA: low-rank terms beside the weights of a decoder's layers, trained while the weights stay as they are.

    y = x W + alpha / rank * (x A) B        A [L, *in, r] random, B [L, r, *out] zero, so training starts at W

A and B live in `params["layers"]` beside their weight: "q", "q_lora_a", "q_lora_b". Paper: arXiv 2106.09685.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from usergpt_jax.core.errors import InputError

Params = dict[str, Any]

TARGETS = {"q": 1, "k": 1, "v": 1, "o": 2, "gate": 1, "up": 1, "down": 1}  # weight -> number of input axes
_A, _B = "_lora_a", "_lora_b"


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Which weights get low-rank terms.

    Attributes:
      rank: r, inner width of the terms.
      alpha: a term is multiplied by `alpha / rank`.
      targets: names of weights, keys of `TARGETS`.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]

    def check(self) -> None:
        """Raises `InputError`, naming the key, when a value is out of range."""
        key = "config.model.lora"
        if not isinstance(self.rank, int) or self.rank < 1:
            raise InputError(f"{key}.rank: expected a whole number above 0, got {self.rank}")
        if not 0 < self.alpha < math.inf:
            raise InputError(f"{key}.alpha: expected above 0 and finite, got {self.alpha}")
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise InputError(f"{key}.targets: expected distinct names, at least one, got {self.targets}")
        if unknown := [name for name in self.targets if name not in TARGETS]:
            raise InputError(f"{key}.targets: expected names among {', '.join(TARGETS)}, got {unknown[0]!r}")

    @property
    def scale(self) -> float:
        """Factor on a low-rank term."""
        return self.alpha / self.rank


def names(weight: str) -> tuple[str, str]:
    """Names of A and B of a weight."""
    return weight + _A, weight + _B


def shapes(weight: str, shape: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of A and B of a weight [L, *in, *out]."""
    n_in = TARGETS[weight]
    return (*shape[: 1 + n_in], rank), (shape[0], rank, *shape[1 + n_in :])


def init_a(key: PRNGKeyArray | Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """A random A [L, *in, r] that keeps the variance of its input."""
    fan_in = math.prod(shape[1:-1])
    return (jax.random.normal(key, shape, jnp.float32) * fan_in**-0.5).astype(dtype)


def add(params: Params, config: LoraConfig, key: PRNGKeyArray | Array) -> Params:
    """Parameters with new low-rank terms, which change no output yet; their weights are those of `params`.

    Raises:
      InputError: the config is out of range, or there are terms already.
    """
    config.check()
    if split(params)[1]:
        raise InputError("config.model.lora: expected weights without low-rank terms, got some that have them")
    layers = dict(params["layers"])
    for number, weight in enumerate(sorted(config.targets)):
        dtype = layers[weight].dtype
        shape_a, shape_b = shapes(weight, layers[weight].shape, config.rank)
        a, b = names(weight)
        layers[a] = init_a(jax.random.fold_in(key, number), shape_a, dtype)
        layers[b] = jnp.zeros(shape_b, dtype)
    return {**params, "layers": layers}


def split(params: Params) -> tuple[Params, Params]:
    """What is trained and what is frozen: the low-rank terms and the rest; without terms, everything and nothing."""
    terms = {name: value for name, value in params["layers"].items() if name.endswith((_A, _B))}
    if not terms:
        return params, {}
    rest = {name: value for name, value in params["layers"].items() if name not in terms}
    return {"layers": terms}, {**params, "layers": rest}


def join(trained: Params, frozen: Params) -> Params:
    """Undoes `split`."""
    if not frozen:
        return trained
    return {**frozen, "layers": {**frozen["layers"], **trained["layers"]}}


def merge(params: Params, config: LoraConfig) -> Params:
    """Plain parameters with `W + alpha / rank * A B` for every weight with a term; sums in float32."""
    terms, plain = split(params)
    layers = dict(plain["layers"])
    for weight in config.targets:
        a, b = (terms["layers"][name] for name in names(weight))
        layers[weight] = _merged(layers[weight], a, b, scale=config.scale)
    return {**plain, "layers": layers}


@functools.partial(jax.jit, static_argnames="scale")
def _merged(weight: Array, a: Array, b: Array, *, scale: float) -> Array:
    L, rank = weight.shape[0], a.shape[-1]
    wide_a, wide_b = a.astype(jnp.float32).reshape(L, -1, rank), b.astype(jnp.float32).reshape(L, rank, -1)
    product = jnp.matmul(wide_a, wide_b, precision="highest").reshape(weight.shape)
    return (weight.astype(jnp.float32) + scale * product).astype(weight.dtype)
