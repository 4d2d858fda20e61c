"""Qwen3-8B on a pod: shapes and mesh for fine-tuning on long histories.

Command: python launch/aot.py --config=configs/qwen3_8b.py --topology=v5p:2x4x4
Hardware: none here; the command compiles for a pod that is not there. Result: docs/performance.md.
"""

import pathlib
import runpy

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = runpy.run_path(str(pathlib.Path(__file__).with_name("quickstart.py")))["get_config"]()
    config.run_dir = "runs/qwen3_8b"
    config.tokenizer.update({"kind": "huggingface", "path": "qwen3-8b"})
    config.semantize.max_mub_tokens = 30_000
    config.model.update(
        {
            "n_layers": 36,
            "d_model": 4096,
            "d_ff": 12_288,
            "n_heads": 32,
            "n_kv_heads": 8,
            "head_dim": 128,
            "rope_theta": 1e6,
            "tie_embeddings": False,
            "param_dtype": "float32",
            "compute_dtype": "bfloat16",
            "logits_dtype": "bfloat16",
            "remat": "offload",  # layers' inputs to the host's memory; "full" keeps them on the chip
            "attention": "splash",
        }
    )
    config.mesh.update({"data": 1, "fsdp": 32, "tensor": 1, "context": 1})
    config.sft.update({"init_from": "qwen3-8b", "lexical_init": False})
    config.sft.update({"trunk_tokens": 30_720, "tag_branches": 8, "tag_branch_tokens": 768})
    config.sft.update({"tag_batch_users": 32, "chunk_tokens": 32_768, "lr": 1e-5})
    config.bench.users_at_once = 32  # a multiple of data x fsdp
    return config
