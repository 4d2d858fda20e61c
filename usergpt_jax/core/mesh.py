"""The device mesh and the one table that maps logical axis names onto it.

Arrays name their dimensions by what they hold ("embed", "heads", "batch"); `RULES` says over which mesh axes such a
dimension is split. Axes: `data` copies parameters, `fsdp` splits parameters and batch, `tensor` splits heads,
feed-forward and vocabulary, `context` splits sequences.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from usergpt_jax.core.errors import InputError

AXES = ("data", "fsdp", "tensor", "context")

RULES: dict[str, tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "sequence": ("context",),
    "tokens": ("data", "fsdp", "context"),
    "layers": (),
    "vocab": ("tensor",),
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "head_dim": (),
    "mlp": ("tensor",),
    "norm": (),
    "rank": (),
}

Axes = Sequence[str | None]  # logical names, one a dimension; None: not split


class MeshError(InputError):
    """A mesh does not fit the devices or an array."""


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; their product is the number of devices used."""

    data: int
    fsdp: int
    tensor: int
    context: int


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh over the first devices; use it with `jax.set_mesh`.

    Args:
      config: size of each axis, at least 1.
      devices: defaults to all devices of all hosts.

    Raises:
      MeshError: an axis is below 1, there are fewer devices than the mesh needs, or they are no block of the pod.
    """
    sizes = tuple(getattr(config, axis) for axis in AXES)
    for axis, size in zip(AXES, sizes, strict=True):
        if size < 1:
            raise MeshError(f"config.mesh.{axis}: expected at least 1, got {size}")
    devices = jax.devices() if devices is None else devices
    needed = math.prod(sizes)
    if needed > len(devices):
        raise MeshError(f"config.mesh: {_shape(sizes)} needs {needed} devices, this program sees {len(devices)}")
    try:  # an axis may take a part of one of the pod's own axes: 2 of a row of 8
        placed = mesh_utils.create_device_mesh(sizes, devices[:needed], allow_split_physical_axes=True)
    except (AssertionError, NotImplementedError, ValueError):  # chips of a TPU that are no block of its torus
        shape = _shape(sizes)
        raise MeshError(
            f"config.mesh: {shape} does not fit {needed} of {len(devices)} devices as they are wired"
        ) from None
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def ways(axis: str | None, mesh: Mesh | AbstractMesh | None = None) -> int:
    """Into how many parts a mesh, by default that in context, splits a dimension of this logical name."""
    mesh = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    return 1 if mesh.empty or axis is None else math.prod(mesh.shape[mesh_axis] for mesh_axis in RULES[axis])


def spec(axes: Axes) -> PartitionSpec:
    """The partition of an array whose dimensions have these logical names."""
    return PartitionSpec(*((RULES[axis] or None) if axis is not None else None for axis in axes))


def sharding(mesh: Mesh, shape: Sequence[int], axes: Axes, name: str) -> NamedSharding:
    """The sharding of one array on `mesh`.

    Args:
      mesh: from `make_mesh`.
      shape: of the array.
      axes: logical name of each dimension.
      name: of the array, for messages.

    Raises:
      MeshError: the mesh does not divide a dimension; the message names it.
    """
    _check_divides(mesh, shape, axes, name)
    return NamedSharding(mesh, spec(axes))


def _check_divides(mesh: Mesh | AbstractMesh, shape: Sequence[int], axes: Axes, name: str) -> None:
    for size, axis in zip(shape, axes, strict=True):
        if axis is not None and size % (parts := ways(axis, mesh)):
            raise MeshError(
                f"{name}: dimension {axis!r} of size {size} is not divisible by "
                f"mesh {' x '.join(RULES[axis])} = {parts} devices"
            )


def tree_shardings(mesh: Mesh, tree: Any, axes_tree: Any) -> Any:
    """Shardings of a nested dict of arrays (or their shapes), whose logical axes are in `axes_tree`.

    Raises:
      MeshError: the mesh does not divide a dimension.
    """

    def leaf(path: tuple[Any, ...], value: Any, axes: Axes) -> NamedSharding:
        return sharding(mesh, value.shape, axes, jax.tree_util.keystr(path, simple=True, separator="."))

    return jax.tree_util.tree_map_with_path(leaf, tree, axes_tree)


def shard_batch(mesh: Mesh, batch: Any) -> Any:
    """Places every array of a batch with its first dimension split over the batch axes.

    Raises:
      MeshError: the batch size is not divisible.
    """

    def place(path: tuple[Any, ...], value: Any) -> Any:
        axes = ("batch",) + (None,) * (value.ndim - 1)
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "batch"
        return jax.device_put(value, sharding(mesh, value.shape, axes, name))

    return jax.tree_util.tree_map_with_path(place, batch)


def constrain(x: jax.Array, axes: Axes) -> jax.Array:
    """Asks the compiler to keep `x` split by its logical axes; without a mesh in context it does nothing."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(axes))


def compiler_splits() -> bool:
    """Whether arrays are whole here and the compiler splits them: with a mesh in context, outside of `on_shards`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.size > 1 and not mesh.are_all_axes_manual


def merge(x: jax.Array, axes: Axes) -> jax.Array:
    """Makes one dimension of the first `len(axes)`, with each shard's part in one piece so that nothing moves.

    The order is the shards': with two dimensions in 2 x 2 parts, the four quarters one after the other. A dimension
    that the mesh does not divide is not kept split.
    """
    sizes, parts, n = x.shape[: len(axes)], _parts(x.shape, axes), len(axes)
    x = x.reshape(
        *(extent for size, part in zip(sizes, parts, strict=True) for extent in (part, size // part)), *x.shape[n:]
    )
    x = x.transpose(*range(0, 2 * n, 2), *range(1, 2 * n, 2), *range(2 * n, x.ndim))
    return x.reshape(math.prod(sizes), *x.shape[2 * n :])


def unmerge(x: jax.Array, sizes: Sequence[int], axes: Axes) -> jax.Array:
    """Undoes `merge` of dimensions of these sizes."""
    parts, n = _parts(sizes, axes), len(axes)
    inner = (size // part for size, part in zip(sizes, parts, strict=True))
    x = x.reshape(*parts, *inner, *x.shape[1:])
    x = x.transpose(*(axis for i in range(n) for axis in (i, n + i)), *range(2 * n, x.ndim))
    return x.reshape(*sizes, *x.shape[2 * n :])


def _parts(sizes: Sequence[int], axes: Axes) -> list[int]:
    return [part if size % part == 0 else 1 for size, part in zip(sizes, map(ways, axes), strict=False)]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather(weight: jax.Array, axes: Axes) -> jax.Array:
    """A weight brought together over the axes that the batch is split over, for use; its gradient is split again.

    Left to itself the compiler may sum a gradient whole on every device before it cuts it.
    """
    return constrain(
        weight, [axis if axis is None or not set(RULES[axis]) & set(RULES["batch"]) else None for axis in axes]
    )


gather.defvjp(lambda weight, axes: (gather(weight, axes), None), lambda axes, _, gradient: (constrain(gradient, axes),))


def on_shards(function: Callable[..., Any], in_axes: Any, out_axes: Axes, name: str = "array") -> Callable[..., Any]:
    """A function that each device runs on its own shards, for what the compiler cannot split.

    Args:
      function: of arrays; what it needs of other shards it asks for by collectives.
      in_axes: logical axes of each argument.
      out_axes: of the result.
      name: of the arguments, for messages.

    Raises:
      MeshError: when called, the mesh does not divide a dimension.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1:  # 0 without a mesh
        return function
    specs = tuple(spec(axes) for axes in in_axes)
    mapped = jax.shard_map(function, in_specs=specs, out_specs=spec(out_axes), check_vma=False)

    def run(*arrays: jax.Array) -> Any:
        for array, axes in zip(arrays, in_axes, strict=True):
            _check_divides(mesh, array.shape, axes, name)
        return mapped(*arrays)

    return run


def _shape(sizes: Sequence[int]) -> str:
    return " x ".join(f"{axis} {size}" for axis, size in zip(AXES, sizes, strict=True))
