"""Profiling users: MUBs in, personas out as JSON-ready dicts, one a user."""

import dataclasses
import datetime
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import ways
from usergpt_jax.inference import generate
from usergpt_jax.inference.generate import LoadedModel, UserLog
from usergpt_jax.inference.persona import Persona, consolidate
from usergpt_jax.models.sampling import Drawing
from usergpt_jax.schema import NA, TagSchema


@dataclasses.dataclass(frozen=True)
class ProfileConfig:
    """How users are profiled.

    Attributes:
      n_samples: votes a tag, and summaries to choose from.
      min_confidence: vote share below which a value is withheld, in [0, 1].
      temperature: of sampling; 0 is greedy.
      top_k: tokens kept; 0 keeps all.
      top_p: probability mass kept, in (0, 1].
      users_at_once: users held at once.
      samples_at_once: samples a user drawn at once; 0: as many as are busy until the longest ends.
      seed: of sampling.
      constrained: whether only tokens that lead to a well-formed output are drawn.
    """

    n_samples: int
    min_confidence: float
    temperature: float
    top_k: int
    top_p: float
    users_at_once: int
    samples_at_once: int
    seed: int
    constrained: bool

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_confidence <= 1.0:
            raise InputError(f"min_confidence: expected a share in [0, 1], got {self.min_confidence}")
        for name, least in (("n_samples", 1), ("users_at_once", 1), ("samples_at_once", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        self.drawing.check()
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed: expected 0 to {2**31 - 1}, got {self.seed}")

    @property
    def drawing(self) -> Drawing:
        """How tokens are drawn."""
        return Drawing(self.temperature, self.top_k, self.top_p)


@dataclasses.dataclass(frozen=True)
class UserMub:
    """One row of `schema.MUB_SCHEMA`, as far as a persona needs it."""

    user_id: str
    as_of: datetime.datetime
    mub: str
    raw_tokens: int
    mub_tokens: int


def profile(model: LoadedModel, users: Sequence[UserMub], config: ProfileConfig) -> list[dict[str, Any]]:
    """The persona of each user, in order (see `to_json`).

    Args:
      model: from `generate.load_model`.
      users: whom to profile.
      config: how.
    """
    schema = model.schema
    texts = generate.ask(
        model,
        [UserLog(user.user_id, user.mub) for user in users],
        generate.task_questions(model, config.n_samples, config.n_samples),
        config.drawing,
        users_at_once=held_at_once(config, len(users), model.mesh),
        samples_at_once=config.samples_at_once,
        seed=config.seed,
        label="personas",
        grammar=generate.task_grammar(model) if config.constrained else None,
    )
    personas = []
    for user, (*by_tag, summaries) in zip(users, texts, strict=True):
        outputs = dict(zip(schema.names, by_tag, strict=True))
        persona = consolidate(schema, user.mub, outputs, summaries, config.min_confidence)
        personas.append(to_json(user, persona, len(model.tokenizer.encode(persona.summary))))
    return personas


def held_at_once(config: ProfileConfig, n_users: int, mesh: Mesh) -> int:
    """Users held at once: no more than there are, in whole rows of the mesh."""
    row = ways("batch", mesh)
    return min(config.users_at_once, -(-max(n_users, 1) // row) * row)


def to_json(user: UserMub, persona: Persona, summary_tokens: int) -> dict[str, Any]:
    """One line of the output: user_id, as_of, tags, summary, mub as lines, and how much shorter each form is.

    `compression.raw_to_mub` is the share of the raw log's tokens that the MUB saves, likewise the other ratios; null
    where there is nothing to compress.
    """
    return {
        "user_id": user.user_id,
        "as_of": user.as_of.isoformat(),
        "tags": {name: verdict.to_json() for name, verdict in persona.tags.items()},
        "summary": persona.summary,
        "summary_source": persona.summary_source,
        "mub": user.mub.split("\n") if user.mub else [],
        "compression": {
            "raw_tokens": user.raw_tokens,
            "mub_tokens": user.mub_tokens,
            "summary_tokens": summary_tokens,
            "raw_to_mub": _saved(user.raw_tokens, user.mub_tokens),
            "mub_to_summary": _saved(user.mub_tokens, summary_tokens),
            "raw_to_summary": _saved(user.raw_tokens, summary_tokens),
        },
    }


def check_writable(path: str | os.PathLike[str], sources: Iterable[str | os.PathLike[str]]) -> None:
    """Tells before the work, not after it, that an output file cannot be written or would replace what is read.

    Raises:
      InputError: its folder is missing or takes no file, it is a folder, or it is one of the sources.
    """
    path = pathlib.Path(path)
    for source in map(pathlib.Path, sources):
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: the personas would replace what is read; choose another output file")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent):
            writable = not path.is_dir()
    except OSError:
        writable = False
    if not writable:
        raise InputError(f"{path}: cannot be written; expected a file name in a folder that exists and takes files")


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON line a row; the file appears when all are written, so a killed run leaves none.

    Raises:
      InputError: the file cannot be written there.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(path.name + ".partial")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def closing_table(schema: TagSchema, personas: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """What was found: users, how many tags are NA and why, compression, users a second."""
    n_users = len(personas)
    lines = [f"{'tag':20s} {'NA':>6s}  most frequent value"]
    for name in schema.names:
        found = [persona["tags"][name]["value"] for persona in personas]
        known = sorted(value for value in found if value != NA)
        top = max(dict.fromkeys(known), key=known.count, default="-")
        share = f" ({known.count(top) / n_users:.0%})" if known else ""
        lines.append(f"{name:20s} {1 - len(known) / n_users:6.1%}  {top}{share}")
    saved = [persona["compression"]["raw_to_mub"] for persona in personas]
    saved_all = [persona["compression"]["raw_to_summary"] for persona in personas]
    composed = sum(persona["summary_source"] == "composed" for persona in personas)
    lines += [
        f"median tokens saved: raw log to MUB {_median(saved)}, raw log to summary {_median(saved_all)}",
        f"summaries: {n_users - composed} of the model, {composed} composed from the tags",
        f"{n_users} users in {seconds:.1f} s ({n_users / seconds:.1f} users/s)",
    ]
    return "\n".join(lines)


def _saved(before: int, after: int) -> float | None:
    return round(1.0 - after / before, 4) if before else None


def _median(shares: Iterable[float | None]) -> str:
    known = [share for share in shares if share is not None]
    return f"{np.median(known):.1%}" if known else "-"
