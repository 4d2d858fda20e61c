"""Qwen3 dense decoder: parameters and the arithmetic of one layer, in Flax NNX.

The module tree holds the parameters, stacked over layers, and the position-wise arithmetic. Programs keep parameters
as a nested dict of arrays (`init`, or `nnx.split` of a `Qwen3`), pass it through plain `jax.jit`, and the forward
passes in `tree_attention.py` and `sampler.py` merge it with the static module graph while tracing.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError

Params = dict[str, Any]

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

REMAT = {
    "none": None,  # keep every intermediate
    "full": jax.checkpoint_policies.nothing_saveable,  # keep only each layer's input
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # keep results of weight matrices
}


@dataclasses.dataclass(frozen=True)
class Qwen3Config:
    """Shape of the decoder.

    Attributes:
      n_layers: number of blocks.
      d_model: width of the residual stream.
      d_ff: width of the feed-forward.
      n_heads: query heads.
      n_kv_heads: key and value heads; divides `n_heads`.
      head_dim: width of a head, even.
      rope_theta: base of the rotary frequencies.
      norm_eps: added to the mean square in RMSNorm.
      tie_embeddings: whether the head is the embedding.
      param_dtype: of stored parameters.
      compute_dtype: of matrix products; norms, softmax and log-probs are float32.
      remat: what the backward pass recomputes, a key of `REMAT`.
    """

    n_layers: int
    d_model: int
    d_ff: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_theta: float
    norm_eps: float
    tie_embeddings: bool
    param_dtype: str
    compute_dtype: str
    remat: str

    def check(self) -> None:
        """Raises `InputError`, naming the key, when no such decoder exists."""
        for key in ("n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads", "head_dim", "rope_theta", "norm_eps"):
            if getattr(self, key) <= 0:
                raise InputError(f"config.model.{key}: expected above 0, got {getattr(self, key)}")
        if self.n_heads % self.n_kv_heads:
            raise InputError(f"config.model.n_kv_heads: {self.n_kv_heads} does not divide n_heads = {self.n_heads}")
        if self.head_dim % 2:
            raise InputError(f"config.model.head_dim: rotary positions need an even number, got {self.head_dim}")
        for key, table in (("param_dtype", DTYPES), ("compute_dtype", DTYPES), ("remat", REMAT)):
            if getattr(self, key) not in table:
                raise InputError(f"config.model.{key}: expected one of {', '.join(table)}, got {getattr(self, key)!r}")

    @property
    def dtype(self) -> Any:
        """Dtype of matrix products."""
        return DTYPES[self.compute_dtype]


def rms_norm(x: Float[Array, "... D"], scale: Float[Array, " D"], eps: float) -> Float[Array, "... D"]:
    """`x / rms(x) * scale`, in float32, returned in the dtype of `x`."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + eps)
    return (wide * scale.astype(jnp.float32)).astype(x.dtype)


class Rotation(NamedTuple):
    """Cosine and sine of every token's rotary angles; made once a forward pass and used by every layer."""

    cos: Float[Array, "*B T half"]
    sin: Float[Array, "*B T half"]


def rotation(config: Qwen3Config, positions: Int[Array, "*B T"], length: int) -> Rotation:
    """Angles `position * theta^(-2i/H)` for i < H/2.

    Args:
      config: of the decoder.
      positions: of the tokens, from 0.
      length: bound of the positions; one row of angles is computed for each and then looked up.
    """
    half = config.head_dim // 2
    frequency = config.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequency
    return Rotation(jnp.cos(angle)[positions], jnp.sin(angle)[positions])


def rope(x: Float[Array, "*B T N H"], rotation: Rotation) -> Float[Array, "*B T N H"]:
    """Rotates the dimension pairs (i, i + H/2)."""
    half = x.shape[-1] // 2
    cos, sin = rotation.cos[..., None, :], rotation.sin[..., None, :]
    low, high = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1).astype(x.dtype)


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

    def norm_in(self, x: Float[Array, "*B T D"]) -> Float[Array, "*B T D"]:
        """The input of the query, key and value projections."""
        return rms_norm(x, self.attn_norm[...], self.config.norm_eps)

    def queries(self, normed: Float[Array, "*B T D"], rotation: Rotation) -> Float[Array, "*B T N H"]:
        """Rotated queries, scaled by `1/sqrt(H)`."""
        q = jnp.einsum("...TD,DNH->...TNH", normed, self.q[...].astype(normed.dtype))
        q = rms_norm(q, self.q_norm[...], self.config.norm_eps)
        return rope(q, rotation) * self.config.head_dim**-0.5

    def keys_values(
        self, normed: Float[Array, "*B T D"], rotation: Rotation
    ) -> tuple[Float[Array, "*B T K H"], Float[Array, "*B T K H"]]:
        """Rotated keys, and values."""
        k = jnp.einsum("...TD,DKH->...TKH", normed, self.k[...].astype(normed.dtype))
        v = jnp.einsum("...TD,DKH->...TKH", normed, self.v[...].astype(normed.dtype))
        return rope(rms_norm(k, self.k_norm[...], self.config.norm_eps), rotation), v

    def finish(self, x: Float[Array, "*B T D"], attended: Float[Array, "*B T N H"]) -> Float[Array, "*B T D"]:
        """Adds the attention's output and the feed-forward to the residual stream."""
        x = x + jnp.einsum("...TNH,NHD->...TD", attended, self.o[...].astype(x.dtype))
        normed = rms_norm(x, self.mlp_norm[...], self.config.norm_eps)
        gated = jax.nn.silu(normed @ self.gate[...].astype(x.dtype)) * (normed @ self.up[...].astype(x.dtype))
        return x + gated @ self.down[...].astype(x.dtype)


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
