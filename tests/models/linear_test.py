"""The layers' matrix product and its own gradients equal einsum's, and run in bfloat16 for every weight's shape."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from usergpt_jax.models.linear import linear, outer_sum

TOKENS = (3, 1, 40)
WEIGHTS = {  # equation, input axes, weight's shape
    "q": ("...D,DNH->...NH", (16,), (16, 4, 8)),
    "k": ("...D,DNH->...NH", (16,), (16, 1, 8)),
    "o": ("...NH,NHD->...D", (4, 8), (4, 8, 16)),
    "gate": ("...D,DF->...F", (16,), (16, 48)),
    "down": ("...F,FD->...D", (48,), (48, 16)),
    "low rank": ("...D,DR->...R", (256,), (256, 2)),
}


def both(weight, dtype):
    """Value and gradients of `linear` and, in float32, of einsum, for the same operands and cotangent."""
    equation, shape_in, shape = WEIGHTS[weight]
    keys = jax.random.split(jax.random.key(0), 3)
    x, w = (jax.random.normal(key, s, dtype) for key, s in zip(keys, ((*TOKENS, *shape_in), shape), strict=False))
    d_out = jax.random.normal(keys[2], (*TOKENS, *shape[len(shape_in) :]), dtype)

    def run(product, *operands):
        out, back = jax.vjp(product, *operands[:2])
        return out, *back(operands[2])

    found = jax.jit(lambda *a: run(lambda x, w: linear(x, w, len(shape_in)), *a))(x, w, d_out)
    wide = (a.astype(jnp.float32) for a in (x, w, d_out))
    return found, jax.jit(lambda *a: run(lambda x, w: jnp.einsum(equation, x, w), *a))(*wide)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_product_and_gradients_equal_einsum(weight):
    found, expected = both(weight, jnp.float32)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_half_precision_is_rounded_once(weight):
    for a, b in zip(*both(weight, jnp.bfloat16), strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-8, atol=1e-5)  # half a unit in the last place


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("widths", [(24, 64), (64, 24)])
def test_outer_products_are_summed_for_each_of_a_batch(widths, dtype):
    x, y = (jax.random.normal(jax.random.key(n), (5, 40, n), dtype) for n in widths)
    found = jax.jit(lambda x, y: outer_sum(x, y, 1, n_batch=1))(x, y)
    expected = np.einsum("bti,bto->bio", x.astype(jnp.float32), y.astype(jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of the CPU's compiler")
def test_a_cpu_multiplies_half_precision_operands_as_they_are():
    x, y = jax.ShapeDtypeStruct((400, 24), jnp.bfloat16), jax.ShapeDtypeStruct((400, 64), jnp.bfloat16)
    text = jax.jit(lambda x, y: outer_sum(x, y, 1)).lower(x, y).compile().as_text()
    assert set(re.findall(r"f32\[([\d,]*)\]", text)) - {""} == {"24,64"}  # the result alone


def test_the_operands_of_half_precision_products_are_not_widened_on_other_devices():
    """A product for a TPU takes bfloat16 operands in all three products and sums them in float32."""
    x, w = jax.ShapeDtypeStruct((2, 1, 8, 16), jnp.bfloat16), jax.ShapeDtypeStruct((16, 48), jnp.bfloat16)
    gradient = jax.jit(jax.grad(lambda x, w: jnp.sum(linear(x, w, 1).astype(jnp.float32) ** 2), (0, 1)))
    text = gradient.trace(x, w).lower(lowering_platforms=("tpu",)).as_text()
    products = [line.split(" : ")[1] for line in text.splitlines() if "dot_general" in line]
    assert len(products) == 3
    for product in products:
        operands, result = product.split("->")
        assert operands.count("bf16") == 2
        assert result.strip().endswith("f32>")
