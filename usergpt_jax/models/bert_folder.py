"""A Hugging Face folder of a BERT-type encoder: its config and its weights.

A field of the config is read, or must have the one value that this encoder computes, or is known to be without effect;
any other stops with its name. Pickled weights are never opened.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from usergpt_jax.core.errors import InputError
from usergpt_jax.models.bert import ACTIVATION, MODEL_TYPES, BertConfig, Params
from usergpt_jax.models.hf_config import BOOKKEEPING, read_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt")
_SHARDS = "model.safetensors.index.json"
_PREFIXES = ("bert.", "gte.", "new.")  # of an encoder saved within a larger model
_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids", "rotary_emb.", "embeddings.token_type_ids")
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # of the oldest files
# Name of a layer's parameter to its linear maps or norms in the file, joined on the first axis.
_LAYER = {
    "bert": {
        "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "out": ("attention.output.dense",),
        "attn_norm": ("attention.output.LayerNorm",),
        "up": ("intermediate.dense",),
        "down": ("output.dense",),
        "mlp_norm": ("output.LayerNorm",),
    },
    "gte": {
        "qkv": ("attention.qkv_proj",),
        "out": ("attention.o_proj",),
        "attn_norm": ("attn_ln",),
        "up": ("mlp.up_gate_proj",),
        "down": ("mlp.down_proj",),
        "mlp_norm": ("mlp_ln",),
    },
}
_DTYPES = ("F32", "BF16", "F16", "F64")
_READ = frozenset(
    (
        *("model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"),
        *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act", "head_dim"),
    )
)
_ROPE_READ = frozenset(("rope_theta", "rope_parameters", "rope_scaling"))  # of "gte"
# Fields that change the result, and the value at which they do not.
_FIXED: dict[str, Any] = {
    **{"is_decoder": False, "add_cross_attention": False, "is_encoder_decoder": False, "pruned_heads": {}},
    **{"layer_norm_type": "layer_norm", "logn_attention_scale": False, "pack_qkv": True},
}
_POSITIONS = {"bert": "absolute", "gte": "rope"}
_HARMLESS = BOOKKEEPING | frozenset(
    (
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "gradient_checkpointing"),
        *("chunk_size_feed_forward", "tie_word_embeddings", "directionality", "output_past"),
        *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"),
        *("pooler_type", "unpad_inputs", "use_memory_efficient_attention", "logn_attention_clip1"),
    )
)


def read_config(folder: pathlib.Path) -> BertConfig:
    """The encoder's shape by `config.json`.

    Raises:
      InputError: another kind of model, or a field missing, out of range or not supported.
    """
    path = folder / CONFIG
    found = read_json(path)
    model_type = found.get("model_type")
    if model_type not in MODEL_TYPES:
        raise InputError(f"{path}: model_type: expected one of {', '.join(MODEL_TYPES)}, got {model_type!r}")
    fixed = _FIXED | {"position_embedding_type": _POSITIONS[model_type]}
    for key, expected in fixed.items():
        if found.get(key, expected) != expected:
            raise InputError(f"{path}: {key}: expected {json.dumps(expected)}, got {found[key]!r}")
    known = _READ | _HARMLESS | fixed.keys() | (_ROPE_READ if model_type == "gte" else frozenset())
    if unknown := [key for key in found if key not in known and found[key] is not None]:
        raise InputError(f"{path}: {unknown[0]}: this field is not known here, and may change the result")
    config = BertConfig(
        model_type=model_type,
        n_layers=number(path, found, "num_hidden_layers", int, 1),
        d_model=number(path, found, "hidden_size", int, 1),
        d_ff=number(path, found, "intermediate_size", int, 1),
        n_heads=number(path, found, "num_attention_heads", int, 1),
        vocab_size=number(path, found, "vocab_size", int, 1),
        n_positions=number(path, found, "max_position_embeddings", int, 1),
        n_types=number(path, found, "type_vocab_size", int, 0 if model_type == "gte" else 1),
        norm_eps=number(path, found, "layer_norm_eps", float, 0),
        activation=choice(path, found, "hidden_act", tuple(ACTIVATION)),
        rope_theta=_rope_theta(path, found) if model_type == "gte" else 0.0,
    )
    if config.d_model % config.n_heads:
        raise InputError(f"{path}: num_attention_heads: {config.n_heads} does not divide hidden_size {config.d_model}")
    if found.get("head_dim") not in (None, config.head_dim):
        raise InputError(f"{path}: head_dim: expected hidden_size / num_attention_heads, got {found['head_dim']!r}")
    if config.rope_theta and config.head_dim % 2:
        raise InputError(f"{path}: num_attention_heads: rotary positions need an even head, got {config.head_dim} wide")
    return config


def read_params(folder: pathlib.Path, config: BertConfig) -> Params:
    """The encoder's weights in float32, those of the layers stacked on a first axis.

    Raises:
      InputError: the file is missing, damaged or pickled, or a tensor is missing, misshapen, unknown or not finite.
    """
    path = _weights_file(folder)
    tensors = _read_tensors(path)
    if config.n_layers > len(tensors):  # before names are made for each
        raise InputError(f"{path}: expected the tensors of {config.n_layers} layers, got {len(tensors)} tensors")
    shapes = {f"encoder.layer.{i}.{name}": s for i in range(config.n_layers) for name, s in _layer_shapes(config)}
    shapes |= _embedding_shapes(config)
    if missing := sorted(shapes.keys() - tensors.keys()):
        raise InputError(f"{path}: tensor {missing[0]!r} is missing{_and_more(missing)}")
    unknown = sorted(name for name in tensors.keys() - shapes.keys() if not name.startswith(_UNUSED))
    if unknown:
        raise InputError(f"{path}: unexpected tensor {unknown[0]!r}{_and_more(unknown)}; {CONFIG} describes no such")
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise InputError(f"{path}: {name}: expected shape {list(shape)}, got {list(tensors[name].shape)}")
        if not np.isfinite(tensors[name]).all():
            raise InputError(f"{path}: {name}: expected finite numbers, got NaN or infinity")
    return _assembled(config, tensors)


def number(path: pathlib.Path, found: Mapping[str, Any], key: str, kind: type, least: int) -> Any:
    """A number of at least `least`; `InputError`, naming the key, if it is none."""
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float) or not value >= least:
        what = "a whole number" if kind is int else "a number"
        raise InputError(f"{path}: {key}: expected {what} of at least {least}, got {value!r}")
    return kind(value)


def choice(path: pathlib.Path, found: Mapping[str, Any], key: str, known: Sequence[str]) -> str:
    """One of `known`; `InputError`, naming the key, if it is none."""
    value = found.get(key)
    if value not in known:
        raise InputError(f"{path}: {key}: expected one of {', '.join(known)}, got {value!r}")
    return str(value)


def _rope_theta(path: pathlib.Path, found: Mapping[str, Any]) -> float:
    """The base of plain rotary frequencies; scaled ones are refused."""
    rope = found.get("rope_parameters") or found.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise InputError(f"{path}: rope_parameters: expected an object, got {rope!r}")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise InputError(f"{path}: rope_parameters: expected rope_type 'default' over the whole head, got {rope!r}")
    theta = number(path, {"rope_theta": rope.get("rope_theta", found.get("rope_theta"))}, "rope_theta", float, 1)
    return float(theta)


def _weights_file(folder: pathlib.Path) -> pathlib.Path:
    path = folder / WEIGHTS
    if path.exists():
        return path
    if (folder / _SHARDS).exists():
        raise InputError(f"{folder / _SHARDS}: sharded weights; expected one {WEIGHTS}")
    if pickles := [name for name in _PICKLES if (folder / name).exists()]:
        raise InputError(f"{folder / pickles[0]}: pickled weights are never loaded; expected {WEIGHTS} beside it")
    raise InputError(f"{path}: no such file")


def _read_tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Every tensor of a file in float32, by its name without the prefix of a larger model."""
    found: dict[str, np.ndarray] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118, the file is no mapping
                short = _short(name)
                if short.startswith(_UNUSED):
                    continue
                if (dtype := file.get_slice(name).get_dtype()) not in _DTYPES:
                    raise InputError(f"{path}: {name}: expected one of {', '.join(_DTYPES)}, got {dtype}")
                if short in found:
                    raise InputError(f"{path}: tensor {short!r} stands twice, once as {name!r}")
                found[short] = np.asarray(file.get_tensor(name)).astype(np.float32)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: damaged or cut off, expected safetensors: {reason}") from None
    return found


def _short(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for old, new in _RENAMED.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name


def _embedding_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    D = config.d_model
    shapes: dict[str, tuple[int, ...]] = {"embeddings.word_embeddings.weight": (config.vocab_size, D)}
    if config.model_type == "bert":
        shapes["embeddings.position_embeddings.weight"] = (config.n_positions, D)
    if config.n_types:
        shapes["embeddings.token_type_embeddings.weight"] = (config.n_types, D)
    return {**shapes, "embeddings.LayerNorm.weight": (D,), "embeddings.LayerNorm.bias": (D,)}


def _layer_shapes(config: BertConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Name within a layer and shape of each of its tensors."""
    D, F = config.d_model, config.d_ff
    widths = {"qkv": (3 * D, D), "out": (D, D), "up": (F, D), "down": (D, F), "attn_norm": (D,), "mlp_norm": (D,)}
    if config.model_type == "gte":
        widths["up"] = (2 * F, D)
    shapes: list[tuple[str, tuple[int, ...]]] = []
    for key, names in _LAYER[config.model_type].items():
        out, *rest = widths[key]
        for name in names:
            shapes.append((f"{name}.weight", (out // len(names), *rest)))
            if _has_bias(config, key):
                shapes.append((f"{name}.bias", (out // len(names),)))
    return shapes


def _has_bias(config: BertConfig, key: str) -> bool:
    return not (config.model_type == "gte" and key == "up")


def _assembled(config: BertConfig, tensors: Mapping[str, np.ndarray]) -> Params:
    def stacked(names: Sequence[str], part: str) -> jnp.ndarray:
        layers = range(config.n_layers)
        rows = [np.concatenate([tensors[f"encoder.layer.{i}.{name}.{part}"] for name in names]) for i in layers]
        return jnp.asarray(np.stack(rows))

    layers = {
        key: {part: stacked(names, part) for part in ("weight", "bias") if part == "weight" or _has_bias(config, key)}
        for key, names in _LAYER[config.model_type].items()
    }
    tables = {"words": "word_embeddings", "positions": "position_embeddings", "types": "token_type_embeddings"}
    names = {key: f"embeddings.{name}.weight" for key, name in tables.items()}
    return {
        **{key: jnp.asarray(tensors[name]) for key, name in names.items() if name in tensors},
        "norm": {part: jnp.asarray(tensors[f"embeddings.LayerNorm.{part}"]) for part in ("weight", "bias")},
        "layers": layers,
    }


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
