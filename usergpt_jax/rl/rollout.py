"""Rollouts: groups of sampled portraits, kept as token ids from sampler to loss."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import grain
import jax
import numpy as np

from usergpt_jax.corpus.batches import Encoder
from usergpt_jax.corpus.trees import encode_trunk, pad_rows
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.sampler import SamplingConfig, sample
from usergpt_jax.schema import UserTree


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Users to ask, as tokens.

    Attributes:
      trunk: Int[B P].
      trunk_mask: Bool[B P].
      labels: B JSON objects, tag to value.
    """

    trunk: np.ndarray
    trunk_mask: np.ndarray
    labels: list[str]


class Rollout(NamedTuple):
    """Groups of samples.

    Attributes:
      branches: Int[B G R], question and sample.
      branch_mask: Bool[B G R], true on tokens.
      output_mask: Bool[B G R], true on sampled tokens.
      old_logprob: Float[B G R], log-prob of each sampled token under the policy that drew it.
      truncated: Bool[B G].
      texts: B lists of G texts.
    """

    branches: np.ndarray
    branch_mask: np.ndarray
    output_mask: np.ndarray
    old_logprob: np.ndarray
    truncated: np.ndarray
    texts: list[list[str]]


def prompt_iterator(
    trees: Sequence[UserTree], encoder: Encoder, trunk_tokens: int, batch_groups: int, seed: int
) -> grain.DatasetIterator[Prompts]:
    """Endless batches of users, each epoch shuffled anew; its state is JSON-ready."""

    def batch(rows: Sequence[UserTree]) -> Prompts:
        trunks = [encode_trunk(encoder.tokenizer, tree.mub, trunk_tokens) for tree in rows]
        tokens, mask = pad_rows(trunks, trunk_tokens, encoder.tokenizer.pad_id)
        labels = [tree.questions[0].label for tree in rows]
        return Prompts(tokens, mask, labels)

    dataset: Any = grain.MapDataset.source(trees).seed(seed).shuffle().repeat()
    iterator: Any = iter(dataset.batch(batch_groups, batch_fn=batch).to_iter_dataset(grain.ReadOptions(num_threads=0)))
    return iterator


_sample = functools.partial(jax.jit, static_argnames=("config", "sampling"))(sample)


def rollout(
    params: Params,
    prompts: Prompts,
    question: Sequence[int],
    key: jax.Array,
    *,
    config: Qwen3Config,
    sampling: SamplingConfig,
    encoder: Encoder,
) -> Rollout:
    """Draws a group of samples for every user."""
    B, G, M, Q = len(prompts.labels), sampling.n_samples, sampling.max_new_tokens, len(question)
    prefixes = np.broadcast_to(np.array(question, np.int32), (B, 1, Q))
    drawn = _sample(
        params,
        config=config,
        trunk=prompts.trunk,
        trunk_mask=prompts.trunk_mask,
        prefixes=prefixes,
        prefix_mask=np.ones((B, 1, Q), bool),
        keys=jax.random.split(key, B),
        sampling=sampling,
    )
    tokens, lengths = np.asarray(drawn.tokens)[:, 0], np.asarray(drawn.lengths)[:, 0]
    sampled = np.arange(M) < lengths[..., None]
    branches = np.concatenate([np.broadcast_to(prefixes, (B, G, Q)), tokens], axis=2)
    blank = np.zeros((B, G, Q), bool)
    old = np.concatenate([blank.astype(np.float32), np.asarray(drawn.policy_logprob)[:, 0]], axis=2)
    decode = encoder.tokenizer.decode
    return Rollout(
        branches,
        np.concatenate([~blank, sampled], axis=2),
        np.concatenate([blank, sampled], axis=2),
        old,
        np.asarray(drawn.truncated)[:, 0],
        [[decode(tokens[b, g, : lengths[b, g]].tolist()) for g in range(G)] for b in range(B)],
    )
