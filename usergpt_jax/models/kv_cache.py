"""Keys and values that a newly drawn token attends to, on three levels, and that attention.

The trunk is stored once a user [B, P]. A slot, where one sample is drawn, holds a copy of its question [B, S, R] and a
ring of its newest tokens [B, S, M]: all slots write the same place of the ring at the same step, whatever the lengths
of their samples, and a slot sees as many places back as it has drawn tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from usergpt_jax.models import attention


class Cache(NamedTuple):
    """Keys and values, each a tuple over layers, so that a layer is updated in place."""

    k: tuple[Float[Array, "..."], ...]
    v: tuple[Float[Array, "..."], ...]


class Sights(NamedTuple):
    """Which keys of each level a slot sees."""

    trunk: Bool[Array, "B P"]
    question: Bool[Array, "B S R"]
    ring: Bool[Array, "B S M"]


def empty(shape: tuple[int, ...], n_layers: int, dtype: jnp.dtype | type) -> Cache:
    """A cache of zeros; `shape` is that of one layer."""
    return Cache(*(tuple(jnp.zeros(shape, dtype) for _ in range(n_layers)) for _ in range(2)))


def write(
    ring: Cache, layer: int, place: Int[Array, ""], k: Float[Array, "B S K H"], v: Float[Array, "B S K H"]
) -> Cache:
    """The ring with one place of one layer set."""

    def put(parts: tuple[jax.Array, ...], value: jax.Array) -> tuple[jax.Array, ...]:
        new = jax.lax.dynamic_update_slice_in_dim(parts[layer], value[:, :, None], place, axis=2)
        return (*parts[:layer], new, *parts[layer + 1 :])

    return Cache(put(ring.k, k), put(ring.v, v))


def ring_sight(step: Int[Array, ""], drawn: Int[Array, "B S"], size: int) -> Bool[Array, "B S M"]:
    """The places of a ring, written last at `step`, that hold a slot's newest `drawn` tokens."""
    age = (step - jnp.arange(size)) % size
    return age < drawn[..., None]


def attend(
    q: Float[Array, "B S N H"], trunk: Cache, question: Cache, ring: Cache, layer: int, sights: Sights
) -> Float[Array, "B S N H"]:
    """Attention of each slot's newest token to trunk, question and ring in one softmax; queries come scaled."""
    wide = jnp.float32
    keys = trunk.k[layer], question.k[layer], ring.k[layer]
    values = trunk.v[layer], question.v[layer], ring.v[layer]
    grouped = jnp.einsum("BSKJH->BKSJH", attention.group_heads(q, keys[0].shape[2]))
    to_trunk = jnp.einsum("BKSJH,BPKH->BKSJP", grouped, keys[0], preferred_element_type=wide)
    to_question = jnp.einsum("BKSJH,BSRKH->BKSJR", grouped, keys[1], preferred_element_type=wide)
    to_ring = jnp.einsum("BKSJH,BSMKH->BKSJM", grouped, keys[2], preferred_element_type=wide)
    masked = attention.MASKED
    weights = attention.joint_softmax(
        jnp.where(sights.trunk[:, None, None, None], to_trunk, masked),
        jnp.where(sights.question[:, None, :, None], to_question, masked),
        jnp.where(sights.ring[:, None, :, None], to_ring, masked),
    )
    on_trunk, on_question, on_ring = (part.astype(q.dtype) for part in weights)
    mixed = jnp.einsum("BKSJP,BPKH->BKSJH", on_trunk, values[0], preferred_element_type=wide)
    mixed += jnp.einsum("BKSJR,BSRKH->BKSJH", on_question, values[1], preferred_element_type=wide)
    mixed += jnp.einsum("BKSJM,BSMKH->BKSJH", on_ring, values[2], preferred_element_type=wide)
    return jnp.einsum("BKSJH->BSKJH", mixed).reshape(q.shape).astype(q.dtype)
