"""Shape and options of a Qwen3 decoder."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from usergpt_jax.core.errors import InputError
from usergpt_jax.models.linear import PRODUCT
from usergpt_jax.models.lora import LoraConfig
from usergpt_jax.models.rotary import RopeScaling

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

LAYER_INPUT = "layer_input"  # what a layer's backward pass starts from, by the name that policies know
REMAT = {
    "none": None,  # keep every intermediate
    "full": jax.checkpoint_policies.nothing_saveable,  # keep only each layer's input
    "offload": jax.checkpoint_policies.save_and_offload_only_these_names(  # keep it in the host's memory
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=[LAYER_INPUT],
        offload_src="device",
        offload_dst="pinned_host",
    ),
    "dots": jax.checkpoint_policies.save_only_these_names(PRODUCT),  # keep products with weights
}

ATTENTION = ("blockwise", "splash", "reference")


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
      compute_dtype: of operands of matrix products; norms, softmax and log-probs are float32. On TPU and GPU, float32
        operands of the layers are rounded as `jax_default_matmul_precision` says.
      remat: what the backward pass recomputes, a key of `REMAT`.
      attention: path of `tree_attention`, one of `ATTENTION`: for any device, for TPU, for tests.
      attention_bias: whether query, key, value and output projections have biases.
      rope_scaling: how rotary frequencies are stretched; None: not at all.
      lora: low-rank terms beside the weights, which alone are trained; None: none, all weights are trained.
      logits_dtype: of the operands of the head's matrix product, whose sums are float32; None: `compute_dtype`.
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
    attention: str = "blockwise"
    attention_bias: bool = False
    rope_scaling: RopeScaling | None = None
    lora: LoraConfig | None = None
    logits_dtype: str | None = None

    def check(self) -> None:
        """Raises `InputError`, naming the key, when no such decoder exists."""
        for key in ("n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads", "head_dim"):
            if not isinstance(value := getattr(self, key), int) or value < 1:
                raise InputError(f"config.model.{key}: expected a whole number above 0, got {value}")
        for key, least in (("norm_eps", 0), ("rope_theta", 1)):
            if not least < getattr(self, key) < math.inf:
                raise InputError(f"config.model.{key}: expected above {least} and finite, got {getattr(self, key)}")
        if self.n_heads % self.n_kv_heads:
            raise InputError(f"config.model.n_kv_heads: {self.n_kv_heads} does not divide n_heads = {self.n_heads}")
        if self.head_dim % 2:
            raise InputError(f"config.model.head_dim: rotary positions need an even number, got {self.head_dim}")
        for key, table in (
            ("param_dtype", DTYPES),
            ("compute_dtype", DTYPES),
            ("remat", REMAT),
            ("attention", ATTENTION),
        ):
            if getattr(self, key) not in table:
                raise InputError(f"config.model.{key}: expected one of {', '.join(table)}, got {getattr(self, key)!r}")
        if self.logits_dtype is not None and self.logits_dtype not in DTYPES:
            names = ", ".join(DTYPES)
            raise InputError(f"config.model.logits_dtype: expected one of {names} or None, got {self.logits_dtype!r}")
        for section in (self.rope_scaling, self.lora):
            if section is not None:
                section.check()

    @property
    def dtype(self) -> Any:
        """Dtype of matrix products."""
        return DTYPES[self.compute_dtype]

    @property
    def head_dtype(self) -> Any:
        """Dtype of the operands of the head's matrix product."""
        return DTYPES[self.logits_dtype or self.compute_dtype]


def check_device(config: Qwen3Config) -> None:
    """Raises `InputError` when the attention's path does not run on this machine's devices."""
    if for_inference(config) != config:
        raise InputError(
            f"config.model.attention: 'splash' runs on TPU alone, and this is a {jax.default_backend()}; "
            "expected 'blockwise', which computes the same"
        )


def for_inference(config: Qwen3Config) -> Qwen3Config:
    """The decoder with a path of attention that this machine has; which one it was trained with does not matter."""
    if config.attention == "splash" and jax.default_backend() != "tpu":
        return dataclasses.replace(config, attention="blockwise")
    return config


def from_card(card: Mapping[str, Any]) -> Qwen3Config:
    """The decoder that a model's card describes.

    Raises:
      TypeError: it describes none.
      InputError: it describes an impossible one; the message names the key.
    """
    scaling, lora = card.get("rope_scaling"), card.get("lora")
    config = Qwen3Config(
        **{
            **card,
            "rope_scaling": RopeScaling(**scaling) if scaling else None,
            "lora": LoraConfig(**{**lora, "targets": tuple(lora["targets"])}) if lora else None,
        }
    )
    config.check()
    return config
