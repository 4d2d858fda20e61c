"""Encoders of the BERT type, from token ids to one vector a text: functions over a nested dict of arrays.

Two layouts are known by the `model_type` of their Hugging Face config: "bert" (learned positions, plain feed-forward:
BERT, MiniLM, BGE, E5, the first GTE) and "gte" (rotary positions, gated feed-forward: GTE of 2024 in transformers' own
layout). Weights of linear maps keep the files' [out, in]; those of the layers are stacked on a first axis and scanned.
A text is one segment: its tokens are all of type 0.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models.rotary import Rotation, frequencies, rope

Params = dict[str, Any]

MODEL_TYPES = ("bert", "gte")
ACTIVATION = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Shape of the encoder; every number is above 0 but `n_types`, which may be 0 for "gte".

    Attributes:
      model_type: one of `MODEL_TYPES`.
      n_layers: number of blocks.
      d_model: width D.
      d_ff: width F of the feed-forward.
      n_heads: heads; divides `d_model`.
      vocab_size: ids.
      n_positions: longest text in tokens.
      n_types: token types in the files, of which the first is used.
      norm_eps: added to the variance in LayerNorm.
      activation: of the feed-forward, a key of `ACTIVATION`.
      rope_theta: base of the rotary frequencies; 0 for "bert".
    """

    model_type: str
    n_layers: int
    d_model: int
    d_ff: int
    n_heads: int
    vocab_size: int
    n_positions: int
    n_types: int
    norm_eps: float
    activation: str
    rope_theta: float

    @property
    def head_dim(self) -> int:
        """Width H of a head."""
        return self.d_model // self.n_heads


def layer_norm(x: Float[Array, "*B D"], norm: Params, eps: float) -> Float[Array, "*B D"]:
    """`(x - mean) / sqrt(variance + eps) * weight + bias` over the last axis."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    spread = jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + eps)
    return centred * spread * norm["weight"] + norm["bias"]


def hidden(
    params: Params, config: BertConfig, tokens: Int[Array, "B T"], mask: Bool[Array, "B T"]
) -> Float[Array, "B T D"]:
    """The last layer's output, in float32 and in products of full float32 on every device.

    Args:
      params: from `bert_folder.read_params`.
      config: of the encoder.
      tokens: ids, at most `config.n_positions` long.
      mask: whether a token is of the text; the others are seen by none, and their own output means nothing.
    """
    with jax.default_matmul_precision("float32"):
        x = params["words"][tokens]
        if config.n_types:
            x = x + params["types"][0]
        turn = None
        if config.model_type == "bert":
            x = x + params["positions"][: tokens.shape[1]]
        else:
            turn = _rotation(config, tokens.shape[1])
        x = layer_norm(x, params["norm"], config.norm_eps)

        def layer(x: Array, weights: Params) -> tuple[Array, None]:
            attended = _attention(x, weights["qkv"], config, mask, turn)
            x = layer_norm(x + _linear(attended, weights["out"]), weights["attn_norm"], config.norm_eps)
            x = layer_norm(x + _feed_forward(x, weights, config), weights["mlp_norm"], config.norm_eps)
            return x, None

        return jax.lax.scan(layer, x, params["layers"])[0]


def mean_pool(x: Float[Array, "B T D"], mask: Bool[Array, "B T"]) -> Float[Array, "B D"]:
    """Mean over a text's tokens; zeros for a text without any."""
    weight = mask[..., None].astype(x.dtype)
    return jnp.sum(x * weight, axis=1) / jnp.maximum(jnp.sum(weight, axis=1), 1.0)


def cls_pool(x: Float[Array, "B T D"], mask: Bool[Array, "B T"]) -> Float[Array, "B D"]:
    """The first token's vector."""
    return x[:, 0]


POOLING = {"mean": mean_pool, "cls": cls_pool}


def unit(x: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """Rows of length 1; a row of zeros stays."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _linear(x: Array, weights: Params) -> Array:
    out = jnp.einsum("...I,OI->...O", x, weights["weight"])
    return out + weights["bias"] if "bias" in weights else out


def _attention(
    x: Float[Array, "B T D"], qkv: Params, config: BertConfig, mask: Bool[Array, "B T"], turn: Rotation | None
) -> Float[Array, "B T D"]:
    """Every token attends to the tokens of its text."""
    B, T, D = x.shape
    q, k, v = (part.reshape(B, T, config.n_heads, config.head_dim) for part in jnp.split(_linear(x, qkv), 3, axis=-1))
    if turn is not None:
        q, k = rope(q, turn), rope(k, turn)
    scores = jnp.einsum("BTNH,BSNH->BNTS", q, k) * config.head_dim**-0.5
    weight = jax.nn.softmax(jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min), axis=-1)
    return jnp.einsum("BNTS,BSNH->BTNH", weight, v).reshape(B, T, D)


def _feed_forward(x: Float[Array, "B T D"], weights: Params, config: BertConfig) -> Float[Array, "B T D"]:
    act = ACTIVATION[config.activation]
    up = _linear(x, weights["up"])
    if config.model_type == "gte":
        up, gate = jnp.split(up, 2, axis=-1)
        return _linear(act(gate) * up, weights["down"])
    return _linear(act(up), weights["down"])


def _rotation(config: BertConfig, length: int) -> Rotation:
    """Angles `position * theta^(-2i/H)` for i < H/2, alike for all texts."""
    frequency = frequencies(config.rope_theta, config.head_dim, None)
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequency
    return Rotation(jnp.cos(angle), jnp.sin(angle))
