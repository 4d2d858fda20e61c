"""The quickstart config, shrunk until the whole pipeline runs in a minute."""

import importlib.util
import pathlib

from ml_collections import ConfigDict

ROOT = pathlib.Path(__file__).parents[2]


def tiny_config(run_dir) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("quickstart", ROOT / "configs" / "quickstart.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.run_dir = str(run_dir)
    config.simulate.update({"n_users": 160, "start": "2024-10-01", "users_per_batch": 80, "users_per_part": 80})
    config.split.update({"sft_frac": 0.7, "rl_frac": 0.15, "bench_frac": 0.15})
    config.tokenizer.vocab_size = 1600
    config.curriculum.min_supported_frac = 0.2
    config.model.update({"d_model": 32, "d_ff": 48, "head_dim": 16})
    config.sft.update({"n_steps": (6, 4, 6), "tag_batch_users": 4, "summary_batch_users": 4})
    config.sft.update({"save_every_steps": 2, "log_every_steps": 1, "summary_branch_tokens": 160})
    config.rl.grpo.update({"n_steps": 2, "batch_groups": 4, "save_every_steps": 1, "max_rounds": 1})
    config.rl.update({"n_samples": 3, "max_new_tokens": 24})
    config.bench.update({"max_users": 8, "n_samples": 2, "pass_k": (1, 2), "n_summaries": 1, "bootstrap_draws": 20})
    return config
