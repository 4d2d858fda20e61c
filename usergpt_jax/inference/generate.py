"""Putting questions to a trained model: load its folder, sample answers for many users.

A user's answers depend on the model, the sampling, the seed and the user alone: the key comes from the user's id, the
shapes from the model's card and the user's log. So they are the same in any order and company.
"""

import dataclasses
import itertools
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh
from tqdm import tqdm

from usergpt_jax.core import checkpoint
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer
from usergpt_jax.corpus.trees import encode_trunk
from usergpt_jax.inference import tree_queue
from usergpt_jax.models import qwen3
from usergpt_jax.models.grammar import Grammar
from usergpt_jax.models.qwen3_config import for_inference, from_card
from usergpt_jax.models.sampling import Drawing
from usergpt_jax.schema import TagSchema
from usergpt_jax.tags import tag_schema
from usergpt_jax.tasks import answer_grammar, summary, tag_prediction
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
      mesh: the devices that hold them.
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
    mesh: Mesh
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
        config = for_inference(from_card(card["model"]))
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
    mesh = make_mesh(mesh_config)
    params = checkpoint.load_params(folder, qwen3.sharded_shapes(config, vocab_size, mesh))
    return LoadedModel(config, params, mesh, tokenizer, schema, prompt=prompt, **fields)


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked about every user.

    Attributes:
      prompt: as the task modules word it.
      n_samples: outputs to draw.
      branch_tokens: longest question and output together, as in training.
    """

    prompt: str
    n_samples: int
    branch_tokens: int


def task_questions(model: LoadedModel, n_samples: int, n_summaries: int) -> list[Question]:
    """The question of every tag of the model's schema, in its order, and last that for the summary."""
    tags = [tag_prediction.prompt(tag, model.prompt) for tag in model.schema.tags]
    return [
        *(Question(prompt, n_samples, model.tag_branch_tokens) for prompt in tags),
        Question(summary.prompt(), n_summaries, model.summary_branch_tokens),
    ]


def task_grammar(model: LoadedModel) -> Grammar:
    """The form of the outputs to `task_questions`."""
    return answer_grammar.task_grammar(model.tokenizer, qwen3.head(model.params).shape[0], model.schema)


def ask(
    model: LoadedModel,
    users: Sequence[UserLog],
    questions: Sequence[Question],
    drawing: Drawing,
    *,
    users_at_once: int,
    samples_at_once: int,
    seed: int,
    label: str,
    grammar: Grammar | None = None,
) -> list[list[list[str]]]:
    """Samples outputs to the same questions about many users: texts[user][question][sample].

    Args:
      model: from `load_model`.
      users: whom to ask about; each log is read once for all questions.
      questions: what to ask.
      drawing: how tokens are drawn.
      users_at_once: users held at once.
      samples_at_once: outputs a user drawn at once; 0: as many as are busy until the longest ends.
      seed: another seed gives other samples.
      label: of the progress bar.
      grammar: the form of the outputs, one start a question; None: any.

    Raises:
      InputError: a value is out of range, or a question leaves no room for an output.
    """
    tokenizer = model.tokenizer
    asked = [_asked(tokenizer, question) for question in questions]
    read = [
        tree_queue.User(encode_trunk(tokenizer, user.mub, model.trunk_tokens), zlib.crc32(user.user_id.encode()))
        for user in users
    ]
    size = tree_queue.Size(model.trunk_tokens, users_at_once, samples_at_once)
    texts: list[list[list[str]]] = [[]] * len(users)
    done = tree_queue.answers(model.params, model.config, model.mesh, read, asked, drawing, size, seed, grammar)
    for user, samples in tqdm(done, total=len(users), desc=label, unit="user"):
        rows = iter(zip(samples.tokens.tolist(), samples.lengths.tolist(), strict=True))
        texts[user] = [
            [tokenizer.decode(tokens[:length]) for tokens, length in itertools.islice(rows, question.n_samples)]
            for question in questions
        ]
    return texts


def _asked(tokenizer: Tokenizer, question: Question) -> tree_queue.Asked:
    tokens = tokenizer.encode_template(question.prompt)
    limit = question.branch_tokens - len(tokens)
    if limit < 1:
        raise InputError(
            f"branches of {question.branch_tokens} tokens leave no room for an output: "
            f"a question takes {len(tokens)} ({question.prompt!r})"
        )
    return tree_queue.Asked(tokens, question.n_samples, limit, (tokenizer.end_id,))
