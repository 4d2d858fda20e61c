"""The records that stages hand to one another: event log, truth, provenance, MUB, questions, results.

Data only, no compute. Files are Parquet (tables) and ArrayRecord (questions); every stage checks what it reads
with `check_columns`, so a broken file stops with its name and the column.
"""

import dataclasses
from collections.abc import Mapping

import pyarrow as pa

from usergpt_jax.core.errors import InputError

SOURCES = ("ecommerce", "delivery", "travel", "poi", "other")
ACTIONS = ("search", "click", "favorite", "cart", "purchase", "visit")
NA = "NA"

# One row an event, sorted by (user_id, time) within a part; a user never spans parts.
EVENT_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("s"), nullable=False),  # the user's local time
        pa.field("source", pa.string(), nullable=False),  # one of SOURCES
        pa.field("action", pa.string(), nullable=False),  # one of ACTIONS
        pa.field("title", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("place", pa.string()),
        pa.field("price", pa.float32()),  # of one unit, in the log's currency
        pa.field("quantity", pa.float32()),  # a purchase with a negative quantity is a return
    ]
)

# Why an event happened. Hidden from every model input; used for labels, traps and evidence only.
#   need, routine: the user's own; the others are traps: gift and proxy are bought for somebody else, shared_account is
#   somebody else, misclick and exploration are browsing without a need, bait is an own event whose title suggests
#   something false about the user, stale_stage belongs to a stage of life that is over, hot_topic follows the news,
#   return takes a purchase back.
CAUSES = (
    *("need", "routine", "gift", "proxy", "shared_account", "misclick", "exploration", "bait", "stale_stage"),
    *("hot_topic", "return"),
)
# How the session of an event ended.
OUTCOMES = ("browsed", "abandoned", "ordered", "booked", "visited", "recorded", "returned")

# The key of an event is (user_id, event_index): its row number among that user's events, from 0.
PROVENANCE_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("event_index", pa.int32(), nullable=False),
        pa.field("session", pa.int32(), nullable=False),  # number of the session among that user's, from 0
        pa.field("tool", pa.string(), nullable=False),  # the tool whose call left the event
        pa.field("cause", pa.string(), nullable=False),  # one of CAUSES
        pa.field("need", pa.string()),  # name of the desire behind it, or null
        pa.field("outcome", pa.string(), nullable=False),  # one of OUTCOMES
    ]
)

# One row a user. `refs[i]` holds the event indices behind MUB line i; `lines` of `mub` are joined by "\n".
MUB_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("as_of", pa.timestamp("s"), nullable=False),
        pa.field("mub", pa.string(), nullable=False),
        pa.field("refs", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("n_events", pa.int32(), nullable=False),
        pa.field("n_lines", pa.int32(), nullable=False),
        pa.field("raw_chars", pa.int64(), nullable=False),
        pa.field("mub_chars", pa.int64(), nullable=False),
        pa.field("raw_tokens", pa.int64(), nullable=False),
        pa.field("mub_tokens", pa.int64(), nullable=False),
    ]
)


def truth_schema(tag_names: tuple[str, ...]) -> pa.Schema:
    """Schema of `users.parquet`: one string column a tag (`NA` where the emitted log holds too little evidence)."""
    return pa.schema(
        [
            pa.field("user_id", pa.string(), nullable=False),
            pa.field("as_of", pa.timestamp("s"), nullable=False),
            *(pa.field(name, pa.string(), nullable=False) for name in tag_names),
            pa.field("observable", pa.list_(pa.string()), nullable=False),  # tags that the log holds evidence of
            pa.field("persona", pa.string(), nullable=False),  # JSON: hidden values of all tags and more
            pa.field("life_events", pa.string(), nullable=False),  # JSON list of {"date", "event"}
        ]
    )


class SchemaError(InputError):
    """A file or record does not have the declared columns or values."""


def check_columns(actual: pa.Schema, expected: pa.Schema, path: str) -> None:
    """Raises `SchemaError`, naming file and column, unless `actual` has every field of `expected` with its type."""
    for field in expected:
        index = actual.get_field_index(field.name)
        if index < 0:
            raise SchemaError(f"{path}: column {field.name!r} is missing; expected {', '.join(expected.names)}")
        if not _same_type(actual.field(index).type, field.type):
            raise SchemaError(f"{path}: column {field.name!r} is {actual.field(index).type}, expected {field.type}")


def _same_type(actual: pa.DataType, expected: pa.DataType) -> bool:
    """Whether two types are equal, taking dictionary-encoded and large strings for strings.

    Timestamps are equal whatever their unit: Parquet has no seconds and reads them back as milliseconds.
    """
    if pa.types.is_dictionary(actual):
        actual = actual.value_type
    strings = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if pa.types.is_string(expected):
        return any(check(actual) for check in strings)
    if pa.types.is_timestamp(expected):
        return pa.types.is_timestamp(actual)
    if pa.types.is_list(expected):
        lists = pa.types.is_list(actual) or pa.types.is_large_list(actual)
        return lists and _same_type(actual.value_type, expected.value_type)
    return actual == expected


@dataclasses.dataclass(frozen=True)
class Tag:
    """One attribute of a user.

    Attributes:
      name: identifier, also the JSON key in model outputs.
      dimension: short name of the group the tag is reported in.
      question: wording of the question put to the model.
      values: the closed value set without NA, or empty for an open tag.
      phrases: how the summary words each value; an open tag has the one key "{}", a template.
      max_items: how many values an open tag may list, joined by ", ".
      known_values: values of an open tag that are worth a place in a vocabulary; not all that it may take.
    """

    name: str
    dimension: str
    question: str
    values: tuple[str, ...]
    phrases: Mapping[str, str]
    max_items: int = 1
    known_values: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the value is free text."""
        return not self.values


@dataclasses.dataclass(frozen=True)
class Implication:
    """If `if_tag` has one of `if_values`, then `then_tag` has one of `then_values` (or is NA)."""

    if_tag: str
    if_values: tuple[str, ...]
    then_tag: str
    then_values: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class TagSchema:
    """A set of tags with the rules that hold between them."""

    name: str
    tags: tuple[Tag, ...]
    dimensions: Mapping[str, str]  # short name -> title
    rules: tuple[Implication, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tags, in order."""
        return tuple(tag.name for tag in self.tags)

    def __getitem__(self, name: str) -> Tag:
        for tag in self.tags:
            if tag.name == name:
                return tag
        raise KeyError(f"tag {name!r} is not in schema {self.name!r}; it has {', '.join(self.names)}")

    def violations(self, values: Mapping[str, str]) -> list[Implication]:
        """The rules that `values` (tag name to value; absent means NA) breaks."""
        return [
            rule
            for rule in self.rules
            if values.get(rule.if_tag, NA) in rule.if_values
            and values.get(rule.then_tag, NA) not in (*rule.then_values, NA)
        ]


@dataclasses.dataclass(frozen=True)
class Question:
    """One branch of a user's tree: a task, the tag it asks about ("" for the summary), and the target output."""

    task: str
    tag: str
    output: str
    label: str


@dataclasses.dataclass(frozen=True)
class UserTree:
    """One record of the curriculum: a user's MUB (the trunk) and the questions put to it (the branches)."""

    user_id: str
    mub: str
    questions: tuple[Question, ...]


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of results.jsonl: a metric of a model on a task, with a 95 % interval.

    Attributes:
      model: e.g. "majority", "linear", "stage3", "df_grpo".
      task: "tags" or "summary".
      metric: e.g. "avg@10", "pass@5", "acc_ex".
      scope: "all", "dimension:LS" or "tag:gender".
      value: the estimate.
      low: lower end of the interval.
      high: upper end of the interval.
      n_users: users it was measured on.
    """

    model: str
    task: str
    metric: str
    scope: str
    value: float
    low: float
    high: float
    n_users: int
