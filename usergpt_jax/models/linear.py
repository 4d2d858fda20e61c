"""Matrix products of a decoder's layers: summed in float32, differentiated so that the larger operand stays in place.

Operands in bfloat16 with sums in float32 are what TPUs, GPUs and the bfloat16 instructions of CPUs multiply; a CPU
takes a product that is asked for in bfloat16 through float32 instead. The gradient by a weight sums over tokens, the
first axis of both operands, and XLA on a CPU turns the left one round, making it anew in that order from everything it
is fused with. So the narrower one is on the left.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def linear(x: Float[Array, "*tokens_and_in"], weight: Float[Array, "*in_and_out"], n_in: int) -> Float[Array, "..."]:
    """The last `n_in` axes of `x` contracted with the first of `weight`, [*tokens, *out] in the dtype of `x`."""
    out: Any = _linear(x, weight, n_in)
    return out


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _linear(x: Array, weight: Array, n_in: int) -> Array:
    return _contract(x, weight, range(x.ndim - n_in, x.ndim), range(n_in)).astype(x.dtype)


def _forward(x: Array, weight: Array, n_in: int) -> tuple[Array, tuple[Array, Array]]:
    return linear(x, weight, n_in), (x, weight)


def _backward(n_in: int, saved: tuple[Array, Array], d_out: Array) -> tuple[Array, Array]:
    x, weight = saved
    n_tokens, n_out = x.ndim - n_in, weight.ndim - n_in
    d_x = _contract(d_out, weight, range(n_tokens, d_out.ndim), range(n_in, weight.ndim)).astype(x.dtype)
    if math.prod(weight.shape[:n_in]) <= math.prod(weight.shape[n_in:]):
        d_weight = _summed(x, d_out, n_tokens)
    else:
        d_weight = jnp.moveaxis(_summed(d_out, x, n_tokens), range(n_out), range(n_in, weight.ndim))
    return d_x, d_weight.astype(weight.dtype)


_linear.defvjp(_forward, _backward)


def _summed(x: Array, y: Array, n_tokens: int) -> Array:
    """Outer products summed over the tokens."""
    tokens = range(n_tokens)

    def on_cpu(x: Array, y: Array) -> Array:  # whose bfloat16 products cannot turn an operand round
        return _contract(x.astype(jnp.float32), y.astype(jnp.float32), tokens, tokens)

    def elsewhere(x: Array, y: Array) -> Array:
        return _contract(x, y, tokens, tokens)

    return jax.lax.platform_dependent(x, y, cpu=on_cpu, default=elsewhere)


def _contract(x: Array, y: Array, x_axes: range, y_axes: range) -> Array:
    return jax.lax.dot_general(x, y, ((x_axes, y_axes), ((), ())), preferred_element_type=jnp.float32)
