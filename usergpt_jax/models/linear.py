"""Matrix products of a decoder, summed in float32, and the gradient of those with weights.

Operands in bfloat16 with sums in float32 are what TPUs, GPUs and the bfloat16 instructions of CPUs multiply; a CPU
takes a product that is asked for in bfloat16 through float32 instead.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from usergpt_jax.core.mesh import compiler_splits

PRODUCT = "product_with_weights"  # by this name policies of `jax.checkpoint` know results of `linear`


def linear(x: Float[Array, "*tokens_and_in"], weight: Float[Array, "*in_and_out"], n_in: int) -> Float[Array, "..."]:
    """The last `n_in` axes of `x` contracted with the first of `weight`, [*tokens, *out] in the dtype of `x`."""
    out: Any = _linear(x, weight, n_in)
    return out


def outer_sum(
    x: Float[Array, "*batch_tokens_and_in"],
    y: Float[Array, "*batch_tokens_and_out"],
    n_tokens: int,
    n_batch: int = 0,
    precision: str | None = None,
) -> Float[Array, "*batch_in_and_out"]:
    """Outer products of each token's `x` and `y`, summed over the tokens in float32.

    XLA on a CPU sums over the last axis of the left operand, so it transposes the one here: left to itself it takes it
    through float32, and recomputes for each tile whatever it has fused with it. Here the narrower operand is on the
    left and is transposed in memory first.
    """
    first = n_batch + n_tokens  # axis of what is not summed
    batch, tokens = tuple(range(n_batch)), tuple(range(n_batch, first))
    left_is_x = math.prod(x.shape[first:]) <= math.prod(y.shape[first:])
    left, right = (x, y) if left_is_x else (y, x)

    def product(left: Array, tokens_of_left: tuple[int, ...], right: Array) -> Array:
        axes = ((tokens_of_left, tokens), (batch, batch))
        return jax.lax.dot_general(left, right, axes, precision, jnp.float32)

    def on_cpu(left: Array, right: Array) -> Array:
        if compiler_splits():  # it would bring an operand of a given layout together
            return product(left.astype(jnp.float32), tokens, right.astype(jnp.float32))
        last = tuple(range(left.ndim - n_tokens, left.ndim))
        turned = with_layout_constraint(jnp.moveaxis(left, tokens, last), Layout(tuple(range(left.ndim))))
        out = product(turned, last, right)
        return jax.lax.optimization_barrier(out)  # else XLA turns `right` where the result is turned

    def elsewhere(left: Array, right: Array) -> Array:
        return product(left, tokens, right)

    out = jax.lax.platform_dependent(left, right, cpu=on_cpu, default=elsewhere)
    if left_is_x:
        return out
    n_in, n_out = x.ndim - first, y.ndim - first
    return jnp.moveaxis(out, range(n_batch, n_batch + n_out), range(n_batch + n_in, n_batch + n_in + n_out))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _linear(x: Array, weight: Array, n_in: int) -> Array:
    return _product(x, weight, n_in)


def _forward(x: Array, weight: Array, n_in: int) -> tuple[Array, tuple[Array, Array]]:
    return checkpoint_name(_product(x, weight, n_in), PRODUCT), (x, weight)


def _backward(n_in: int, saved: tuple[Array, Array], d_out: Array) -> tuple[Array, Array]:
    x, weight = saved
    n_tokens = x.ndim - n_in
    d_x = _contract(d_out, weight, range(n_tokens, d_out.ndim), range(n_in, weight.ndim)).astype(x.dtype)
    return d_x, outer_sum(x, d_out, n_tokens).astype(weight.dtype)


_linear.defvjp(_forward, _backward)


def _product(x: Array, weight: Array, n_in: int) -> Array:
    return _contract(x, weight, range(x.ndim - n_in, x.ndim), range(n_in)).astype(x.dtype)


def _contract(x: Array, y: Array, x_axes: range, y_axes: range) -> Array:
    return jax.lax.dot_general(x, y, ((x_axes, y_axes), ((), ())), preferred_element_type=jnp.float32)
