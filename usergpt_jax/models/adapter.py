"""Low-rank terms as an adapter folder that the library PEFT loads on top of the base model."""

import json
import os
from typing import Any

import jax
import numpy as np

from usergpt_jax.core.errors import InputError
from usergpt_jax.core.new_folder import new_folder
from usergpt_jax.models import lora as lora_lib
from usergpt_jax.models import safetensors_folder
from usergpt_jax.models.lora import LoraConfig
from usergpt_jax.models.safetensors_folder import Spec
from usergpt_jax.models.weights import MODULES, gathered, stored_shape

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model.model.layers"


def save(folder: str | os.PathLike[str], params: dict[str, Any], config: LoraConfig, base: str) -> None:
    """Writes the low-rank terms of `params`; A becomes [r, in] and B [out, r].

    Args:
      folder: made anew.
      params: with low-rank terms.
      config: of the terms.
      base: path or name of the model that the terms belong to.

    Raises:
      InputError: `params` has no such terms, or the folder exists.
    """
    sources: dict[str, tuple[Any, int, int]] = {}
    for weight in config.targets:
        for name, part, n_in in zip(lora_lib.names(weight), "AB", (lora_lib.TARGETS[weight], 1), strict=True):
            if name not in params["layers"]:
                raise InputError(f"layers.{name}: the parameters have no such low-rank term")
            stacked = params["layers"][name]
            for layer in range(stacked.shape[0]):
                sources[f"{_PREFIX}.{layer}.{MODULES[weight]}.lora_{part}.weight"] = (stacked, layer, n_in)
    specs = {
        name: Spec(stored_shape(stacked.shape[1:], n_in), np.dtype(stacked.dtype))
        for name, (stacked, _, n_in) in sources.items()
    }
    with new_folder(folder) as partial:
        safetensors_folder.write(partial, specs, lambda name: gathered(*sources[name]), WEIGHTS)
        if jax.process_index() == 0:
            (partial / CONFIG).write_text(json.dumps(_fields(config, base), indent=2) + "\n", encoding="utf-8")


def _fields(config: LoraConfig, base: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(MODULES[weight].split(".")[-1] for weight in config.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
