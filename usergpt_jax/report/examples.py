"""Two held-out users from raw log to persona, chosen by rule: the median user and the one at the lower quartile."""

import collections
import dataclasses
import gzip
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import Tag, TagSchema
from usergpt_jax.tasks import evidence, summary, tag_prediction
from usergpt_jax.tasks.output import MalformedOutput

OUTPUTS = "outputs.jsonl.gz"
# Who is shown: what the user is called -> share of the users who score lower.
PLACES = {"The median user": 0.5, "The user at the lower quartile": 0.25}
MALFORMED = "(malformed)"
_MAX_ROWS = 12
_ROWS_PER_LINE = 2


@dataclasses.dataclass(frozen=True)
class TagAnswer:
    """What the model answered to one tag question.

    Attributes:
      tag: its name.
      truth: the right value.
      value: the value most samples answered.
      votes: samples that answered it.
      n_samples: all samples.
      credit: of `value`, in [0, 1].
      lines: MUB lines, from 1, that the samples behind `value` cite and that hold what they cite.
    """

    tag: str
    truth: str
    value: str
    votes: int
    n_samples: int
    credit: float
    lines: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """An event with the MUB line, from 1, that it went into (0: none)."""

    event: Mapping[str, object]
    line: int


@dataclasses.dataclass(frozen=True)
class Example:
    """One user.

    Attributes:
      place: why this user, a key of `PLACES`.
      user_id: of the log.
      model: who answered.
      score: the user's mean credit over tags and samples.
      n_events: events in the log.
      rows: some of them, in order of time.
      mub_lines: the MUB.
      sizes: tokens of the raw log, the MUB.
      answers: one a tag.
      summary: the first well-formed portrait; "" when there is none.
    """

    place: str
    user_id: str
    model: str
    score: float
    n_events: int
    rows: Sequence[Row]
    mub_lines: Sequence[str]
    sizes: tuple[int, int]
    answers: Sequence[TagAnswer]
    summary: str


@dataclasses.dataclass(frozen=True)
class UserOutputs:
    """A model's samples about one user: `tags` by name with the right value, `portraits` of the summary task."""

    tags: Mapping[str, tuple[str, Sequence[str]]]
    portraits: Sequence[str]


def choose(run: pathlib.Path, schema: TagSchema, model: str) -> list[Example]:
    """The users at `PLACES` when all are ranked by the credit of `model`; ties go by user id."""
    users = read_outputs(run / "6_bench" / OUTPUTS, model)
    if not users:
        return []
    scores = {user: mean_credit(schema, outputs) for user, outputs in users.items()}
    ranked = sorted(users, key=lambda user: (scores[user], user))
    chosen = {place: ranked[int(share * (len(ranked) - 1))] for place, share in PLACES.items()}
    mubs = _rows_of(run / "2_mub", chosen.values()).rows_by_key("user_id", named=True, unique=True)
    events = _rows_of(run / "1_events", chosen.values())
    examples = []
    for place, user in chosen.items():
        log, mub = events.filter(pl.col("user_id") == user), mubs[user]
        answers = [
            answer(schema[tag], mub["mub"], truth, samples) for tag, (truth, samples) in users[user].tags.items()
        ]
        cited = sorted({line for reply in answers for line in reply.lines})
        examples.append(
            Example(
                place=place,
                user_id=user,
                model=model,
                score=scores[user],
                n_events=log.height,
                rows=_some_rows(log, mub["refs"], cited),
                mub_lines=mub["mub"].split("\n"),
                sizes=(mub["raw_tokens"], mub["mub_tokens"]),
                answers=answers,
                summary=_first_portrait(schema, users[user].portraits),
            )
        )
    return examples


def read_outputs(path: pathlib.Path, model: str) -> dict[str, UserOutputs]:
    """Samples of one model by user.

    Raises:
      InputError: naming file and line of one that cannot be read.
    """
    found = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                if record["model"] != model:
                    continue
                tags = {tag: (record["gold"][tag], samples) for tag, samples in record["tags"].items()}
                found[record["user_id"]] = UserOutputs(tags, record["summary"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path}:{number}: not a record of outputs: {error!r}") from None
    return found


def mean_credit(schema: TagSchema, outputs: UserOutputs) -> float:
    """Mean credit over all samples of all tags; a malformed sample has none."""
    credits = [
        _credit(schema[tag], value, truth)
        for tag, (truth, samples) in outputs.tags.items()
        for value, _ in (_parse(schema[tag], sample) for sample in samples)
    ]
    return sum(credits) / len(credits) if credits else 0.0


def answer(tag: Tag, mub: str, truth: str, samples: Sequence[str]) -> TagAnswer:
    """The value most samples answer, with the MUB lines they rightly cite; ties go to the one sampled first."""
    parsed = [_parse(tag, sample) for sample in samples]
    value, votes = collections.Counter(value for value, _ in parsed).most_common(1)[0]
    lines = {line for said, think in parsed if said == value for line in evidence.grounded(think, mub)}
    return TagAnswer(tag.name, truth, value, votes, len(samples), _credit(tag, value, truth), tuple(sorted(lines)))


def _parse(tag: Tag, sample: str) -> tuple[str, str]:
    try:
        return tag_prediction.parse(tag, sample)
    except MalformedOutput:
        return MALFORMED, ""


def _credit(tag: Tag, value: str, truth: str) -> float:
    return 0.0 if value == MALFORMED else tag_prediction.score(tag, value, truth)


def _first_portrait(schema: TagSchema, samples: Sequence[str]) -> str:
    for sample in samples:
        try:
            return summary.parse(schema, sample).summary
        except MalformedOutput:
            continue
    return ""


def _rows_of(folder: pathlib.Path, users: Iterable[str]) -> pl.DataFrame:
    parts = sorted(folder.glob("part-*.parquet"))
    return pl.scan_parquet(parts).filter(pl.col("user_id").cast(pl.String).is_in(list(users))).collect()


def _some_rows(log: pl.DataFrame, refs: Sequence[Sequence[int]], cited: Sequence[int]) -> list[Row]:
    """Events behind the cited lines, a few a line, then the latest ones until there are enough."""
    line_of = {event: line for line, events in enumerate(refs, start=1) for event in events}
    wanted = [event for line in cited for event in refs[line - 1][:_ROWS_PER_LINE]]
    latest = [event for event in reversed(range(log.height)) if event not in wanted]
    kept = sorted([*wanted, *latest][:_MAX_ROWS])
    return [Row(log.row(event, named=True), line_of.get(event, 0)) for event in kept]
