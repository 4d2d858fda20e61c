"""Stage `curriculum`: MUBs and labels in, questions with target outputs out."""

import collections
import dataclasses
import pathlib
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from tqdm import tqdm

from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import run_config, to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus import records
from usergpt_jax.corpus.split import SplitConfig, split_of
from usergpt_jax.curriculum import stages
from usergpt_jax.curriculum.labels import pseudo_labels
from usergpt_jax.curriculum.teachers import Analyst, Features, Learner
from usergpt_jax.curriculum.voting import Vote, VotingConfig, vote
from usergpt_jax.schema import Question, TagSchema, UserTree
from usergpt_jax.tags import tag_schema

FOLDER = "3_curriculum"


@dataclasses.dataclass(frozen=True)
class CurriculumConfig:
    """How questions are made.

    Attributes:
      labels: where pseudo-labels come from, see `labels.SOURCES`.
      voting: how teachers vote.
      analyst_temperature: spread of the lexicon teacher's answers, in units of support.
      n_folds: cross-fitting folds of the teachers that learn.
      min_supported_frac: share of a user's labels the teachers must support for a composite question.
      stage2_replay_frac: share of stage-2 trees asked again in stage 3.
      rl_per_cell: most reinforcement users of one gender and age band.
    """

    labels: str
    voting: VotingConfig
    analyst_temperature: float
    n_folds: int
    min_supported_frac: float
    stage2_replay_frac: float
    rl_per_cell: int


def run(config: ConfigDict, on_change: str) -> None:
    """Writes `3_curriculum/`: a TFDS dataset with the splits stage1, stage2, stage3, rl."""
    top = run_config(config)
    cfg = to_dataclass(CurriculumConfig, config.curriculum, "curriculum")
    split = to_dataclass(SplitConfig, config.split, "split")
    tags = tag_schema(top.tag_schema)
    stage = run_dir.open_stage(
        top.run_dir,
        FOLDER,
        config={"curriculum": cfg, "split": split, "tag_schema": top.tag_schema, "seed": top.seed},
        inputs=("1_events", "2_mub"),
        on_change=on_change,
    )
    if stage is None:
        print(f"{FOLDER}: reused")
        return
    stage.clear()
    mubs = _read_mubs(stage.run / "2_mub").with_columns(
        split=pl.col("user_id").map_elements(lambda user: split_of(user, split), return_dtype=pl.String)
    )
    mubs = mubs.filter(pl.col("split") != "bench")  # held out: nothing here may see them
    labels = pseudo_labels(cfg.labels, stage.run / "1_events", mubs, tags)
    rng = np.random.default_rng((top.seed, 3))
    votes = _vote_all(mubs["mub"].to_list(), labels, tags, rng, cfg)
    splits = _make_splits(mubs, labels, votes, tags, rng, cfg)
    records.write_trees(stage.path, splits)
    counts = _counts(splits, votes)
    stage.finish(counts)
    print(f"{FOLDER}: " + ", ".join(f"{name} {count:,}" for name, count in counts["questions"].items()) + " questions")


def _read_mubs(folder: pathlib.Path) -> pl.DataFrame:
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise InputError(f"{folder}: no part-*.parquet here")
    for part in parts:
        schema.check_columns(pq.read_schema(part), schema.MUB_SCHEMA, str(part))
    return pl.concat([pl.read_parquet(part, columns=["user_id", "mub"]) for part in parts])


def _vote_all(
    mubs: list[str], labels: list[dict[str, str]], tags: TagSchema, rng: np.random.Generator, cfg: CurriculumConfig
) -> list[dict[str, Vote]]:
    """Votes of every user and tag."""
    folds = rng.integers(cfg.n_folds, size=len(mubs))
    analyst = Analyst(mubs, tags, cfg.analyst_temperature)
    features = Features(mubs)
    statistician = Learner("bayes", features, folds, cfg.n_folds)
    expert = Learner("ridge", features, folds, cfg.n_folds)
    votes: list[dict[str, Vote]] = [{} for _ in mubs]
    for tag in tqdm(tags.tags, desc="voting", unit="tag"):
        right = [label[tag.name] for label in labels]
        teachers = (analyst.answers(tag), statistician.answers(tag, right))
        for user, result in enumerate(vote(tag, right, teachers, expert.answers(tag, right), rng, cfg.voting)):
            votes[user][tag.name] = result
    return votes


def _make_splits(
    mubs: pl.DataFrame,
    labels: list[dict[str, str]],
    votes: list[dict[str, Vote]],
    tags: TagSchema,
    rng: np.random.Generator,
    cfg: CurriculumConfig,
) -> dict[str, list[UserTree]]:
    """Builds the trees of every split; users of the split "rl" appear in no other."""
    users, texts, names = mubs["user_id"].to_list(), mubs["mub"].to_list(), mubs["split"].to_list()
    splits: dict[str, list[UserTree]] = {"stage1": [], "stage2": [], "stage3": [], "rl": []}

    def add(name: str, user: int, questions: list[Question]) -> None:
        if questions:
            splits[name].append(UserTree(users[user], texts[user], tuple(questions)))

    for user in range(len(users)):
        if names[user] != "sft":
            continue
        by_stage = {
            name: stages.tag_questions(tags, labels[user], votes[user], outcome)
            for name, outcome in stages.OUTCOME_OF_STAGE.items()
        }
        add("stage1", user, by_stage["stage1"])
        add("stage2", user, by_stage["stage2"])
        composite = stages.summary_question(tags, labels[user], votes[user], cfg.min_supported_frac)
        replay = by_stage["stage2"] if rng.random() < cfg.stage2_replay_frac else []
        add("stage3", user, ([composite] if composite else []) + replay)
    candidates = [i for i, name in enumerate(names) if name == "rl" and not tags.violations(labels[i])]
    cells = [f"{labels[i].get('gender')} {labels[i].get('age_band')}" for i in candidates]
    for index in stages.stratified(cells, cfg.rl_per_cell, rng):
        user = candidates[index]
        add("rl", user, [stages.reinforcement_question(labels[user])])
    for name, trees in splits.items():
        if not trees:
            raise InputError(f"config.curriculum: no question is left for {name} from {len(users)} users")
    return splits


def _counts(splits: dict[str, list[UserTree]], votes: list[dict[str, Vote]]) -> dict[str, Any]:
    outcomes = collections.Counter(v.outcome for row in votes for v in row.values())
    histogram = collections.Counter(v.votes for row in votes for v in row.values())
    composite = sum(q.task == "summary" for tree in splits["stage3"] for q in tree.questions)
    return {
        "trees": {name: len(trees) for name, trees in splits.items()},
        "questions": {name: sum(len(tree.questions) for tree in trees) for name, trees in splits.items()},
        "stage3_composites": composite,
        "outcomes": dict(sorted(outcomes.items())),
        "votes": {str(count): histogram[count] for count in sorted(histogram)},
    }
