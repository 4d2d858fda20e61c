"""`config.json` and `generation_config.json` of a Hugging Face folder with a dense Qwen3 decoder, read and written.

A field is read, or must have the one value that this decoder computes, or is listed as without effect on the forward
pass. Any other field stops with its name, because it may change the arithmetic.
"""

import json
import math
import os
import pathlib
from typing import Any, NamedTuple

from usergpt_jax.core.errors import InputError
from usergpt_jax.models.qwen3_config import Qwen3Config
from usergpt_jax.models.rotary import RopeScaling, default_attention_factor

CONFIG, GENERATION = "config.json", "generation_config.json"
CARD_KEY = "huggingface"  # of a trained model's card: path, max_positions and generation of the folder it began from
ARCHITECTURE, MODEL_TYPE = "Qwen3ForCausalLM", "qwen3"

# Ours -> theirs; every one must be there.
_SIZES = {
    "n_layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "d_ff": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
}
# Fields that change the arithmetic, and the values at which they do not.
_FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "use_sliding_window": (False,),
    "attention_dropout": (0,),
    "use_mrope": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "chunk_size_feed_forward": (0,),
    "partial_rotary_factor": (1,),
    "pruned_heads": ({},),
}
# Fields of any model's config without effect on its output: bookkeeping, sampling defaults, ids.
BOOKKEEPING = frozenset(
    (
        *(
            "_name_or_path",
            "name_or_path",
            "architectures",
            "model_type",
            "transformers_version",
            "torch_dtype",
            "dtype",
        ),
        *("torch_dtype", "initializer_range", "use_cache", "output_attentions", "output_hidden_states", "return_dict"),
        *("return_dict_in_generate", "torchscript", "id2label", "label2id", "num_labels", "_num_labels"),
        *("problem_type", "task_specific_params", "finetuning_task", "tokenizer_class", "prefix"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id"),
        *("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "max_length", "max_new_tokens"),
        *("_attn_implementation", "_attn_implementation_autoset"),
    )
)
# What only a sliding window reads, and names of who made the folder.
_HARMLESS = BOOKKEEPING | frozenset(
    ("sliding_window", "max_window_layers", "layer_types", "is_decoder", "unsloth_version", "unsloth_fixed")
)
_READ = frozenset(
    (
        *(*_SIZES.values(), "vocab_size", "rms_norm_eps", "tie_word_embeddings", "attention_bias"),
        *("rope_theta", "rope_scaling", "rope_parameters", "max_position_embeddings"),
    )
)
_ROPE_READ = frozenset(
    (
        *("type", "rope_type", "rope_theta", "factor", "original_max_position_embeddings", "beta_fast", "beta_slow"),
        *("truncate", "attention_factor", "mscale", "mscale_all_dim", "partial_rotary_factor"),
    )
)
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_DEFAULT_THETA = 10_000.0


class HfModel(NamedTuple):
    """What a folder says about its model, beside the weights.

    Attributes:
      config: of the decoder.
      vocab_size: rows of the embedding; may be more than the tokenizer has ids.
      max_positions: longest sequence that the model is meant for.
      generation: content of `generation_config.json`, or the token ids that `config.json` names.
    """

    config: Qwen3Config
    vocab_size: int
    max_positions: int
    generation: dict[str, Any]


def read(folder: str | os.PathLike[str], *, param_dtype: str, compute_dtype: str, remat: str) -> HfModel:
    """The decoder in a local folder.

    Args:
      folder: holds `config.json`.
      param_dtype: the weights will have, whatever they are stored in.
      compute_dtype: of matrix products.
      remat: what the backward pass recomputes.

    Raises:
      InputError: the file is missing or broken, of another architecture, or has a field that this decoder does not
        compute; the message names the field.
    """
    path = pathlib.Path(folder) / CONFIG
    if not path.parent.is_dir():
        raise InputError(f"{folder}: no such folder")
    data = read_json(path)
    _check_fields(path, data)
    sizes = {ours: _number(path, data, theirs, int) for ours, theirs in _SIZES.items()}
    max_positions = _number(path, data, "max_position_embeddings", int)
    theta, scaling = _rope(path, data, max_positions)
    _check_layer_types(path, data, sizes["n_layers"])
    config = Qwen3Config(
        **sizes,
        rope_theta=theta,
        norm_eps=_number(path, data, "rms_norm_eps", float),
        tie_embeddings=_flag(path, data, "tie_word_embeddings", None),
        param_dtype=param_dtype,
        compute_dtype=compute_dtype,
        remat=remat,
        attention_bias=_flag(path, data, "attention_bias", False),
        rope_scaling=scaling,
    )
    try:
        config.check()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    generation_path = path.with_name(GENERATION)
    ids = {key: data[key] for key in _IDS if data.get(key) is not None}
    generation = read_json(generation_path) if generation_path.exists() else ids
    return HfModel(config, _number(path, data, "vocab_size", int), max_positions, generation)


def write(folder: pathlib.Path, model: HfModel, dtype: str) -> None:
    """Writes both files, in the spelling that transformers 4 and 5 and vLLM read.

    Args:
      folder: exists.
      model: without low-rank terms.
      dtype: of the stored weights, e.g. "bfloat16".

    Raises:
      InputError: the model has low-rank terms, which the format cannot hold.
    """
    config = model.config
    if config.lora is not None:
        raise InputError("config.model.lora: a Hugging Face folder holds plain weights; merge the low-rank terms first")
    data: dict[str, Any] = {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
        "vocab_size": model.vocab_size,
        "max_position_embeddings": model.max_positions,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": _scaling_fields(config.rope_scaling),
        "tie_word_embeddings": config.tie_embeddings,
        "attention_bias": config.attention_bias,
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": config.n_layers,
        "initializer_range": 0.02,
        "use_cache": True,
        "torch_dtype": dtype,
        **{key: _first(model.generation[key]) for key in _IDS if key in model.generation},
    }
    for name, content in ((CONFIG, data), (GENERATION, model.generation)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
      InputError: the file is missing, or holds no JSON object.
    """
    data = parse_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def parse_json(path: pathlib.Path) -> Any:
    """What a JSON file holds.

    Raises:
      InputError: the file is missing, or holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _check_fields(path: pathlib.Path, data: dict[str, Any]) -> None:
    """Refuses another architecture, and any field that this decoder neither computes nor may ignore."""
    if data.get("model_type") != MODEL_TYPE:
        raise InputError(f"{path}: model_type: expected {MODEL_TYPE!r}, got {data.get('model_type')!r}")
    if (architectures := data.get("architectures")) not in (None, [ARCHITECTURE]):
        raise InputError(f"{path}: architectures: expected [{ARCHITECTURE!r}], got {architectures!r}")
    for key, value in data.items():
        if key in _FIXED:
            if value is not None and value not in _FIXED[key]:
                raise InputError(
                    f"{path}: {key}: expected {_FIXED[key][0]!r}, got {value!r}; other values are not built"
                )
        elif key not in _HARMLESS | _READ and value is not None:
            raise InputError(f"{path}: {key}: this field may change what the model computes, and is not known here")


def _check_layer_types(path: pathlib.Path, data: dict[str, Any], n_layers: int) -> None:
    kinds = data.get("layer_types")
    if kinds is not None and kinds != ["full_attention"] * n_layers:
        got = f"{len(kinds)} of {sorted(map(str, set(kinds)))}" if isinstance(kinds, list) else repr(kinds)
        raise InputError(f"{path}: layer_types: expected {n_layers} times 'full_attention', got {got}")


def _number(path: pathlib.Path, data: dict[str, Any], key: str, kind: type, default: Any = None) -> Any:
    """A finite number above 0, as `kind`; `default` where the field is null or missing."""
    value = data.get(key)
    value = default if value is None else value
    types = (int,) if kind is int else (int, float)
    if not isinstance(value, types) or isinstance(value, bool) or not 0 < value < math.inf:
        what = "a whole number" if kind is int else "a number"
        raise InputError(f"{path}: {key}: expected {what} above 0, got {value!r}")
    return kind(value)


def _flag(path: pathlib.Path, data: dict[str, Any], key: str, default: bool | None) -> bool:
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise InputError(f"{path}: {key}: expected true or false, got {value!r}")
    return value


def _rope(path: pathlib.Path, data: dict[str, Any], max_positions: int) -> tuple[float, RopeScaling | None]:
    """Base and scaling of the frequencies, from `rope_parameters` or the older `rope_theta` and `rope_scaling`."""
    sections = {key: data[key] for key in ("rope_parameters", "rope_scaling") if data.get(key)}
    if len(sections) == 2:
        raise InputError(f"{path}: expected rope_parameters or the older rope_scaling, got both")
    name, fields = next(iter(sections.items()), ("rope_parameters", {}))
    if not isinstance(fields, dict):
        raise InputError(f"{path}: {name}: expected an object, got {fields!r}")
    if unknown := [key for key in fields if key not in _ROPE_READ and fields[key] is not None]:
        raise InputError(f"{path}: {name}.{unknown[0]}: this field is not known here")
    if fields.get("partial_rotary_factor") not in (None, 1):
        raise InputError(f"{path}: {name}.partial_rotary_factor: expected 1, got {fields['partial_rotary_factor']!r}")
    bases = {_number(path, part, "rope_theta", float) for part in (data, fields) if part.get("rope_theta") is not None}
    if len(bases) > 1:
        raise InputError(f"{path}: rope_theta: {data['rope_theta']} outside {name}, {fields['rope_theta']} inside")
    theta = next(iter(bases), _DEFAULT_THETA)
    kind = fields.get("rope_type", fields.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind not in ("linear", "yarn"):
        raise InputError(f"{path}: {name}.rope_type: expected default, linear or yarn, got {kind!r}")
    original = _number(path, fields, "original_max_position_embeddings", int, max_positions)
    factor = _number(path, fields, "factor", float, max_positions / original if kind == "yarn" else None)
    return theta, RopeScaling(
        kind=kind,
        factor=factor,
        original_positions=original,
        beta_fast=_number(path, fields, "beta_fast", float, 32),
        beta_slow=_number(path, fields, "beta_slow", float, 1),
        truncate=_flag(path, fields, "truncate", True),
        attention_factor=_attention_factor(path, fields, factor) if kind == "yarn" else 1.0,
    )


def _attention_factor(path: pathlib.Path, fields: dict[str, Any], factor: float) -> float:
    """As stated, or from `mscale` and `mscale_all_dim`, or YaRN's own."""
    if fields.get("attention_factor") is not None:
        return _number(path, fields, "attention_factor", float)
    if fields.get("mscale") and fields.get("mscale_all_dim"):
        above, below = (_number(path, fields, key, float) for key in ("mscale", "mscale_all_dim"))
        return default_attention_factor(factor, above) / default_attention_factor(factor, below)
    return default_attention_factor(factor)


def _scaling_fields(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None:
        return None
    fields: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "yarn":
        fields["original_max_position_embeddings"] = scaling.original_positions
        fields |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
        if not scaling.truncate:
            fields["truncate"] = False
        if scaling.attention_factor != default_attention_factor(scaling.factor):
            fields["attention_factor"] = scaling.attention_factor
    elif scaling.attention_factor != 1:
        raise InputError("config.model.rope_scaling.attention_factor: the format has none for 'linear'; expected 1")
    return fields
