"""A small refiner of titles, trained on the gold of a simulated run.

Command: python launch/refiner.py --config=configs/refiner.py (after launch/simulate.py of the same run directory)
Hardware and time: two CPU cores; 6 minutes. Result: docs/refinement.md, by benchmarks/refine.py.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.run_dir = "runs/quickstart"
    config.seed = 0
    config.mesh = ConfigDict({"data": 1, "fsdp": 1, "tensor": 1, "context": 1})
    config.model = ConfigDict(
        {
            "n_layers": 3,
            "d_model": 128,
            "d_ff": 256,
            "n_heads": 4,
            "n_kv_heads": 2,
            "head_dim": 32,
            "rope_theta": 10_000.0,
            "norm_eps": 1e-6,
            "tie_embeddings": True,
            "param_dtype": "float32",
            "compute_dtype": "float32",
            "logits_dtype": "float32",  # of the head's operands
            "remat": "none",
            "attention": "blockwise",  # or "splash" on TPU
            "attention_bias": False,
            "rope_scaling": None,  # or a section like `models.rotary.RopeScaling`
            "lora": None,
        }
    )
    config.refiner = ConfigDict(
        {
            "n_steps": 1800,
            "batch_titles": 48,
            "title_tokens": 52,
            "answer_tokens": 24,
            "vocab_size": 1280,
            "chunk_tokens": 1024,
            "save_every_steps": 300,
            "log_every_steps": 20,
            "optimizer": {
                "lr": 3e-3,
                "warmup_frac": 0.05,
                "final_lr_frac": 0.03,
                "weight_decay": 0.02,
                "clip_norm": 1.0,
            },
        }
    )
    return config
