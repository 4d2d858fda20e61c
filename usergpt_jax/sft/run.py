"""Stage `sft`: the three curriculum stages, each starting from the model of the one before."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

from ml_collections import ConfigDict

from usergpt_jax.core import checkpoint, run_dir
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.config import require_positive, run_config, to_dataclass, to_plain
from usergpt_jax.core.optimizer import OptimizerConfig
from usergpt_jax.corpus.batches import Bucket, Encoder, TaskTrees, batch_iterator
from usergpt_jax.corpus.records import TreeSource
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.corpus.trees import TreeShape
from usergpt_jax.models import qwen3
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.models.qwen3_config import check_device
from usergpt_jax.sft.start import start_params
from usergpt_jax.sft.train import TrainConfig, train
from usergpt_jax.tags import tag_schema
from usergpt_jax.tasks import summary, tag_prediction
from usergpt_jax.tasks.wording import PromptConfig

FOLDER = "4_sft"
STAGES = ("stage1", "stage2", "stage3")


@dataclasses.dataclass(frozen=True)
class SftConfig:
    """How the model is fine-tuned.

    Attributes:
      n_steps: optimizer steps of stages 1, 2 and 3.
      lr: peak learning rate of every stage.
      lr_scale: factor on `lr` for stages 1, 2 and 3.
      warmup_frac: share of a stage's steps over which the rate rises.
      final_lr_frac: last rate as a share of the peak.
      weight_decay: of AdamW.
      clip_norm: largest gradient norm.
      init_from: Hugging Face folder with the weights to start from; empty: random ones.
      lexical_init: start from `corpus.lexical_init` instead of random embeddings.
      trunk_tokens: P, of role and MUB.
      tag_branches: G of batches of tag questions.
      tag_branch_tokens: R of batches of tag questions.
      tag_batch_users: trees in a batch of tag questions.
      summary_branch_tokens: R of batches of summaries, one branch a tree.
      summary_batch_users: trees in a batch of summaries.
      summary_weight: share of stage-3 batches that are summaries; the others replay tag questions.
      chunk_tokens: tokens whose logits exist at once.
      save_every_steps: steps between saved states.
      log_every_steps: steps between logged metrics.
    """

    n_steps: tuple[int, int, int]
    lr: float
    lr_scale: tuple[float, float, float]
    warmup_frac: float
    final_lr_frac: float
    weight_decay: float
    clip_norm: float
    init_from: str
    lexical_init: bool
    trunk_tokens: int
    tag_branches: int
    tag_branch_tokens: int
    tag_batch_users: int
    summary_branch_tokens: int
    summary_batch_users: int
    summary_weight: float
    chunk_tokens: int
    save_every_steps: int
    log_every_steps: int

    def __post_init__(self) -> None:
        counts = {key: value for key, value in vars(self).items() if isinstance(value, int) and key != "lexical_init"}
        require_positive(counts | {"lr": self.lr, "n_steps": min(self.n_steps)}, "sft")

    def optimizer(self, index: int) -> OptimizerConfig:
        """Of stage `index`, from 0."""
        return OptimizerConfig(
            self.lr * self.lr_scale[index], self.warmup_frac, self.final_lr_frac, self.weight_decay, self.clip_norm
        )


def run(config: ConfigDict, on_change: str) -> None:
    """Writes `4_sft/stage{1,2,3}/`: the model of each stage, and its metrics."""
    top = run_config(config)
    cfg = to_dataclass(SftConfig, config.sft, "sft")
    model = to_dataclass(Qwen3Config, config.model, "model")
    prompt = to_dataclass(PromptConfig, config.prompt, "prompt")
    mesh_config = to_dataclass(mesh_lib.MeshConfig, config.mesh, "mesh")
    schema = tag_schema(top.tag_schema)
    model.check()
    check_device(model)
    stage = run_dir.open_stage(
        top.run_dir,
        FOLDER,
        config={"sft": cfg, "model": model, "prompt": prompt, "tag_schema": top.tag_schema, "seed": top.seed},
        inputs=("2_mub", "3_curriculum"),
        on_change=on_change,
    )
    if stage is None:
        print(f"{FOLDER}: reused")
        return
    mesh = mesh_lib.make_mesh(mesh_config)
    tokenizer = load_tokenizer(stage.run / "2_mub" / "tokenizer")
    encoder = Encoder(tokenizer, schema, prompt)
    params, vocab_size, source = start_params(
        cfg.init_from,
        model,
        tokenizer,
        mesh,
        top.seed,
        lexical=cfg.lexical_init,
        longest_tokens=cfg.trunk_tokens + max(cfg.tag_branch_tokens, cfg.summary_branch_tokens),
    )
    card = {
        "model": to_plain(model),
        "vocab_size": vocab_size,
        **source,
        "prompt": to_plain(prompt),
        "tag_schema": top.tag_schema,
        "trunk_tokens": cfg.trunk_tokens,
        "tag_branch_tokens": cfg.tag_branch_tokens,
        "summary_branch_tokens": cfg.summary_branch_tokens,
        "semantize": run_dir.read_manifest(stage.run, "2_mub").config["semantize"],  # of the data, not of this call
        "reading": json.loads((stage.run / "2_mub" / "reading.json").read_text(encoding="utf-8")),
    }
    counts: dict[str, Any] = {"parameters": qwen3.n_params(params), "vocab_size": vocab_size}
    for index, name in enumerate(STAGES):
        folder = stage.path / name
        buckets = _buckets(stage.run / "3_curriculum", name, encoder, cfg)
        counts[name] = {f"{b.trees.task}_trees": len(b.trees) for b in buckets} | {
            f"{b.trees.task}_too_long": b.trees.n_too_long for b in buckets
        }
        if not (folder / "model").exists():
            batches = batch_iterator(buckets, encoder, seed=1000 * top.seed + 10 * index)
            params = train(
                folder,
                params,
                batches,
                model=model,
                train_config=_train_config(cfg, index),
                first_output=min(bucket.trees.first_output for bucket in buckets),
                mesh=mesh,
                name=name,
            )
            _publish(folder, params, {**card, "stage": name}, encoder)
        else:
            params = checkpoint.load_params(folder / "model", params)
    stage.finish(counts)
    print(f"{FOLDER}: {counts['parameters']:,} parameters, " + ", ".join(f"{n} {counts[n]}" for n in STAGES))


def _buckets(folder: pathlib.Path, name: str, encoder: Encoder, cfg: SftConfig) -> list[Bucket]:
    """The kinds of batches a stage draws from: tag questions, and in stage 3 summaries too."""
    source = TreeSource(folder, name)
    shapes = {
        tag_prediction.NAME: TreeShape(cfg.trunk_tokens, cfg.tag_branches, cfg.tag_branch_tokens),
        summary.NAME: TreeShape(cfg.trunk_tokens, 1, cfg.summary_branch_tokens),
    }
    trees = {task: TaskTrees(source, task, encoder, shape) for task, shape in shapes.items()}
    weights = {tag_prediction.NAME: 1.0 - cfg.summary_weight, summary.NAME: cfg.summary_weight}
    users = {tag_prediction.NAME: cfg.tag_batch_users, summary.NAME: cfg.summary_batch_users}
    return [
        Bucket(trees[task], shape, users[task], weights[task]) for task, shape in shapes.items() if len(trees[task])
    ]


def _train_config(cfg: SftConfig, index: int) -> TrainConfig:
    return TrainConfig(
        cfg.n_steps[index], cfg.save_every_steps, cfg.log_every_steps, cfg.chunk_tokens, cfg.optimizer(index)
    )


def _publish(folder: pathlib.Path, params: Params, card: dict[str, Any], encoder: Encoder) -> None:
    """Writes the model folder in one move, and drops the training state that it makes useless."""
    partial = folder / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    checkpoint.save_params(partial, params, card)
    encoder.tokenizer.save(partial / "tokenizer")
    partial.rename(folder / "model")
    shutil.rmtree(folder / "state")
