"""Putting questions to a trained model: load its folder, sample answers for many users.

A user's answers depend on the model, the sampling, the seed and the user alone: the key comes from the user's id, the
shapes from the model's card. So they are the same in any order, batch and company.
"""

import dataclasses
import functools
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from usergpt_jax.core import checkpoint
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer
from usergpt_jax.corpus.trees import encode_trunk, pad_rows
from usergpt_jax.models import qwen3, sampler
from usergpt_jax.models.qwen3_config import from_card
from usergpt_jax.models.sampler import SamplingConfig
from usergpt_jax.schema import TagSchema
from usergpt_jax.tags import tag_schema
from usergpt_jax.tasks.wording import PromptConfig

ONE_DEVICE = MeshConfig(data=1, fsdp=1, tensor=1, context=1)
# Where a run keeps its models, best first.
MODEL_FOLDERS = ("5_rl/model", "4_sft/stage3/model", "4_sft/stage2/model", "4_sft/stage1/model")


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model and all that is needed to put questions to it.

    Attributes:
      config: shape of the decoder.
      params: its parameters.
      tokenizer: its tokenizer.
      schema: the tags it was trained on.
      prompt: wording of its prompts.
      trunk_tokens: P, longest trunk; older MUB lines are left out.
      tag_branch_tokens: longest tag question and output together.
      summary_branch_tokens: likewise of the summary.
      semantize: the section `semantize` its MUBs were made with.
      reading: how the titles in them were read; see `semantize.text_reader`.
      stage: the training stage that made it, e.g. "stage3".
    """

    config: qwen3.Qwen3Config
    params: Any
    tokenizer: Tokenizer
    schema: TagSchema
    prompt: PromptConfig
    trunk_tokens: int
    tag_branch_tokens: int
    summary_branch_tokens: int
    semantize: Mapping[str, Any]
    reading: Mapping[str, Any]
    stage: str


@dataclasses.dataclass(frozen=True)
class UserLog:
    """What a model reads of a user: the id, which only seeds the sampling, and the MUB."""

    user_id: str
    mub: str


def model_folder(path: str | pathlib.Path) -> pathlib.Path:
    """The model folder at `path`: itself, or the furthest trained model of a run directory.

    Raises:
      InputError: there is neither.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; expected a model folder or a run directory")
    for folder in (path, *(path / name for name in MODEL_FOLDERS)):
        if (folder / "card.json").exists():
            return folder
    raise InputError(f"{path}: no model here; expected card.json, or a run with {' or '.join(MODEL_FOLDERS)}")


def load_model(path: str | pathlib.Path, mesh_config: MeshConfig = ONE_DEVICE) -> LoadedModel:
    """Loads a model folder, or the furthest trained model of a run directory.

    Args:
      path: the folder.
      mesh_config: devices to spread the parameters over, whatever mesh they were trained on.

    Raises:
      InputError: there is no model, its card is not of this program, or its parameters are of another model.
    """
    folder = model_folder(path)
    card = checkpoint.load_card(folder)
    try:
        config = from_card(card["model"])
        prompt = PromptConfig(**card["prompt"])
        vocab_size, schema_name = card["vocab_size"], card["tag_schema"]
        fields = {
            name: card[name]
            for name in ("trunk_tokens", "tag_branch_tokens", "summary_branch_tokens", "semantize", "reading", "stage")
        }
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'card.json'}: not a card of this program: {error}") from None
    schema = tag_schema(schema_name)
    tokenizer = load_tokenizer(folder / "tokenizer")
    if tokenizer.vocab_size > vocab_size:
        raise InputError(f"{folder}: the tokenizer has {tokenizer.vocab_size} ids, the model {vocab_size}")
    params = checkpoint.load_params(folder, qwen3.sharded_shapes(config, vocab_size, make_mesh(mesh_config)))
    return LoadedModel(config, params, tokenizer, schema, prompt=prompt, **fields)


def ask(
    model: LoadedModel,
    users: Sequence[UserLog],
    prompts: Sequence[str],
    sampling: SamplingConfig,
    users_per_batch: int,
    seed: int,
    label: str,
) -> list[list[list[str]]]:
    """Samples outputs to the same questions about many users: texts[user][prompt][sample].

    Args:
      model: from `load_model`.
      users: whom to ask about.
      prompts: questions as the task modules word them.
      sampling: how to sample; from `sampling_of`.
      users_per_batch: users sampled at once.
      seed: another seed gives other samples.
      label: of the progress bar.
    """
    texts: list[list[list[str]]] = []
    with tqdm(total=len(users), desc=label, unit="user") as bar:
        for batch in _batches(users, users_per_batch):
            filled = [*batch, *[batch[-1]] * (users_per_batch - len(batch))]  # every batch has one shape
            texts += _ask_batch(model, filled, prompts, sampling, seed)[: len(batch)]
            bar.update(len(batch))
    return texts


def sampling_of(
    model: LoadedModel,
    prompts: Sequence[str],
    branch_tokens: int,
    *,
    n_samples: int,
    temperature: float,
    top_k: int,
    top_p: float,
) -> SamplingConfig:
    """Sampling that ends where the model's outputs end, at most as long as the branches it was trained on.

    Args:
      model: from `load_model`.
      prompts: the questions.
      branch_tokens: longest question and output together.
      n_samples: outputs a question, at least 1.
      temperature: of sampling; 0 is greedy.
      top_k: tokens kept; 0 keeps all.
      top_p: probability mass kept, in (0, 1].

    Raises:
      InputError: a value is out of range.
    """
    max_new_tokens = branch_tokens - min(len(model.tokenizer.encode_template(prompt)) for prompt in prompts)
    sampling = SamplingConfig(n_samples, max_new_tokens, temperature, top_k, top_p, model.tokenizer.end_id)
    sampling.check()
    return sampling


def _batches(users: Sequence[UserLog], size: int) -> Iterator[Sequence[UserLog]]:
    for start in range(0, len(users), size):
        yield users[start : start + size]


def _ask_batch(
    model: LoadedModel, users: Sequence[UserLog], prompts: Sequence[str], sampling: SamplingConfig, seed: int
) -> list[list[list[str]]]:
    tokenizer = model.tokenizer
    trunks = [encode_trunk(tokenizer, user.mub, model.trunk_tokens) for user in users]
    trunk, trunk_mask = pad_rows(trunks, model.trunk_tokens, tokenizer.pad_id)
    questions = [tokenizer.encode_template(prompt) for prompt in prompts]
    prefix, prefix_mask = pad_rows(questions, max(map(len, questions)), tokenizer.pad_id)
    shape = (len(users), *prefix.shape)
    samples = _sample(
        model.params,
        model.config,
        trunk,
        trunk_mask,
        np.broadcast_to(prefix, shape),
        np.broadcast_to(prefix_mask, shape),
        _user_keys(seed, np.array([zlib.crc32(user.user_id.encode()) for user in users], np.uint32)),
        sampling,
    )
    tokens, lengths = np.asarray(samples.tokens), np.asarray(samples.lengths)
    return [
        [
            [tokenizer.decode(row[:length]) for row, length in zip(*question, strict=True)]
            for question in zip(*user, strict=True)
        ]
        for user in zip(tokens.tolist(), lengths.tolist(), strict=True)
    ]


_sample = functools.partial(jax.jit, static_argnums=(1, 7))(sampler.sample)


@jax.jit
def _user_keys(seed: jax.Array | int, hashes: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), hashes)
