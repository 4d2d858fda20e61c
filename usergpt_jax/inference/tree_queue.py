"""Answers for users who come one after the other: seats and slots stay filled (`models.decoding`).

Trunks are padded to a few lengths, each with its own three programs; nothing else compiles, however many users come.
What a user gets depends on its trunk, its number and the questions alone.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.trees import pad_rows
from usergpt_jax.models import decoding
from usergpt_jax.models.decoding import Prompts, Rows, Samples
from usergpt_jax.models.grammar import Grammar
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.sampling import Drawing

SHORTEST = 256  # least padded length of a trunk


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question put to every user.

    Attributes:
      tokens: of the question, at least one.
      n_samples: answers to draw.
      limit: most tokens of an answer, stop token included.
      stops: tokens that end an answer.
    """

    tokens: Sequence[int]
    n_samples: int
    limit: int
    stops: Sequence[int]

    def check(self) -> None:
        """Raises `InputError`, naming the field, when a value is out of range."""
        for name, value in (("tokens", len(self.tokens)), ("n_samples", self.n_samples), ("limit", self.limit)):
            if value < 1:
                raise InputError(f"{name}: expected at least 1, got {value}")


@dataclasses.dataclass(frozen=True)
class User:
    """Whom the questions are about.

    Attributes:
      trunk: tokens of the trunk.
      number: seeds the user's samples, below 2**32.
    """

    trunk: Sequence[int]
    number: int


@dataclasses.dataclass(frozen=True)
class Size:
    """What is held at once.

    Attributes:
      trunk_tokens: of the longest trunk.
      n_seats: users; a multiple of the batch axes of the mesh.
      n_slots: samples a user; 0: as many as have something to do until the longest answer ends.
    """

    trunk_tokens: int
    n_seats: int
    n_slots: int

    def check(self) -> None:
        """Raises `InputError`, naming the field, when a value is out of range."""
        for name, least in (("trunk_tokens", 1), ("n_seats", 1), ("n_slots", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)}")

    def buckets(self) -> list[int]:
        """Padded lengths, shortest first: the longest trunk's and its halves."""
        lengths = [self.trunk_tokens]
        while lengths[0] // 2 >= SHORTEST:
            lengths.insert(0, lengths[0] // 2)
        return lengths


def answers(
    params: Params,
    config: Qwen3Config,
    mesh: Mesh,
    users: Sequence[User],
    asked: Sequence[Asked],
    drawing: Drawing,
    size: Size,
    seed: int,
    grammar: Grammar | None = None,
) -> Iterator[tuple[int, Samples]]:
    """Samples for every user, in the order in which users are done.

    Args:
      params: on `mesh`.
      config: of the decoder.
      mesh: the devices.
      users: who is asked about.
      asked: the questions.
      drawing: how tokens are drawn.
      size: seats and slots.
      seed: another seed gives other samples.
      grammar: the form of the answers, one start a question; None: any.

    Yields:
      (number of the user, its samples [N M] as numpy arrays; rows are question by question, sample by sample).

    Raises:
      InputError: a trunk is longer than `size` says, the limit of an answer shorter than its form, or the seats
        cannot be split over the mesh.
    """
    for part in (size, drawing, *asked):
        part.check()
    if not asked:
        raise InputError("expected at least one question")
    if grammar is not None and len(grammar.start) != len(asked):
        raise InputError(f"a form of {len(grammar.start)} answers for {len(asked)} questions")
    table = _Questions(asked, grammar)
    buckets = np.array(size.buckets())
    lengths = [len(user.trunk) for user in users]
    longest = max(lengths, default=0)
    if longest > buckets[-1]:
        raise InputError(f"a trunk of {longest} tokens; expected at most {buckets[-1]}")
    mesh_lib.sharding(mesh, (size.n_seats,), ("batch",), "users held at once")
    bucket_of = np.searchsorted(buckets, lengths)
    with jax.set_mesh(mesh):
        for number, length in enumerate(buckets.tolist()):
            some = np.flatnonzero(bucket_of == number).tolist()
            if some:
                yield from _Desk(params, config, mesh, table, drawing, size, seed, length).serve(some, users)


class _Questions:
    """The same questions for every user, as arrays."""

    def __init__(self, asked: Sequence[Asked], grammar: Grammar | None):
        most_stops = max(len(one.stops) for one in asked)
        self.tokens, self.mask = pad_rows([one.tokens for one in asked], max(len(one.tokens) for one in asked), 0)
        self.limits = np.array([one.limit for one in asked], np.int32)
        self.stops = np.array([[*one.stops, *[-1] * (most_stops - len(one.stops))] for one in asked], np.int32)
        counts = [one.n_samples for one in asked]
        if grammar is not None:
            for one, shortest in zip(asked, np.asarray(grammar.shortest)[np.asarray(grammar.start)], strict=True):
                if one.limit < shortest:
                    raise InputError(f"limit: the form of an answer takes at least {shortest} tokens, got {one.limit}")
        question = np.repeat(np.arange(len(asked), dtype=np.int32), counts)
        sample = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
        order = np.argsort(-self.limits[question], kind="stable")  # the longest first, so that they do not end last
        self.rows = Rows(jnp.asarray(question[order]), jnp.asarray(sample[order]), grammar)
        self.places = np.argsort(order)  # of the rows as asked, among these
        self.longest_answer = int(self.limits.max())
        # As many as have nothing to wait for until the longest row ends, if all rows use up their limits.
        self.n_slots = -(-int(self.limits[question].sum()) // self.longest_answer)


class _Desk:
    """Seats for users whose trunks are padded to one length."""

    def __init__(
        self,
        params: Params,
        config: Qwen3Config,
        mesh: Mesh,
        table: _Questions,
        drawing: Drawing,
        size: Size,
        seed: int,
        length: int,
    ):
        self._params, self._config, self._table, self._drawing = params, config, table, drawing
        self._n_seats, self._seed, self._length = size.n_seats, seed, length
        self._together = mesh_lib.ways("batch", mesh)  # users read at once: one a shard
        n_slots = min(size.n_slots or table.n_slots, len(table.places))
        nobody = self._prompts([User([0], 0)] * size.n_seats)
        self._state = _vacant(params, config, nobody, table.rows, n_slots, table.longest_answer)

    def serve(self, numbers: Sequence[int], users: Sequence[User]) -> Iterator[tuple[int, Samples]]:
        """Seats those of the users, as seats become free, until all are done."""
        waiting, seated = collections.deque(numbers), dict[int, int]()
        while waiting or seated:
            free = [seat for seat in range(self._n_seats) if seat not in seated]
            while waiting and len(free) >= min(self._together, len(waiting)):
                come = [waiting.popleft() for _ in range(min(self._together, len(waiting)))]
                places, free = free[: len(come)], free[len(come) :]
                self._seat(places, [users[number] for number in come])
                seated |= dict(zip(places, come, strict=True))
            n_busy = np.int32(max(len(seated) - self._together, 0))
            self._state = _draw_until(self._params, self._config, self._state, self._table.rows, self._drawing, n_busy)
            for seat in np.flatnonzero(~np.asarray(_busy(self._state.slots))).tolist():
                if seat in seated:
                    samples = _samples_of(self._state.slots.samples, np.int32(seat))
                    yield seated.pop(seat), jax.tree.map(lambda part: np.asarray(part)[self._table.places], samples)

    def _seat(self, places: Sequence[int], users: Sequence[User]) -> None:
        missing = self._together - len(places)
        where = np.array([*places, *[self._n_seats] * missing], np.int32)
        prompts = self._prompts([*users, *[users[-1]] * missing])
        self._state = _take_seats(self._params, self._config, self._state, self._table.rows, where, prompts)

    def _prompts(self, users: Sequence[User]) -> Prompts:
        shared = (self._table.tokens, self._table.mask), (self._table.limits, self._table.stops)
        questions, ends = ([np.broadcast_to(x, (len(users), *x.shape)) for x in part] for part in shared)
        trunk, trunk_mask = pad_rows([user.trunk for user in users], self._length, 0)
        keys = _keys(np.int32(self._seed), np.array([user.number for user in users], np.uint32))
        arrays: Any = (trunk, trunk_mask, *questions, keys, *ends)
        return Prompts(*arrays)


@jax.jit
def _keys(seed: jax.Array, numbers: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), numbers)


_vacant = functools.partial(jax.jit, static_argnums=(1, 4, 5))(decoding.vacant)
_take_seats = functools.partial(jax.jit, static_argnums=1, donate_argnums=2)(decoding.take_seats)
_draw_until = functools.partial(jax.jit, static_argnums=(1, 4), donate_argnums=2)(decoding.draw_until)
_busy = jax.jit(decoding.busy)


@jax.jit
def _samples_of(samples: Samples, seat: jax.Array) -> Samples:
    return jax.tree.map(lambda part: part[seat], samples)
