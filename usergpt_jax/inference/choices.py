"""The probability of every value of every closed tag, read off the model instead of counted among samples.

The model reasons before it answers, and its answer depends on what it cites. So a probability is given a reasoning, and
over several sampled ones it is their mean: the share of votes that endless answers after each reasoning would have.
Open tags have no list of values and are left out.
"""

import collections
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import ANSWER, ANSWER_END, THINK, THINK_END, Tokenizer
from usergpt_jax.corpus.trees import encode_trunk, pad_rows
from usergpt_jax.inference import generate
from usergpt_jax.inference.generate import LoadedModel, UserLog
from usergpt_jax.models.choices import Choices, score_choices
from usergpt_jax.models.sampling import Drawing
from usergpt_jax.schema import NA, Tag, TagSchema
from usergpt_jax.tasks import tag_prediction
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.wording import NO_EVIDENCE

Probabilities = dict[str, dict[str, float]]  # tag name -> value -> probability
Thoughts = Mapping[str, Sequence[str]]  # tag name -> reasonings, as often as they were sampled

_CHUNK_TOKENS = 1024
_LEAST_ROWS, _TOKENS_STEP = 64, 8  # shapes are rounded up, rows to a power of two, so that few of them are compiled


@dataclasses.dataclass(frozen=True)
class _Read:
    """A token of a choice: in which branch, after how many of its tokens."""

    branch: int
    place: int
    token: int


@dataclasses.dataclass(frozen=True)
class _Sheet:
    """What is asked about one user: branches, and of each choice its tokens, group and meaning."""

    branches: list[list[int]]
    reads: list[list[_Read]]
    groups: list[int]
    meanings: list[tuple[str, str, float]]  # tag name, value, share of its reasoning


def closed_tags(schema: TagSchema) -> tuple[Tag, ...]:
    """The tags that have a list of values."""
    return tuple(tag for tag in schema.tags if not tag.is_open)


def sample_thoughts(
    model: LoadedModel,
    users: Sequence[UserLog],
    n_thoughts: int,
    *,
    users_at_once: int,
    samples_at_once: int,
    seed: int,
    label: str,
) -> list[dict[str, list[str]]]:
    """Reasonings of each user about each tag, drawn from the model as it is: temperature 1, nothing cut off.

    A lower temperature repeats the likeliest reasoning, and the probabilities become overconfident.

    Args:
      model: from `generate.load_model`.
      users: whom to ask about.
      n_thoughts: reasonings a tag.
      users_at_once: users held at once.
      samples_at_once: reasonings a user drawn at once; 0: as many as are busy until the longest ends.
      seed: another seed gives other reasonings.
      label: of the progress bar.
    """
    *questions, _ = generate.task_questions(model, n_thoughts, 1)
    drawing = Drawing(temperature=1.0, top_k=0, top_p=1.0)
    texts = generate.ask(
        model,
        users,
        questions,
        drawing,
        users_at_once=users_at_once,
        samples_at_once=samples_at_once,
        seed=seed,
        label=label,
    )
    return [thoughts_of(model.schema, by_tag) for by_tag in texts]


def score_tags(
    model: LoadedModel, users: Sequence[UserLog], thoughts: Sequence[Thoughts], users_at_once: int, label: str
) -> list[Probabilities]:
    """Probabilities of the values, NA included, of each closed tag of each user.

    Args:
      model: from `generate.load_model`.
      users: whom to ask about.
      thoughts: reasonings of each user, from `sample_thoughts` or `thoughts_of`. A tag without any gets the words for
        no evidence, after which a model answers NA.
      users_at_once: users scored at once.
      label: of the progress bar.

    Raises:
      InputError: there are not as many thoughts as users, or the mesh does not divide the users held at once.
    """
    if len(thoughts) != len(users) or users_at_once < 1:
        raise InputError(f"{len(users)} users, {len(thoughts)} of thoughts, {users_at_once} at once: expected as many")
    mesh_lib.sharding(model.mesh, (users_at_once,), ("batch",), "users held at once")
    tags = closed_tags(model.schema)
    found: list[Probabilities] = []
    with tqdm(total=len(users), desc=label, unit="user") as bar:
        for start in range(0, len(users), users_at_once):
            part = slice(start, start + users_at_once)
            sheets = [_sheet(model, tags, given) for given in thoughts[part]]
            with jax.set_mesh(model.mesh):
                found += _score_batch(model, users[part], sheets, users_at_once)
            bar.update(len(users[part]))
    return found


def thoughts_of(schema: TagSchema, texts: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The reasonings of the well-formed outputs about one user, texts[tag][sample] in the order of the schema."""
    found: dict[str, list[str]] = {}
    for tag, samples in zip(schema.tags, texts, strict=True):
        found[tag.name] = [think for text in samples if (think := _think(tag, text)) is not None]
    return found


def _think(tag: Tag, text: str) -> str | None:
    try:
        return tag_prediction.parse(tag, text)[1]
    except MalformedOutput:
        return None


def _score_batch(
    model: LoadedModel, users: Sequence[UserLog], sheets: Sequence[_Sheet], size: int
) -> list[Probabilities]:
    """Probabilities of up to `size` users, in arrays of `size` users."""
    pad_id = model.tokenizer.pad_id
    filled = [*range(len(users)), *[0] * (size - len(users))]
    trunks = [encode_trunk(model.tokenizer, users[i].mub, model.trunk_tokens) for i in filled]
    trunk, trunk_mask = pad_rows(trunks, model.trunk_tokens, pad_id)
    n_branches = _power_of_two(max(len(sheet.branches) for sheet in sheets))
    longest = max(len(row) for sheet in sheets for row in sheet.branches)
    n_tokens = -(-max(longest, model.tag_branch_tokens) // _TOKENS_STEP) * _TOKENS_STEP
    padded = [
        pad_rows(sheets[i].branches + [[]] * (n_branches - len(sheets[i].branches)), n_tokens, pad_id) for i in filled
    ]
    branches, branch_mask = (np.stack(part) for part in zip(*padded, strict=True))
    choices = _choices([sheets[i] for i in filled])
    found = np.asarray(
        _score(
            model.params, model.config, trunk, trunk_mask, branches, branch_mask, choices, chunk_tokens=_CHUNK_TOKENS
        )
    )
    return [_mean(sheet, row) for sheet, row in zip(sheets, found[: len(users)].tolist(), strict=True)]


_score = functools.partial(jax.jit, static_argnums=(1,), static_argnames=("chunk_tokens",))(score_choices)


def _power_of_two(rows: int) -> int:
    return max(_LEAST_ROWS, 1 << (rows - 1).bit_length())


def _choices(sheets: Sequence[_Sheet]) -> Choices:
    """The choices of several users as padded arrays."""
    n_choices = _power_of_two(max(len(sheet.reads) for sheet in sheets))
    n_reads = max(len(reads) for sheet in sheets for reads in sheet.reads)
    shape = (len(sheets), n_choices, n_reads)
    branch, place, token = np.zeros(shape, np.int32), np.ones(shape, np.int32), np.zeros(shape, np.int32)
    counted, group = np.zeros(shape, bool), np.zeros(shape[:2], np.int32)
    for b, sheet in enumerate(sheets):
        group[b, : len(sheet.groups)] = sheet.groups
        for n, reads in enumerate(sheet.reads):
            for k, read in enumerate(reads):
                branch[b, n, k], place[b, n, k], token[b, n, k] = read.branch, read.place, read.token
            counted[b, n, : len(reads)] = True
    return Choices(*map(jnp.asarray, (branch, place, token, counted, group)))


def _mean(sheet: _Sheet, probabilities: Sequence[float]) -> Probabilities:
    """Probabilities of the values, over the reasonings."""
    found: Probabilities = collections.defaultdict(dict)
    for (name, value, share), probability in zip(sheet.meanings, probabilities, strict=False):
        found[name][value] = found[name].get(value, 0.0) + share * probability
    return dict(found)


def _sheet(model: LoadedModel, tags: Sequence[Tag], thoughts: Thoughts) -> _Sheet:
    """The branches and choices of one user; equal reasonings are asked once, with the weight of all."""
    sheet = _Sheet([], [], [], [])
    group = 0
    for tag in tags:
        given = collections.Counter(thoughts.get(tag.name, ())) or {f"{tag.name}: {NO_EVIDENCE}": 1}
        for think, count in given.items():
            choices = _written(model, tag, think)
            alike = min(_alike(ids, choices[0]) for ids in choices[1:])
            _add(sheet, choices, alike)
            sheet.groups.extend([group] * len(choices))
            share = count / sum(given.values())
            sheet.meanings.extend((tag.name, value, share) for value in (*tag.values, NA))
            group += 1
    return sheet


def _add(sheet: _Sheet, choices: Sequence[tuple[int, ...]], alike: int) -> None:
    """Adds choices and the fewest branches that hold all that stands before their tokens, from `alike` on."""
    needed = sorted({ids[:-1] for ids in choices})
    # In this order whatever starts with a row follows it at once.
    rows = [row for row, after in zip(needed, [*needed[1:], ()], strict=True) if after[: len(row)] != row]
    base = len(sheet.branches)
    sheet.branches.extend(list(row) for row in rows)
    for ids in choices:
        branch = base + next(i for i, row in enumerate(rows) if row[: len(ids) - 1] == ids[:-1])
        sheet.reads.append([_Read(branch, place, ids[place]) for place in range(alike, len(ids))])


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows share from the start."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _written(model: LoadedModel, tag: Tag, think: str) -> list[tuple[int, ...]]:
    """Question, reasoning and each value (NA last), up to the token that holds the value's closing quote."""
    encode = model.tokenizer.encode_template
    before = [*encode(tag_prediction.prompt(tag, model.prompt) + THINK), *model.tokenizer.encode(think)]
    return [(*before, *_answer(model.tokenizer, tag.name, value)) for value in (*tag.values, NA)]


@functools.lru_cache(maxsize=4096)
def _answer(tokenizer: Tokenizer, name: str, value: str) -> tuple[int, ...]:
    written = json.dumps({name: value}, ensure_ascii=False)
    seam = THINK_END + ANSWER
    ids = tokenizer.encode_template(f"{seam}{written}{ANSWER_END}")
    wanted = len((seam + written.removesuffix("}")).encode())
    n_tokens, length = 0, 0
    while length < wanted:
        length += len(_bytes_of(tokenizer)[ids[n_tokens]])
        n_tokens += 1
    return tuple(ids[:n_tokens])


@functools.lru_cache(maxsize=4)
def _bytes_of(tokenizer: Tokenizer) -> list[bytes]:
    return tokenizer.token_bytes()
