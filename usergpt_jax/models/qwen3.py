"""Qwen3 dense decoder: parameters and the arithmetic of one layer, in Flax NNX.

The module tree holds the parameters, stacked over layers, and the position-wise arithmetic. Programs keep parameters
as a nested dict of arrays (`init`, or `nnx.split` of a `Qwen3`), pass it through plain `jax.jit`, and the forward
passes in `tree_attention.py` and `sampler.py` merge it with the static module graph while tracing.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import lora as lora_lib
from usergpt_jax.models import rotary
from usergpt_jax.models.linear import linear
from usergpt_jax.models.qwen3_config import DTYPES, Qwen3Config
from usergpt_jax.models.rotary import Rotation, rope

Params = dict[str, Any]


def rms_norm(x: Float[Array, "... D"], scale: Float[Array, " D"], eps: float) -> Float[Array, "... D"]:
    """`x / rms(x) * scale`, in float32, returned in the dtype of `x`."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + eps)
    return (wide * scale.astype(jnp.float32)).astype(x.dtype)


def rotation(config: Qwen3Config, positions: Int[Array, "*B T"], length: int) -> Rotation:
    """Cosine and sine for tokens at `positions`, each below `length`."""
    return rotary.rotation(config.rope_theta, config.head_dim, config.rope_scaling, positions, length)


class Block(nnx.Module):
    """One layer's weights and position-wise arithmetic; made with all layers stacked on a first axis.

    Attention itself happens between `qkv` and `finish`, because who attends to whom is the caller's matter.
    """

    def __init__(self, config: Qwen3Config, rngs: nnx.Rngs):
        self.config = config
        c = config

        def weight(fan_in: int, *shape_axes: tuple[int, str]) -> nnx.Param:
            shape, axes = zip((c.n_layers, "layers"), *shape_axes, strict=True)
            value = jax.random.normal(rngs.params(), shape, jnp.float32) * fan_in**-0.5
            return nnx.Param(value.astype(DTYPES[c.param_dtype]), axes=axes)

        def scale(size: int) -> nnx.Param:
            return nnx.Param(jnp.ones((c.n_layers, size), DTYPES[c.param_dtype]), axes=("layers", "norm"))

        embed, head_dim, mlp = (c.d_model, "embed"), (c.head_dim, "head_dim"), (c.d_ff, "mlp")
        heads, kv_heads = (c.n_heads, "heads"), (c.n_kv_heads, "kv_heads")
        depth = 2 * c.n_layers  # writers into the residual stream; their sum keeps unit variance
        self.attn_norm = scale(c.d_model)
        self.q = weight(c.d_model, embed, heads, head_dim)
        self.k = weight(c.d_model, embed, kv_heads, head_dim)
        self.v = weight(c.d_model, embed, kv_heads, head_dim)
        self.o = weight(c.n_heads * c.head_dim * depth, heads, head_dim, embed)
        self.q_norm = scale(c.head_dim)
        self.k_norm = scale(c.head_dim)
        self.mlp_norm = scale(c.d_model)
        self.gate = weight(c.d_model, embed, mlp)
        self.up = weight(c.d_model, embed, mlp)
        self.down = weight(c.d_ff * depth, mlp, embed)

        if c.attention_bias:

            def bias(*shape_axes: tuple[int, str]) -> nnx.Param:
                shape, axes = zip((c.n_layers, "layers"), *shape_axes, strict=True)
                return nnx.Param(jnp.zeros(shape, DTYPES[c.param_dtype]), axes=axes)

            self.q_bias = bias(heads, head_dim)
            self.k_bias = bias(kv_heads, head_dim)
            self.v_bias = bias(kv_heads, head_dim)
            self.o_bias = bias((c.d_model, "norm"))

        if c.lora is not None:
            self._add_low_rank(c.lora, rngs)

    def _add_low_rank(self, lora: lora_lib.LoraConfig, rngs: nnx.Rngs) -> None:
        """Makes A and B of every target, split like the axes of its weight that they keep."""
        for name in lora.targets:
            weight, n_in = getattr(self, name), lora_lib.TARGETS[name]
            shape_a, shape_b = lora_lib.shapes(name, weight.shape, lora.rank)
            axes, dtype = weight.get_metadata("axes"), DTYPES[self.config.param_dtype]
            a, b = lora_lib.names(name)
            value = lora_lib.init_a(rngs.params(), shape_a, dtype)
            setattr(self, a, nnx.Param(value, axes=(*axes[: 1 + n_in], "rank")))
            setattr(self, b, nnx.Param(jnp.zeros(shape_b, dtype), axes=("layers", "rank", *axes[1 + n_in :])))

    def _linear(self, name: str, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`x` times the weight `name`, with its low-rank term and bias where the layer has them."""
        n_in = lora_lib.TARGETS[name]
        y = linear(x, getattr(self, name)[...].astype(x.dtype), n_in)
        if (lora := self.config.lora) is not None and name in lora.targets:
            a, b = (getattr(self, part)[...].astype(x.dtype) for part in lora_lib.names(name))
            y = y + linear(linear(x, a, n_in), b, 1) * lora.scale
        if self.config.attention_bias and name in ("q", "k", "v", "o"):
            y = y + getattr(self, f"{name}_bias")[...].astype(x.dtype)
        return y

    def norm_in(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B T D"]:
        """The input of the query, key and value projections."""
        return rms_norm(x, self.attn_norm[...], self.config.norm_eps)

    def queries(self, normed: Float[Array, "*B T D"], rotation: Rotation) -> Float[Array, "*B T N H"]:
        """Rotated queries, scaled by `1/sqrt(H)`."""
        q = self._linear("q", normed)
        q = rms_norm(q, self.q_norm[...], self.config.norm_eps)
        return rope(q, rotation) * self.config.head_dim**-0.5

    def keys_values(
        self, normed: Float[Array, "*B T D"], rotation: Rotation
    ) -> tuple[Float[Array, "*B T K H"], Float[Array, "*B T K H"]]:
        """Rotated keys, and values."""
        k = self._linear("k", normed)
        v = self._linear("v", normed)
        return rope(rms_norm(k, self.k_norm[...], self.config.norm_eps), rotation), v

    def finish(self, x: Float[Array, "*B T D"], attended: Float[Array, "*B T N H"]) -> Float[Array, "*B T D"]:
        """Adds the attention's output and the feed-forward to the residual stream."""
        x = x + self._linear("o", attended)
        normed = rms_norm(x, self.mlp_norm[...], self.config.norm_eps)
        gate, up = (self._linear(name, normed) for name in ("gate", "up"))
        return x + self._linear("down", jax.nn.silu(gate) * up)


class Qwen3(nnx.Module):
    """Embedding, stacked layers, final norm and, untied, the head."""

    def __init__(self, config: Qwen3Config, vocab_size: int, rngs: nnx.Rngs):
        dtype = DTYPES[config.param_dtype]
        shape = (vocab_size, config.d_model)

        def table() -> nnx.Param:
            value = jax.random.normal(rngs.params(), shape, jnp.float32) * config.d_model**-0.5
            return nnx.Param(value.astype(dtype), axes=("vocab", "embed"))

        self.embed = table()
        self.layers = Block(config, rngs)
        self.final_norm = nnx.Param(jnp.ones((config.d_model,), dtype), axes=("norm",))
        if not config.tie_embeddings:
            self.head = table()


@functools.lru_cache(maxsize=64)
def _abstract(config: Qwen3Config, vocab_size: int) -> tuple[Any, Any]:
    """Graph and state of the model without memory."""
    return nnx.split(nnx.eval_shape(lambda: Qwen3(config, vocab_size, nnx.Rngs(0))))


@functools.lru_cache(maxsize=64)
def _block_graph(config: Qwen3Config) -> Any:
    graph, _ = nnx.split(nnx.eval_shape(lambda: Block(config, nnx.Rngs(0))))
    return graph


def block(config: Qwen3Config, layer_params: Params) -> Block:
    """The module of one layer around its slice of `params["layers"]`."""
    return nnx.merge(_block_graph(config), layer_params)


def gathered_block(config: Qwen3Config, layer_params: Params) -> Block:
    """`block` for many tokens: its weights in the compute dtype, each brought together on every device."""

    def gather(weight: Array, axes: tuple[str, ...]) -> Array:
        return mesh_lib.gather(weight.astype(config.dtype), axes[1:]) if "embed" in axes else weight

    return block(config, jax.tree.map(gather, layer_params, _layer_axes(config)))


@functools.lru_cache(maxsize=64)
def _layer_axes(config: Qwen3Config) -> Params:
    return param_axes(config, 2)["layers"]


def init(config: Qwen3Config, vocab_size: int, key: PRNGKeyArray | Array) -> Params:
    """New parameters: a nested dict of arrays, those of the layers stacked on a first axis.

    Raises:
      InputError: the config describes no decoder.
    """
    check_vocab(config, vocab_size)
    _, state = nnx.split(Qwen3(config, vocab_size, nnx.Rngs(params=key)))
    return _nested(state, lambda weight: weight.get_raw_value())


def init_sharded(config: Qwen3Config, vocab_size: int, key: PRNGKeyArray | Array, mesh: Mesh) -> Params:
    """`init`, each device making only its shard; the values do not depend on the mesh.

    Raises:
      InputError: the config describes no decoder, or the mesh does not divide one of its dimensions.
    """
    check_vocab(config, vocab_size)
    make = jax.jit(functools.partial(init, config, vocab_size), out_shardings=param_shardings(config, vocab_size, mesh))
    return make(key)


def check_vocab(config: Qwen3Config, vocab_size: int) -> None:
    """Raises `InputError` when the config or the vocabulary is impossible."""
    config.check()
    if vocab_size < 2:
        raise InputError(f"vocabulary: expected at least 2 tokens, got {vocab_size}")


def param_shapes(config: Qwen3Config, vocab_size: int) -> Params:
    """Shape and dtype of every parameter, in the structure of `init`."""
    return _nested(_abstract(config, vocab_size)[1], lambda weight: weight.get_raw_value())


def param_axes(config: Qwen3Config, vocab_size: int) -> Params:
    """Logical axis names of every parameter, in the structure of `init`."""
    return _nested(_abstract(config, vocab_size)[1], lambda weight: weight.get_metadata("axes"))


def _nested(state: Any, read: Callable[[nnx.Variable], Any]) -> Params:
    """What `read` takes from every variable of a module's state, as a nested dict."""
    nested: Params = {}
    for path, variable in nnx.to_flat_state(state):
        inner = nested
        for key in path[:-1]:
            inner = inner.setdefault(str(key), {})
        inner[str(path[-1])] = read(variable)
    return nested


def param_shardings(config: Qwen3Config, vocab_size: int, mesh: Mesh) -> Params:
    """Sharding of every parameter on `mesh`.

    Raises:
      InputError: the mesh does not divide a dimension; the message names parameter and dimension.
    """
    return mesh_lib.tree_shardings(mesh, param_shapes(config, vocab_size), param_axes(config, vocab_size))


def sharded_shapes(config: Qwen3Config, vocab_size: int, mesh: Mesh) -> Params:
    """`param_shapes` with `param_shardings`: what a checkpoint is restored like."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        param_shapes(config, vocab_size),
        param_shardings(config, vocab_size, mesh),
    )


def embed(params: Params, config: Qwen3Config, tokens: Int[Array, "*B T"]) -> Float[Array, "*B T D"]:
    """Token embeddings in the compute dtype."""
    return params["embed"][tokens].astype(config.dtype)


def head(params: Params) -> Float[Array, "V D"]:
    """The output matrix: the embedding when tied."""
    return params.get("head", params["embed"])


def final_norm(params: Params, config: Qwen3Config, x: Float[Array, "*B T D"]) -> Float[Array, "*B T D"]:
    """The norm before the head."""
    return rms_norm(x, params["final_norm"], config.norm_eps)


def n_params(params: Params) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
