"""Samples C answers to each of G questions about B users: the trunk is read once a user, the question once a branch.

    trunk [B, P] --prefill--> cache [L, B, P, K, H]         shared by all rows of the user
    prefixes [B, G, R] --prefill--> cache [L, B, G, R, K, H]  shared by the samples of the question
    decode: one token a row and step, own cache [B, G, C, M, K, H] a layer

A row's randomness comes from its user's key, its question's number and its sample's number, so a sample depends on
neither the batch nor its neighbours.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from usergpt_jax.core.errors import InputError
from usergpt_jax.models import kv_cache, qwen3, tree_attention
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.sampling import adjust_logits, sample_token


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn.

    Attributes:
      n_samples: samples a question.
      max_new_tokens: limit of a sample, stop token included.
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: keeps the k likeliest tokens; 0 keeps all.
      top_p: keeps the smallest set of likeliest tokens that holds this probability; 1 keeps all.
      stop_token: ends a sample.
    """

    n_samples: int
    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    stop_token: int

    def check(self) -> None:
        """Raises `InputError`, naming the field, when a value is out of range."""
        for name in ("n_samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"sampling.{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"sampling.temperature: expected at least 0 and finite, got {self.temperature}")
        if self.top_k < 0:
            raise InputError(f"sampling.top_k: expected 0 (off) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"sampling.top_p: expected above 0 and at most 1, got {self.top_p}")


class Samples(NamedTuple):
    """Sampled answers; slots past a sample's length hold token 0 and log-prob 0."""

    tokens: Int[Array, "B G C M"]
    lengths: Int[Array, "B G C"]  # stop token included
    truncated: Bool[Array, "B G C"]  # ended by max_new_tokens, without the stop token
    sampled_logprob: Float[Array, "B G C M"]  # under the distribution drawn from (after temperature, top-k, top-p)
    policy_logprob: Float[Array, "B G C M"]  # under the model itself


class _State(NamedTuple):
    step: Int[Array, ""]
    cache: kv_cache.RowCache
    logits: Float[Array, "B G C V"]
    done: Bool[Array, "B G C"]
    samples: Samples


def sample(
    params: Params,
    config: Qwen3Config,
    trunk: Int[Array, "B P"],
    trunk_mask: Bool[Array, "B P"],
    prefixes: Int[Array, "B G R"],
    prefix_mask: Bool[Array, "B G R"],
    keys: PRNGKeyArray | Array,
    sampling: SamplingConfig,
) -> Samples:
    """Draws `sampling.n_samples` continuations of every prefix; jit with `config` and `sampling` static.

    Args:
      params: from `qwen3.init`.
      config: of the decoder.
      trunk: token ids, right padded.
      trunk_mask: which trunk tokens are real.
      prefixes: question tokens, right padded, at least one real token each.
      prefix_mask: which prefix tokens are real.
      keys: one PRNG key a user, [B].
      sampling: how tokens are drawn.

    Raises:
      InputError: `sampling` is out of range.
    """
    sampling.check()
    (B, G, _), C, M = prefixes.shape, sampling.n_samples, sampling.max_new_tokens
    hidden, cache = tree_attention.prefill(params, config, trunk, trunk_mask, prefixes, prefix_mask)
    prefix_lengths = jnp.sum(prefix_mask, axis=-1)
    start = jnp.sum(trunk_mask, axis=-1)[:, None] + prefix_lengths  # position of the first new token
    last = jnp.take_along_axis(hidden, jnp.maximum(prefix_lengths - 1, 0)[..., None, None], axis=2)[:, :, 0]
    logits = jnp.broadcast_to(_logits(params, last)[:, :, None], (B, G, C, qwen3.head(params).shape[0]))
    row_keys = _row_keys(keys, G, C)

    def step(state: _State) -> _State:
        token, sampled, policy = _draw(state.logits, row_keys, state.step, sampling)
        samples, done = _record(state, token, sampled, policy, sampling)
        logits, own = _decode(params, config, token, start, cache, state.cache, trunk_mask, prefix_mask, state.step)
        return _State(state.step + 1, own, logits, done, samples)

    def undecided(state: _State) -> Bool[Array, ""]:
        return (state.step < M - 1) & ~jnp.all(state.done)

    own_shape = (B, G, C, M, config.n_kv_heads, config.head_dim)
    state = _State(
        jnp.zeros((), jnp.int32),
        kv_cache.empty(own_shape, config.n_layers, config.dtype),
        logits,
        jnp.zeros((B, G, C), bool),
        _no_samples(B, G, C, M),
    )
    state = jax.lax.while_loop(undecided, step, state)
    token, sampled, policy = _draw(state.logits, row_keys, state.step, sampling)  # the last token needs no decode
    samples, done = _record(state, token, sampled, policy, sampling)
    return samples._replace(truncated=~done)


def _no_samples(B: int, G: int, C: int, M: int) -> Samples:
    tokens, logprob = jnp.zeros((B, G, C, M), jnp.int32), jnp.zeros((B, G, C, M), jnp.float32)
    return Samples(tokens, jnp.zeros((B, G, C), jnp.int32), jnp.zeros((B, G, C), bool), logprob, logprob)


def _row_keys(keys: PRNGKeyArray | Array, G: int, C: int) -> PRNGKeyArray | Array:
    """Keys [B, G, C]: the user's key folded with question and sample number."""
    fold = jax.random.fold_in
    per_sample = jax.vmap(fold, (None, 0))
    per_question = jax.vmap(lambda key, g: per_sample(fold(key, g), jnp.arange(C)), (None, 0))
    return jax.vmap(per_question, (0, None))(keys, jnp.arange(G))


def _draw(
    logits: Float[Array, "B G C V"], row_keys: PRNGKeyArray | Array, step: Int[Array, ""], sampling: SamplingConfig
) -> tuple[Int[Array, "B G C"], Float[Array, "B G C"], Float[Array, "B G C"]]:
    """Next token of every row, its log-prob under the adjusted distribution and under the model."""
    B, G, C, V = logits.shape
    flat = logits.reshape(-1, V)
    keys = jax.vmap(jax.random.fold_in, (0, None))(row_keys.reshape(-1, *row_keys.shape[3:]), step)
    adjusted = adjust_logits(flat, sampling.temperature, sampling.top_k, sampling.top_p)
    token, sampled = sample_token(adjusted, keys, greedy=sampling.temperature == 0)
    chosen = jnp.take_along_axis(flat, token[:, None], axis=-1)[:, 0]
    policy = chosen - jax.nn.logsumexp(flat, axis=-1)
    shape = (B, G, C)
    return token.reshape(shape), sampled.reshape(shape), policy.reshape(shape)


def _record(
    state: _State,
    token: Int[Array, "B G C"],
    sampled: Float[Array, "B G C"],
    policy: Float[Array, "B G C"],
    sampling: SamplingConfig,
) -> tuple[Samples, Bool[Array, "B G C"]]:
    """Writes slot `step` of the rows still running; says which rows are done."""
    running = ~state.done

    def put(values: jax.Array, new: jax.Array) -> jax.Array:
        new = jnp.where(running, new, 0).astype(values.dtype)[..., None]
        return jax.lax.dynamic_update_slice_in_dim(values, new, state.step, axis=3)

    old = state.samples
    samples = Samples(
        put(old.tokens, token),
        old.lengths + running,
        old.truncated,
        put(old.sampled_logprob, sampled),
        put(old.policy_logprob, policy),
    )
    return samples, state.done | (token == sampling.stop_token)


def _decode(
    params: Params,
    config: Qwen3Config,
    token: Int[Array, "B G C"],
    start: Int[Array, "B G"],
    cache: tree_attention.Cache,
    own: kv_cache.RowCache,
    trunk_mask: Bool[Array, "B P"],
    prefix_mask: Bool[Array, "B G R"],
    step: Int[Array, ""],
) -> tuple[Float[Array, "B G C V"], kv_cache.RowCache]:
    """One token a row through all layers: logits of the next token and the extended cache."""
    longest = trunk_mask.shape[1] + prefix_mask.shape[2] + own.k[0].shape[3]
    positions = jnp.broadcast_to((start + step)[..., None], token.shape)
    rotation = qwen3.rotation(config, positions, longest)
    x = qwen3.embed(params, config, token)
    for i in range(config.n_layers):
        block = qwen3.block(config, jax.tree.map(lambda weight, i=i: weight[i], params["layers"]))
        normed = block.norm_in(x)
        q = block.queries(normed, rotation)
        own = kv_cache.write(own, i, step, *block.keys_values(normed, rotation))
        attended = kv_cache.attend_new(
            q,
            (cache.trunk_k[i], cache.trunk_v[i]),
            (cache.branch_k[i], cache.branch_v[i]),
            (own.k[i], own.v[i]),
            trunk_mask,
            prefix_mask,
            step,
        )
        x = block.finish(x, attended)
    return _logits(params, qwen3.final_norm(params, config, x)), own


def _logits(params: Params, hidden: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
    head = qwen3.head(params).astype(hidden.dtype)
    return jnp.einsum("...D,VD->...V", hidden, head, preferred_element_type=jnp.float32)
