"""A decoder's parameters from and to a Hugging Face folder.

    ours    layers.q  [L, D, N, H]                        one array, layers stacked
    theirs  model.layers.0.self_attn.q_proj.weight [N H, D]   one matrix a layer, output first

Each process reads only the rows and columns that its devices hold, a layer at a time, straight into the shard.
"""

import math
import os
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from usergpt_jax.core.errors import InputError
from usergpt_jax.models import lora as lora_lib
from usergpt_jax.models import qwen3, safetensors_folder
from usergpt_jax.models.qwen3_config import Qwen3Config
from usergpt_jax.models.safetensors_folder import Spec, Tensor

Params = dict[str, Any]
Index = tuple[slice, ...]

_HEAD = "lm_head.weight"
TOP = {"embed": "model.embed_tokens.weight", "final_norm": "model.norm.weight", "head": _HEAD}
MODULES = {
    **{name: f"self_attn.{name}_proj" for name in ("q", "k", "v", "o")},
    **{name: f"mlp.{name}_proj" for name in ("gate", "up", "down")},
}
_LAYER = {
    "attn_norm": "input_layernorm.weight",
    "mlp_norm": "post_attention_layernorm.weight",
    "q_norm": "self_attn.q_norm.weight",
    "k_norm": "self_attn.k_norm.weight",
    **{name: f"{module}.weight" for name, module in MODULES.items()},
    **{f"{name}_bias": f"{MODULES[name]}.bias" for name in ("q", "k", "v", "o")},
}


class Place(NamedTuple):
    """How one of our arrays is stored.

    Attributes:
      names: of the stored tensors, one a layer; one alone for an array that is not stacked.
      stacked: whether our array has a first axis of layers.
      n_in: input axes of ours, which become the columns; 0: a vector; None: stored as it is.
    """

    names: tuple[str, ...]
    stacked: bool
    n_in: int | None


def layout(params: Params) -> dict[tuple[str, ...], Place]:
    """The place of every parameter, by its path in the nested dict (of arrays or their shapes)."""
    places: dict[tuple[str, ...], Place] = {}
    for name in TOP:
        if name in params:
            places[(name,)] = Place((TOP[name],), False, 0 if name == "final_norm" else None)
    for name, leaf in params["layers"].items():
        names = tuple(f"model.layers.{layer}.{_LAYER[name]}" for layer in range(leaf.shape[0]))
        places["layers", name] = Place(names, True, lora_lib.TARGETS.get(name, 0))
    return places


def stored_shape(shape: tuple[int, ...], n_in: int | None) -> tuple[int, ...]:
    """Shape in the file of one layer of ours."""
    if n_in is None:
        return shape
    if n_in == 0:
        return (math.prod(shape),)
    return (math.prod(shape[n_in:]), math.prod(shape[:n_in]))


def to_stored(array: np.ndarray, n_in: int | None) -> np.ndarray:
    """One layer of ours as the file holds it: [*in, *out] as [out, in]."""
    stored = stored_shape(array.shape, n_in)
    return array.reshape(stored[::-1]).T if n_in else array.reshape(stored)


def from_stored(stored: np.ndarray, shape: tuple[int, ...], n_in: int | None) -> np.ndarray:
    """Undoes `to_stored`."""
    return (stored.T if n_in else stored).reshape(shape)


def stored_part(part: Index, shape: tuple[int, ...], n_in: int | None) -> Index:
    """Rows and columns in the file of a part of one layer of ours; only first axes of in and out may be cut."""
    if n_in is None:
        return part
    cut = [_span(part[:n_in], shape[:n_in])] if n_in else []
    return (_span(part[n_in:], shape[n_in:]), *cut)


def _span(part: Index, shape: tuple[int, ...]) -> slice:
    """The range of joined axes that `part` is."""
    assert all((cut.start, cut.stop) == (0, size) for cut, size in zip(part[1:], shape[1:], strict=True))
    stride = math.prod(shape[1:])
    return slice(part[0].start * stride, part[0].stop * stride)


def load(folder: str | os.PathLike[str], config: Qwen3Config, vocab_size: int, mesh: Mesh) -> Params:
    """Reads a folder's weights into arrays spread over `mesh`, in `config.param_dtype`.

    Args:
      folder: with safetensors.
      config: of the decoder; its low-rank terms are not read, see `lora.add`.
      vocab_size: rows of the embedding.
      mesh: the devices.

    Raises:
      InputError: the mesh does not divide a dimension; the files are broken, or pickled; or a tensor is missing,
        unknown or of another shape. Nothing has been read by then. While reading: a value is not finite.
    """
    folder = pathlib.Path(folder)
    qwen3.check_vocab(config, vocab_size)
    likes = qwen3.sharded_shapes(config, vocab_size, mesh)
    likes = lora_lib.split(likes)[1] or likes
    stored = safetensors_folder.tensors(folder)
    if config.n_layers > len(stored):  # before names are made for each
        raise InputError(f"{folder}: expected the tensors of {config.n_layers} layers, got {len(stored)} tensors")
    places = layout(likes)
    _check(folder, stored, places, likes)
    if config.tie_embeddings and _HEAD in stored:
        _check_tied(stored[_HEAD], stored[TOP["embed"]])
    params: Params = {"layers": {}}
    for path, place in places.items():
        like = _leaf(likes, path)
        inner = params if len(path) == 1 else params[path[0]]
        inner[path[-1]] = _read(stored, place, like)
    return params


def _leaf(params: Params, path: tuple[str, ...]) -> Any:
    for key in path:
        params = params[key]
    return params


def _check(
    folder: pathlib.Path, stored: dict[str, Tensor], places: dict[tuple[str, ...], Place], likes: Params
) -> None:
    """Compares names and shapes of the files with those of the model."""
    expected: dict[str, tuple[int, ...]] = {}
    for path, place in places.items():
        shape = _leaf(likes, path).shape[int(place.stacked) :]
        expected |= dict.fromkeys(place.names, stored_shape(shape, place.n_in))
    extra = stored.keys() - expected.keys() - ({_HEAD} if "head" not in likes else set())
    for name, shape in expected.items():
        if name not in stored:
            raise InputError(f"{folder}: tensor {name} is missing; expected shape {list(shape)}")
        if stored[name].shape != shape:
            path = stored[name].path
            raise InputError(f"{path}: tensor {name}: expected shape {list(shape)}, got {list(stored[name].shape)}")
    if extra:
        name = sorted(extra)[0]
        raise InputError(f"{stored[name].path}: tensor {name} is no part of the model that the config describes")


def _check_tied(head: Tensor, embed: Tensor, rows: int = 8192) -> None:
    """Refuses a stored head that differs from the embedding which the config says it is."""
    same = head.shape == embed.shape
    for start in range(0, embed.shape[0] if same else 0, rows):
        part = (slice(start, min(start + rows, embed.shape[0])), slice(0, embed.shape[1]))
        same = same and np.array_equal(head.read(part), embed.read(part))
    if not same:
        raise InputError(
            f"{head.path}: tensor {_HEAD} differs from {TOP['embed']}, yet the config says tie_word_embeddings"
        )


def _read(stored: dict[str, Tensor], place: Place, like: jax.ShapeDtypeStruct) -> jax.Array:
    """One of our arrays, each shard from the ranges of bytes that it needs."""
    read: dict[tuple[tuple[int, int], ...], np.ndarray] = {}  # shards that several devices hold are read once

    def shard(index: Index | None) -> np.ndarray:
        bounds = tuple(cut.indices(size)[:2] for cut, size in zip(index or (), like.shape, strict=True))
        if bounds not in read:
            read[bounds] = _read_shard(stored, place, like, tuple(slice(*bound) for bound in bounds))
        return read[bounds]

    return jax.make_array_from_callback(like.shape, like.sharding, shard)


def _read_shard(stored: dict[str, Tensor], place: Place, like: jax.ShapeDtypeStruct, index: Index) -> np.ndarray:
    part, shape = index[int(place.stacked) :], like.shape[int(place.stacked) :]
    cut = stored_part(part, shape, place.n_in)
    inner = tuple(one.stop - one.start for one in part)
    names = place.names[index[0]] if place.stacked else place.names
    values = np.empty((len(names), *inner), like.dtype)
    for row, name in enumerate(names):
        values[row] = from_stored(stored[name].read(cut), inner, place.n_in)
    return values if place.stacked else values[0]


def save(folder: pathlib.Path, params: Params, max_shard_bytes: int) -> None:
    """Writes parameters without low-rank terms as sharded safetensors; gathers one layer of one weight at a time.

    Of several processes, all call it and the first one writes.

    Args:
      folder: exists.
      params: on any mesh.
      max_shard_bytes: of the values in one file; a larger tensor gets a file of its own.

    Raises:
      InputError: there are low-rank terms, which `lora.merge` would add to the weights. While writing: a value is not
        finite.
    """
    if lora_lib.split(params)[1]:
        raise InputError(f"{folder}: expected weights alone, got low-rank terms beside them; merge them first")
    sources = {
        name: (_leaf(params, path), row if place.stacked else None, place.n_in)
        for path, place in layout(params).items()
        for row, name in enumerate(place.names)
    }
    specs = {name: _spec(*sources[name]) for name in sorted(sources, key=_file_order)}
    safetensors_folder.write(folder, specs, lambda name: gathered(*sources[name]), max_shard_bytes=max_shard_bytes)


def _spec(array: Any, row: int | None, n_in: int | None) -> Spec:
    shape = array.shape if row is None else array.shape[1:]
    return Spec(stored_shape(shape, n_in), np.dtype(array.dtype))


def gathered(array: Any, row: int | None, n_in: int | None) -> np.ndarray:
    """One stored tensor on the host: layer `row` of a stacked array, or an array that is not stacked."""
    one = array if row is None else array[row]
    whole = isinstance(one, np.ndarray) or one.is_fully_addressable
    return to_stored(np.asarray(one if whole else multihost_utils.process_allgather(one, tiled=True)), n_in)


def _file_order(name: str) -> tuple[int, int, str]:
    """Embedding, layers by number, norm, head: a layer's tensors stay together in a file."""
    layer = int(name.split(".")[2]) if name.startswith("model.layers.") else -1
    rank = 0 if name == TOP["embed"] else 1 if layer >= 0 else 2
    return rank, layer, name
