"""Sharded safetensors in a local folder: what tensors there are, reading a part of one, and writing in order.

A folder holds `model.safetensors`, or several shards and `model.safetensors.index.json` that says which tensor is in
which. Pickled weights are never opened.
"""

import collections
import json
import math
import pathlib
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from usergpt_jax.core.errors import InputError
from usergpt_jax.models.hf_config import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.ckpt", "*.pkl")
DTYPES = {"F32": np.dtype("float32"), "F16": np.dtype("float16"), "BF16": np.dtype(jnp.bfloat16)}
_CODES = {dtype: code for code, dtype in DTYPES.items()}


class Tensor(NamedTuple):
    """Where a tensor is, and what it is."""

    path: pathlib.Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, part: tuple[slice, ...]) -> np.ndarray:
        """The values in `part`, a range along each dimension; only their bytes are read.

        The file is opened anew each time, so that no page of it stays mapped.

        Raises:
          InputError: the file is broken or gone, or a value is not finite.
        """
        try:
            with safe_open(self.path, "np") as file:
                values = file.get_slice(self.name)[part]
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.path}: {self.name}: cannot be read: {error}") from None
        return _finite(values, self.path, self.name)


def _finite(values: np.ndarray, path: pathlib.Path, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name}: holds NaN or infinity")
    return values


def tensors(folder: pathlib.Path) -> dict[str, Tensor]:
    """Every tensor of a folder, by name; no value is read.

    Raises:
      InputError: there are no weights, only pickled ones, or both a single file and an index; the index or a shard is
        missing or broken; or the two disagree.
    """
    index, single = folder / INDEX, folder / SINGLE
    if index.exists() and single.exists():
        raise InputError(f"{folder}: expected {SINGLE} or {INDEX}, got both, which may hold different weights")
    if index.exists():
        return _of_index(index)
    if single.exists():
        return _of_shard(single)
    if pickles := sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern)):
        raise InputError(
            f"{folder / pickles[0]}: pickled weights are never loaded, because a pickle can run any program; "
            f"expected {SINGLE}"
        )
    raise InputError(f"{folder}: no weights here; expected {SINGLE} or {INDEX}")


def _of_index(index: pathlib.Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        raise InputError(f"{index}: weight_map: expected an object of tensor names and file names")
    found: dict[str, Tensor] = {}
    for shard in sorted(set(places.values())):
        if pathlib.PurePath(shard).name != shard or not shard.endswith(".safetensors"):
            raise InputError(f"{index}: weight_map: expected names of safetensors files in this folder, got {shard!r}")
        path = index.with_name(shard)
        if not path.exists():
            raise InputError(f"{path}: no such file, yet {INDEX} names it")
        here = _of_shard(path)
        named = {name for name, place in places.items() if place == shard}
        if missing := sorted(named - here.keys()):
            raise InputError(f"{path}: tensor {missing[0]} is not here, yet {INDEX} says so")
        if unnamed := sorted(here.keys() - named):
            raise InputError(f"{path}: tensor {unnamed[0]} is not in {INDEX}, or elsewhere there")
        found |= here
    return found


def _of_shard(path: pathlib.Path) -> dict[str, Tensor]:
    found = {}
    try:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 (a handle, not a dict)
                part = file.get_slice(name)
                if part.get_dtype() not in DTYPES:
                    expected = ", ".join(DTYPES)
                    raise InputError(f"{path}: {name}: expected dtype {expected}, got {part.get_dtype()}")
                found[name] = Tensor(path, name, tuple(part.get_shape()), DTYPES[part.get_dtype()])
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no whole safetensors file; cut short or of another format? ({error})") from None
    return found


class Spec(NamedTuple):
    """Shape and dtype of a tensor to be written."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def plan(specs: Mapping[str, Spec], max_shard_bytes: int) -> list[list[str]]:
    """Names of the tensors of each shard, in order; a tensor above the limit gets a shard of its own."""
    shards: list[list[str]] = []
    left = 0
    for name, spec in specs.items():
        if not shards or spec.size_bytes > left:
            shards.append([])
            left = max_shard_bytes
        shards[-1].append(name)
        left -= spec.size_bytes
    return shards


def write(
    folder: pathlib.Path,
    specs: Mapping[str, Spec],
    values: Callable[[str], np.ndarray],
    single: str = SINGLE,
    max_shard_bytes: int = sys.maxsize,
) -> None:
    """Writes tensors in shards, with an index where there are several; one tensor is in memory at a time.

    Of several processes, all make the values and the first one writes.

    Args:
      folder: exists.
      specs: of every tensor, in the order of writing.
      values: makes the values of one; asked for each name once, in order.
      single: name of the file where one is enough.
      max_shard_bytes: of the values in one file; a larger tensor gets a file of its own.

    Raises:
      InputError: a value is not finite; what was written before it stays.
    """
    first = jax.process_index() == 0
    shards = plan(specs, max_shard_bytes)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        shard = single if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        places |= dict.fromkeys(names, shard)
        arrays = (_finite(values(name), folder / shard, name) for name in names)
        if first:
            _write_shard(folder / shard, {name: specs[name] for name in names}, arrays)
        else:
            collections.deque(arrays, maxlen=0)
    if first and len(shards) > 1:
        total = sum(spec.size_bytes for spec in specs.values())
        index: dict[str, Any] = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_shard(path: pathlib.Path, specs: Mapping[str, Spec], arrays: Iterator[np.ndarray]) -> None:
    """One safetensors file: length of the header (8 bytes), the header as JSON, the values one after the other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers refuses a file that names no framework
    end = 0
    for name, spec in specs.items():
        start, end = end, end + spec.size_bytes
        header[name] = {"dtype": _CODES[spec.dtype], "shape": list(spec.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # values begin at a multiple of 8 bytes
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for spec, array in zip(specs.values(), arrays, strict=True):
            assert (array.shape, array.dtype) == spec, (array.shape, array.dtype, spec)
            np.ascontiguousarray(array).view(np.uint8).tofile(file)
