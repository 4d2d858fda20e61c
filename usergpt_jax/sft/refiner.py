"""The refiner: a small decoder trained to refine titles, on the gold of a simulated run.

It reads only rows of the split "train"; tokenizer, brands and nouns to augment with come from the same rows.

Paper: §2.2 (a fine-tuned 1.7B model). Differs from the paper: a model of a million parameters, trained from scratch.
"""

import dataclasses
import shutil
from collections.abc import Iterator, Sequence

import grain
import jax
import numpy as np
import polars as pl
from ml_collections import ConfigDict

from usergpt_jax.core import checkpoint, run_dir
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.config import require_positive, to_dataclass, to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.optimizer import OptimizerConfig
from usergpt_jax.corpus.gold_titles import read_gold
from usergpt_jax.corpus.trees import TreeBatch, TreeShape, tree_of
from usergpt_jax.corpus.word_pieces import WordPieces, train_word_pieces
from usergpt_jax.models import qwen3
from usergpt_jax.models.qwen3 import Qwen3Config
from usergpt_jax.models.qwen3_config import check_device
from usergpt_jax.sft.title_augment import Augmenter, Example
from usergpt_jax.sft.train import TrainConfig, train
from usergpt_jax.tasks import pointing, refinement
from usergpt_jax.tasks.refinement import Refined

FOLDER = "refiner"
_N_MADE_UP_TITLES = 4000  # with made-up brands, for the tokenizer
_MAX_TRIES = 20  # draws for a title that fits
_NO_LIMIT = 1 << 30
_OFFSET = 1 << 32  # keeps the tokenizer's draws apart from the batches'


@dataclasses.dataclass(frozen=True)
class RefinerConfig:
    """The section `refiner`.

    Attributes:
      n_steps: optimizer steps.
      batch_titles: titles a step.
      title_tokens: P, longest title.
      answer_tokens: R, longest category and answer together.
      vocab_size: ids of the tokenizer.
      chunk_tokens: tokens whose logits exist at once.
      save_every_steps: steps between saved states.
      log_every_steps: steps between logged metrics.
      optimizer: learning rate and the like.
    """

    n_steps: int
    batch_titles: int
    title_tokens: int
    answer_tokens: int
    vocab_size: int
    chunk_tokens: int
    save_every_steps: int
    log_every_steps: int
    optimizer: OptimizerConfig

    def __post_init__(self) -> None:
        require_positive({key: value for key, value in vars(self).items() if isinstance(value, int)}, "refiner")


@dataclasses.dataclass(frozen=True)
class _Top:
    """The keys at the top of the config."""

    run_dir: str
    seed: int


def run(config: ConfigDict, on_change: str) -> None:
    """Writes `refiner/model`: parameters, card and tokenizer; and the metrics of its training.

    Raises:
      InputError: config or gold at fault.
    """
    top = to_dataclass(_Top, ConfigDict({"run_dir": config.run_dir, "seed": config.seed}), "")
    cfg = to_dataclass(RefinerConfig, config.refiner, "refiner")
    model = to_dataclass(Qwen3Config, config.model, "model")
    mesh_config = to_dataclass(mesh_lib.MeshConfig, config.mesh, "mesh")
    model.check()
    check_device(model)
    if model.lora is not None:
        raise InputError("config.model.lora: expected None; a refiner is trained from scratch, so all its weights are")
    stage = run_dir.open_stage(
        top.run_dir,
        FOLDER,
        config={"refiner": cfg, "model": model, "seed": top.seed},
        inputs=("1_events",),
        on_change=on_change,
    )
    if stage is None:
        print(f"{top.run_dir}/{FOLDER}: reused")
        return
    gold = read_gold(stage.run)
    augmenter = Augmenter(training_titles(gold), marketing_phrases(gold))
    tokenizer = train_word_pieces(
        tokenizer_texts(augmenter, top.seed), stage.path / "tokenizer", vocab_size=cfg.vocab_size, seed=top.seed
    )
    mesh = mesh_lib.make_mesh(mesh_config)
    params = train(
        stage.path,
        qwen3.init_sharded(model, tokenizer.vocab_size, jax.random.key(top.seed), mesh),
        batches(augmenter, tokenizer, cfg, top.seed),
        model=model,
        train_config=TrainConfig(
            cfg.n_steps, cfg.save_every_steps, cfg.log_every_steps, cfg.chunk_tokens, cfg.optimizer
        ),
        first_output=first_output(tokenizer),
        mesh=mesh,
        name=FOLDER,
    )
    card = {
        "model": to_plain(model),
        "vocab_size": tokenizer.vocab_size,
        "title_tokens": cfg.title_tokens,
        "task": refinement.NAME,
    }
    checkpoint.save_params(stage.path / "model", params, card)
    tokenizer.save(stage.path / "model" / "tokenizer")
    for folder in ("tokenizer", "state"):  # made again, or useless now
        shutil.rmtree(stage.path / folder, ignore_errors=True)
    rows = dict(gold["split"].value_counts().sort("split").iter_rows())
    stage.finish({"parameters": qwen3.n_params(params), "vocab_size": tokenizer.vocab_size, "rows": rows})
    print(f"{top.run_dir}/{FOLDER}: {qwen3.n_params(params):,} parameters, trained on {rows['train']:,} titles")


def training_titles(gold: pl.DataFrame) -> list[tuple[str, str, Refined, str]]:
    """(title, category, answer, brand) of the rows to train on, each title once.

    Raises:
      InputError: there is none.
    """
    rows = gold.filter(pl.col("split") == "train").unique("title", keep="first", maintain_order=True)
    if rows.is_empty():
        raise InputError("the gold of titles has no row to train on")
    columns = rows.select("title", "category", "core_entity", "attributes", pl.col("brand").fill_null(""))
    return [(title, leaf, Refined(core, tuple(stated)), brand) for title, leaf, core, stated, brand in columns.rows()]


def marketing_phrases(gold: pl.DataFrame) -> list[str]:
    """What the training titles hold in brackets: phrases that sell."""
    titles = gold.filter(pl.col("split") == "train")["title"]
    return sorted(set(titles.str.extract(r"\[([^\]]+)\]").drop_nulls()))


def tokenizer_texts(augmenter: Augmenter, seed: int) -> Iterator[str]:
    """Titles and answers to learn pieces from: a sample of what training draws."""
    rng = np.random.default_rng((seed, _OFFSET))
    for _ in range(_N_MADE_UP_TITLES):
        example = augmenter.example(int(rng.integers(len(augmenter))), rng)
        yield from (refinement.plain(example.title), refinement.plain(refinement.target(example.answer)))


def first_output(tokenizer: WordPieces) -> int:
    """Tokens before the answer when there is no category."""
    return len(pointing.prompt_ids(tokenizer, "", None, 0)[1])


def batches(
    augmenter: Augmenter, tokenizer: WordPieces, cfg: RefinerConfig, seed: int
) -> grain.DatasetIterator[TreeBatch]:
    """Endless batches; batch n depends on seed and n alone, so a resumed run sees what an undisturbed one would."""
    shape = TreeShape(cfg.title_tokens, 1, cfg.answer_tokens)

    def batch(number: int) -> TreeBatch:
        rng = np.random.default_rng((seed, number))
        return stack([fitting(augmenter, tokenizer, shape, rng) for _ in range(cfg.batch_titles)])

    dataset = grain.MapDataset.range(cfg.n_steps + 1).repeat().map(batch)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))


def stack(trees: Sequence[TreeBatch]) -> TreeBatch:
    """Trees with a batch axis."""
    return TreeBatch(*(np.stack(arrays) for arrays in zip(*trees, strict=True)))


def fitting(augmenter: Augmenter, tokenizer: WordPieces, shape: TreeShape, rng: np.random.Generator) -> TreeBatch:
    """One drawn example that fits the shape.

    Raises:
      InputError: none does, so the shape is too small for these titles.
    """
    for _ in range(_MAX_TRIES):
        example = augmenter.example(int(rng.integers(len(augmenter))), rng)
        encoded = encode(tokenizer, example, shape.trunk_tokens)
        if encoded is not None and len(encoded[1][0]) <= shape.branch_tokens:
            return tree_of(tokenizer, encoded[0], [encoded[1]], shape)
    raise InputError(
        f"config.refiner: no title of {_MAX_TRIES} fits title_tokens = {shape.trunk_tokens} and "
        f"answer_tokens = {shape.branch_tokens}"
    )


def encode(
    tokenizer: WordPieces, example: Example, max_title_tokens: int
) -> tuple[list[int], tuple[list[int], int]] | None:
    """Ids of the title; those of category and answer, and how many stand before the answer.

    None when title and category do not hold the answer, or the title is longer than what is read of it.
    """
    whole, _ = pointing.prompt_ids(tokenizer, example.title, None, _NO_LIMIT)
    title, before = pointing.prompt_ids(tokenizer, example.title, example.category, max_title_tokens)
    answer = pointing.answer_ids(tokenizer, example.answer, example.title, example.category)
    return None if answer is None or len(title) < len(whole) else (title, ([*before, *answer], len(before)))
