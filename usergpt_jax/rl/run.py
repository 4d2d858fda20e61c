"""Stage `rl`: DF-GRPO from the model of the last SFT stage."""

import dataclasses
import shutil

from ml_collections import ConfigDict

from usergpt_jax.core import checkpoint, run_dir
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.config import run_config, to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.metrics import read_metrics
from usergpt_jax.corpus.batches import Encoder
from usergpt_jax.corpus.records import TreeSource
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.models import qwen3
from usergpt_jax.models.qwen3_config import check_device, from_card
from usergpt_jax.models.sampler import SamplingConfig
from usergpt_jax.rl.advantage import ADVANTAGE
from usergpt_jax.rl.reward import RewardConfig
from usergpt_jax.rl.rollout import prompt_iterator
from usergpt_jax.rl.train import NORMALISE, GrpoConfig, Policy, train
from usergpt_jax.tags import tag_schema
from usergpt_jax.tasks.wording import PromptConfig

FOLDER = "5_rl"
START = "4_sft/stage3/model"


@dataclasses.dataclass(frozen=True)
class RlConfig:
    """The section `rl` of a config.

    Attributes:
      grpo: the algorithm.
      reward: what a good portrait is.
      n_samples: G, samples a group.
      max_new_tokens: length limit of a sample.
      temperature: of rollouts.
      top_k: of rollouts; 0 keeps all.
      top_p: of rollouts; 1 keeps all.
    """

    grpo: GrpoConfig
    reward: RewardConfig
    n_samples: int
    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float


def run(config: ConfigDict, on_change: str) -> None:
    """Writes `5_rl/`: the model and its metrics."""
    top = run_config(config)
    cfg = to_dataclass(RlConfig, config.rl, "rl")
    mesh_config = to_dataclass(mesh_lib.MeshConfig, config.mesh, "mesh")
    for key, value, allowed in (
        ("advantage", cfg.grpo.advantage, ADVANTAGE),
        ("normalise", cfg.grpo.normalise, NORMALISE),
    ):
        if value not in allowed:
            raise InputError(f"config.rl.grpo.{key}: {value!r} is not one of {', '.join(allowed)}")
    stage = run_dir.open_stage(
        top.run_dir,
        FOLDER,
        config={"rl": cfg, "seed": top.seed},
        inputs=("3_curriculum", "4_sft"),
        on_change=on_change,
    )
    if stage is None:
        print(f"{FOLDER}: reused")
        return
    card = checkpoint.load_card(stage.run / START)
    model = from_card(card["model"])
    check_device(model)
    mesh = mesh_lib.make_mesh(mesh_config)
    tokenizer = load_tokenizer(stage.run / START / "tokenizer")
    encoder = Encoder(tokenizer, tag_schema(card["tag_schema"]), PromptConfig(**card["prompt"]))
    params = checkpoint.load_params(stage.run / START, qwen3.sharded_shapes(model, card["vocab_size"], mesh))
    sampling = SamplingConfig(
        cfg.n_samples, cfg.max_new_tokens, cfg.temperature, cfg.top_k, cfg.top_p, tokenizer.end_id
    )
    trees = TreeSource(stage.run / "3_curriculum", "rl")
    if len(trees) < cfg.grpo.batch_groups:
        raise InputError(f"config.rl.grpo.batch_groups: {cfg.grpo.batch_groups} groups, but only {len(trees)} users")
    prompts = prompt_iterator(trees, encoder, card["trunk_tokens"], cfg.grpo.batch_groups, seed=top.seed)
    policy = Policy(model, encoder, sampling, cfg.reward)
    params = train(stage.path, params, prompts, policy, cfg.grpo, mesh, top.seed)
    shutil.rmtree(stage.path / "model", ignore_errors=True)
    checkpoint.save_params(stage.path / "model", params, {**card, "stage": "df_grpo"})
    tokenizer.save(stage.path / "model" / "tokenizer")
    shutil.rmtree(stage.path / "state")
    lines = read_metrics(stage.path / "metrics.jsonl")
    ends = {
        f"{when}_{name}": line[name]
        for when, line in (("first", lines[0]), ("last", lines[-1]))
        for name in ("reward", "format_rate", "extracted_accuracy")
    }
    dropped = {name: sum(line[name] for line in lines) for name in lines[0] if name.startswith(("dropped_", "groups_"))}
    stage.finish({"users": len(trees), **ends, **dropped})
    print(f"{FOLDER}: reward {ends['first_reward']:.3f} -> {ends['last_reward']:.3f} in {len(lines)} steps")
