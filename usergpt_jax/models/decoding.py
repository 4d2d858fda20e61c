"""Decoding in slots: a user takes a seat, its rows are drawn in slots, a slot whose row ends takes the user's next row.

    seat   a user: caches of trunk and questions, read once    [B]
    row    one sample of one question: waits, is drawn, ends   [B, N]
    slot   where a row is drawn                                [B, S], S <= N

All slots draw one token a step. What a row gets depends on its user, question and number alone: its randomness is the
user's key folded with the numbers of question, sample and token.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import constrain
from usergpt_jax.models import kv_cache, logprob, qwen3, tree_attention
from usergpt_jax.models.grammar import Grammar, advance, allowed
from usergpt_jax.models.kv_cache import Cache
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.sampling import Drawing, adjust_logits, sample_token


class Prompts(NamedTuple):
    """What is asked of users; trunks and questions are right padded.

    Token ids are below the vocabulary's size and real tokens come first: under `jax.jit` values cannot be checked, and
    what is wrong there gives other samples without a word.
    """

    trunk: Int[Array, "B P"]
    trunk_mask: Bool[Array, "B P"]
    questions: Int[Array, "B G R"]  # at least one real token each
    question_mask: Bool[Array, "B G R"]
    keys: PRNGKeyArray | Array  # [B]
    limits: Int[Array, "B G"]  # tokens of a sample, 1 to M, stop token included
    stops: Int[Array, "B G E"]  # tokens that end a sample; -1: none

    def check(self) -> None:
        """Raises `InputError`, naming the field, when the shapes do not belong together."""
        B, G = self.questions.shape[:2]
        typed = jnp.issubdtype(self.keys.dtype, jax.dtypes.prng_key)
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "trunk": (self.trunk.shape, (B, *self.trunk.shape[1:])),
            "trunk_mask": (self.trunk_mask.shape, self.trunk.shape),
            "question_mask": (self.question_mask.shape, self.questions.shape),
            "keys": (self.keys.shape, (B,) if typed else (B, *self.keys.shape[-1:])),
            "limits": (self.limits.shape, (B, G)),
            "stops": (self.stops.shape, (B, G, *self.stops.shape[-1:])),
        }
        if 0 in self.questions.shape:
            raise InputError(f"questions: expected at least one user, question and token, got {self.questions.shape}")
        for name, (got, expected) in shapes.items():
            if got != expected:
                raise InputError(
                    f"{name}: expected shape {expected} beside questions {self.questions.shape}, got {got}"
                )


class Rows(NamedTuple):
    """What is drawn of every user, in the order in which slots take it."""

    question: Int[Array, " N"]
    sample: Int[Array, " N"]
    grammar: Grammar | None = None  # form of the answers, one start a question; None: any


class Samples(NamedTuple):
    """What was drawn, of rows [B N] here; places past a sample's length hold token 0 and log-prob 0."""

    tokens: Int[Array, "*B M"]
    lengths: Int[Array, "*B"]  # stop token included
    truncated: Bool[Array, "*B"]  # ended by its limit, without a stop token
    sampled_logprob: Float[Array, "*B M"]  # under the distribution drawn from (after form, temperature, top-k, top-p)
    policy_logprob: Float[Array, "*B M"]  # under the model itself


class Seats(NamedTuple):
    """What was read of the users."""

    trunk: Cache  # a layer [B P K H]
    trunk_lengths: Int[Array, " B"]
    questions: Cache  # a layer [B G R K H]
    question_lengths: Int[Array, "B G"]
    last: Float[Array, "B G D"]  # final state of each question's last token
    keys: PRNGKeyArray | Array
    limits: Int[Array, "B G"]
    stops: Int[Array, "B G E"]


class Slots(NamedTuple):
    """What is being drawn; a slot with row N is idle."""

    row: Int[Array, "B S"]
    n_drawn: Int[Array, "B S"]  # tokens of the row so far
    token: Int[Array, "B S"]  # the newest of them
    form: Int[Array, "B S"]  # where the row is in its grammar
    n_taken: Int[Array, " B"]  # rows that slots have taken
    question: Cache  # a layer [B S R K H]: of the row's question
    samples: Samples


class State(NamedTuple):
    """Everything that decoding holds."""

    seats: Seats
    slots: Slots
    ring: Cache  # a layer [B S M K H]
    step: Int[Array, ""]  # of the ring: the same for all slots


def read(params: Params, config: Qwen3Config, prompts: Prompts) -> Seats:
    """Reads trunks and questions, each once.

    Raises:
      InputError: shapes of the prompts do not belong together.
    """
    prompts.check()
    hidden, cache = tree_attention.prefill(params, config, *prompts[:4])
    lengths = jnp.sum(prompts.question_mask, axis=-1)
    last = jnp.take_along_axis(hidden, jnp.maximum(lengths - 1, 0)[..., None, None], axis=2)[:, :, 0]

    def layers(k: Array, v: Array) -> Cache:
        return Cache(*(tuple(part[i] for i in range(config.n_layers)) for part in (k, v)))

    return Seats(
        trunk=layers(cache.trunk_k, cache.trunk_v),
        trunk_lengths=jnp.sum(prompts.trunk_mask, axis=-1),
        questions=layers(cache.branch_k, cache.branch_v),
        question_lengths=lengths,
        last=last,
        keys=prompts.keys,
        limits=prompts.limits,
        stops=prompts.stops,
    )


def begin(config: Qwen3Config, seats: Seats, rows: Rows, n_slots: int, max_new_tokens: int) -> State:
    """All slots at the first rows of their seat."""
    B, S, M = seats.last.shape[0], n_slots, max_new_tokens
    ring = kv_cache.empty((B, S, M, config.n_kv_heads, config.head_dim), config.n_layers, config.dtype)
    return _placed(State(seats, _first_rows(seats, rows, S, M), ring, jnp.zeros((), jnp.int32)))


def vacant(
    params: Params, config: Qwen3Config, prompts: Prompts, rows: Rows, n_slots: int, max_new_tokens: int
) -> State:
    """Seats and slots like those that `begin` gives for such prompts, but without users."""
    shapes = jax.eval_shape(lambda params, prompts: read(params, config, prompts), params, prompts)
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes._replace(keys=None))
    state = begin(config, blank._replace(keys=prompts.keys), rows, n_slots, max_new_tokens)
    n_rows = rows.question.shape[0]
    idle = state.slots._replace(
        row=jnp.full_like(state.slots.row, n_rows), n_taken=jnp.full_like(state.slots.n_taken, n_rows)
    )
    return state._replace(slots=idle)


def take_seats(
    params: Params, config: Qwen3Config, state: State, rows: Rows, where: Int[Array, " A"], prompts: Prompts
) -> State:
    """Gives the seats `where` to the users of `prompts` (B = A); a seat that does not exist turns its user away."""
    S, M = state.ring.k[0].shape[1:3]
    seats = read(params, config, prompts)
    come = seats, _first_rows(seats, rows, S, M)
    seats, slots = jax.tree.map(lambda old, new: old.at[where].set(new, mode="drop"), state[:2], come)
    return _placed(state._replace(seats=seats, slots=slots))  # the ring stays: a row without tokens sees none of it


def busy(slots: Slots) -> Bool[Array, " B"]:
    """Which seats have rows that did not end."""
    return jnp.any(slots.row < slots.samples.lengths.shape[1], axis=1)


def draw_until(
    params: Params, config: Qwen3Config, state: State, rows: Rows, drawing: Drawing, n_busy: Int[Array, ""] | int
) -> State:
    """Draws tokens until at most `n_busy` seats have rows left."""

    def step(state: State) -> State:
        hidden, ring = _decode(params, config, state, rows)
        slots = draw(params, config, state.seats, state.slots, rows, drawing, hidden)
        return State(state.seats, slots, ring, state.step + 1)

    return _placed(jax.lax.while_loop(lambda state: jnp.sum(busy(state.slots)) > n_busy, step, state))


def draw(
    params: Params,
    config: Qwen3Config,
    seats: Seats,
    slots: Slots,
    rows: Rows,
    drawing: Drawing,
    hidden: Float[Array, "B S D"] | None = None,
) -> Slots:
    """One token a slot: drawn, recorded, and where it ends its row, the next row taken.

    Args:
      params: from `qwen3.init`.
      config: of the decoder.
      seats: who asks.
      slots: before.
      rows: what is asked.
      drawing: how tokens are drawn.
      hidden: final states of the newest tokens; None: no row has one.
    """
    (B, S), N = slots.row.shape, rows.question.shape[0]
    places = jnp.arange(B)[:, None], slots.row  # of the samples; a row N is out of range and nothing is written
    row = jnp.minimum(slots.row, N - 1)
    question = rows.question[row]
    first = _at(seats.last, question)
    hidden = first if hidden is None else jnp.where((slots.n_drawn == 0)[..., None], first, hidden)
    limits = _at(seats.limits, question)
    logits = logprob.logits(hidden.astype(config.head_dtype), qwen3.head(params))
    possible = logits
    if rows.grammar is not None:
        in_form = allowed(rows.grammar, slots.form, limits - slots.n_drawn)
        possible = jnp.where(in_form, logits, -jnp.inf)
    keys = _keys(seats.keys, question, rows.sample[row], slots.n_drawn)
    flat = adjust_logits(possible.reshape(B * S, -1), drawing)
    token, sampled = (part.reshape(B, S) for part in sample_token(flat, keys, greedy=drawing.temperature == 0))
    policy = jnp.take_along_axis(logits, token[..., None], axis=-1)[..., 0] - jax.nn.logsumexp(logits, axis=-1)

    n_drawn = slots.n_drawn + 1
    stopped = jnp.any(token[..., None] == _at(seats.stops, question), axis=-1)
    ended = (slots.row < N) & (stopped | (n_drawn >= limits))
    old = slots.samples
    samples = Samples(
        tokens=old.tokens.at[*places, slots.n_drawn].set(token, mode="drop"),
        lengths=old.lengths.at[places].set(n_drawn, mode="drop"),
        truncated=old.truncated.at[places].set(ended & ~stopped, mode="drop"),
        sampled_logprob=old.sampled_logprob.at[*places, slots.n_drawn].set(sampled, mode="drop"),
        policy_logprob=old.policy_logprob.at[*places, slots.n_drawn].set(policy, mode="drop"),
    )
    form = slots.form if rows.grammar is None else advance(rows.grammar, slots.form, token)
    slots = slots._replace(n_drawn=jnp.where(ended, 0, n_drawn), token=token, form=form, samples=samples)
    return _take_rows(seats, slots, rows, ended)


def _placed(state: State) -> State:
    """Split over the mesh: users over the batch axes, key heads as in the weights."""

    def place(x: Array) -> Array:
        axes = ("batch", *(None,) * (x.ndim - 1)) if x.ndim else ()
        return constrain(x, (*axes[:-2], "kv_heads", None) if x.ndim > 3 else axes)

    return jax.tree.map(place, state)


def _first_rows(seats: Seats, rows: Rows, n_slots: int, max_new_tokens: int) -> Slots:
    B, N, S, M = seats.last.shape[0], rows.question.shape[0], n_slots, max_new_tokens
    row = jnp.broadcast_to(jnp.arange(S), (B, S))
    none, blank = jnp.zeros((B, S), jnp.int32), jnp.zeros((B, N, M), jnp.float32)
    samples = Samples(blank.astype(jnp.int32), jnp.zeros((B, N), jnp.int32), jnp.zeros((B, N), bool), blank, blank)
    question, taken = rows.question[row], jnp.full(B, S, jnp.int32)
    return Slots(row, none, none, _starts(rows, question), taken, _question(seats, question), samples)


def _take_rows(seats: Seats, slots: Slots, rows: Rows, ended: Bool[Array, "B S"]) -> Slots:
    """The next rows of the user for slots that are done, as long as there are any."""
    (_, S), N = ended.shape, rows.question.shape[0]
    nth = slots.n_taken[:, None] + jnp.cumsum(ended, axis=1) - 1
    row = jnp.where(ended, jnp.minimum(nth, N), slots.row)
    slots = slots._replace(row=row, n_taken=jnp.minimum(slots.n_taken + jnp.sum(ended, axis=1), N))
    if S == N:
        return slots  # there was a slot for every row
    question = rows.question[jnp.minimum(row, N - 1)]
    form = jnp.where(ended, _starts(rows, question), slots.form)
    copied = jax.lax.cond(jnp.any(ended & (row < N)), lambda: _question(seats, question), lambda: slots.question)
    return slots._replace(form=form, question=copied)


def _starts(rows: Rows, question: Int[Array, "B S"]) -> Int[Array, "B S"]:
    return jnp.zeros_like(question) if rows.grammar is None else rows.grammar.start[question]


def _question(seats: Seats, question: Int[Array, "B S"]) -> Cache:
    return Cache(*(tuple(_at(layer, question) for layer in part) for part in seats.questions))


def _at(values: Array, question: Int[Array, "B S"]) -> Array:
    """[B G ...] at each slot's question, [B S ...]."""
    return values[jnp.arange(question.shape[0])[:, None], question]


def _keys(keys: PRNGKeyArray | Array, *numbers: Int[Array, "B S"]) -> PRNGKeyArray | Array:
    """Keys [B S] of users, folded with numbers of each slot, flat."""
    S = numbers[0].shape[1]
    flat = jnp.repeat(keys, S, axis=0)
    for number in numbers:
        flat = jax.vmap(jax.random.fold_in)(flat, number.reshape(-1))
    return flat


def _decode(params: Params, config: Qwen3Config, state: State, rows: Rows) -> tuple[Float[Array, "B S D"], Cache]:
    """The newest token of every slot through all layers: its final state, and the ring with its keys and values.

    Of a slot that has not drawn yet, this means nothing.
    """
    seats, slots, ring, step = state
    P, R, M = seats.trunk.k[0].shape[1], seats.questions.k[0].shape[2], ring.k[0].shape[2]
    question = rows.question[jnp.minimum(slots.row, rows.question.shape[0] - 1)]
    question_lengths = _at(seats.question_lengths, question)
    before = seats.trunk_lengths[:, None] + question_lengths
    rotation = qwen3.rotation(config, before + jnp.maximum(slots.n_drawn - 1, 0), P + R + M)
    sights = kv_cache.Sights(
        trunk=jnp.arange(P) < seats.trunk_lengths[:, None],
        question=jnp.arange(R) < question_lengths[..., None],
        ring=kv_cache.ring_sight(step, slots.n_drawn, M),
    )
    x = qwen3.embed(params, config, slots.token)
    for i in range(config.n_layers):
        block = qwen3.block(config, jax.tree.map(lambda weight, i=i: weight[i], params["layers"]))
        normed = block.norm_in(x)
        ring = kv_cache.write(ring, i, step % M, *block.keys_values(normed, rotation))
        x = block.finish(
            x, kv_cache.attend(block.queries(normed, rotation), seats.trunk, slots.question, ring, i, sights)
        )
    return qwen3.final_norm(params, config, x), ring
