"""The whole pipeline, small enough for two CPU cores.

Command: bash launch/quickstart.sh
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.run_dir = "runs/quickstart"
    config.seed = 0
    config.tag_schema = "hpr18"

    config.simulate = ConfigDict(
        {
            "locale": "cn",
            "n_users": 3000,
            "start": "2023-07-01",  # first day of the log
            "as_of": "2025-07-01",  # day after the last: truth is read here
            "users_per_part": 512,
            "users_per_batch": 128,  # this and the next decide memory and speed, never results
            "workers": 2,
        }
    )
    config.tokenizer = ConfigDict(
        {
            "kind": "sentencepiece",  # trained on the run's text; or "huggingface", read from `path`
            "path": "",
            "vocab_size": 3584,
            "max_piece_chars": 64,
        }
    )
    config.refine = ConfigDict(
        {
            "kind": "table",  # rules over distinct titles; or "rules", "lm", "endpoint": docs/refinement.md
            "path": "",  # of "lm": its folder or run directory
            "endpoint": {
                "url": "",
                "model": "",
                "key_variable": "",
                "titles_per_request": 16,
                "concurrency": 8,
                "timeout_seconds": 60.0,
                "max_attempts": 4,
                "thinking_tokens": 0,
            },
        }
    )
    config.categories = ConfigDict(
        {
            "map": False,  # onto the catalogue's leaves, for logs with categories of their own: docs/categories.md
            "file": "",  # CSV with category,leaf
            "sources": (),  # whose leaves come into question; (): all
            "threshold": 0.9,
            "encoder": "",  # folder of a BERT-type text encoder that finds the nearest leaf; "": hashed n-grams
        }
    )
    config.semantize = ConfigDict(
        {
            "as_of": "",  # the truth's; a real log's day after its last event
            "recent_days": 3,  # every action, one slice a day
            "monthly_months": 1,  # before that, distant actions by month
            "distant_actions": ("purchase", "visit"),  # older still, by year
            "top_k": 16,  # entities kept a slice
            "top_places": 1,  # cities, and as many areas of cities, kept a slice
            "attribute_kinds": ("price_band", "size", "audience"),  # most telling first; also: brand
            "max_attributes": 1,  # attributes kept an entity
            "min_band_purchases": 20,  # of a category, before a price is called premium or budget
            "max_repeats_a_day": 20,  # of one title by one action; more are a loop
            "max_browsing_a_day": 2000,  # searches and clicks; a day with more is a robot's
            "max_mub_tokens": 230,
            "keep_state": False,  # what a later day needs to be added without reading this log again
            "workers": 2,  # decides memory and speed, never results
        }
    )
    config.split = ConfigDict({"seed": 0, "sft_frac": 0.82, "rl_frac": 0.10, "bench_frac": 0.08})
    config.prompt = ConfigDict({"list_options": False})
    config.mesh = ConfigDict({"data": 1, "fsdp": 1, "tensor": 1, "context": 1})
    config.model = ConfigDict(
        {
            "n_layers": 2,
            "d_model": 128,
            "d_ff": 256,
            "n_heads": 2,
            "n_kv_heads": 1,
            "head_dim": 64,
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
            "lora": None,  # or {"rank": 16, "alpha": 32.0, "targets": ("q", "v")}, with sft.init_from: docs/weights.md
        }
    )
    config.curriculum = ConfigDict(
        {
            "labels": "truth",  # "rules" for a log without truth
            "voting": {
                "outputs_per_teacher": (3, 2),  # the lexicon reader, naive Bayes
                "standard_votes": 4,
                "expert_outputs": 3,
                "list_agreement": 0.6,
            },
            "analyst_temperature": 2.0,
            "n_folds": 3,
            "min_supported_frac": 0.6,
            "stage2_replay_frac": 0.5,
            "rl_per_cell": 100,
        }
    )
    config.sft = ConfigDict(
        {
            "n_steps": (550, 500, 600),
            "lr": 4e-3,
            "lr_scale": (1.0, 0.75, 0.5),
            "warmup_frac": 0.05,
            "final_lr_frac": 0.1,
            "weight_decay": 0.05,
            "clip_norm": 1.0,
            "trunk_tokens": 256,
            "init_from": "",  # Hugging Face folder of a Qwen3 to start from: docs/weights.md; "": random weights
            "lexical_init": True,  # tokens of the same words start close: for models from scratch
            "tag_branches": 9,
            "tag_branch_tokens": 18,
            "tag_batch_users": 16,
            "summary_branch_tokens": 120,
            "summary_batch_users": 16,
            "summary_weight": 0.5,
            "chunk_tokens": 2048,
            "save_every_steps": 50,
            "log_every_steps": 10,
        }
    )
    config.rl = ConfigDict(
        {
            "grpo": {
                "n_steps": 30,
                "batch_groups": 16,
                "max_rounds": 2,
                "sample_filter": True,
                "group_filter": True,
                "eps_low": 0.8,
                "eps_high": 1.9,
                "advantage": "grpo",
                "normalise": "after",
                "clip_ratio": 0.2,
                "kl_weight": 0.02,
                "save_every_steps": 5,
                "chunk_tokens": 2048,
                "optimizer": {
                    "lr": 1e-4,
                    "warmup_frac": 0.1,
                    "final_lr_frac": 0.1,
                    "weight_decay": 0.0,
                    "clip_norm": 1.0,
                },
            },
            "reward": {
                "judge": {"completeness": 0.4, "consistency": 0.3, "conciseness": 0.15, "aesthetics": 0.15},
                "max_summary_chars": 600,
            },
            "n_samples": 8,
            "max_new_tokens": 116,
            "temperature": 0.7,
            "top_k": 0,
            "top_p": 0.9,
        }
    )
    config.bench = ConfigDict(
        {
            "max_users": 160,
            "n_samples": 10,
            "n_summaries": 4,
            "pass_k": (1, 5, 10),
            "temperature": 0.6,  # the sampling that Qwen3 recommends for thinking
            "top_k": 20,
            "top_p": 0.95,
            "max_summary_chars": 600,  # longer portraits lose in the judge's conciseness
            "users_at_once": 8,
            "samples_at_once": 0,  # of a user; 0: as many as are busy until the longest ends
            "constrained": False,  # draw only tokens that lead to a well-formed output: docs/inference.md
            "bootstrap_draws": 1000,
            "linear_c": 0.003,  # inverse L2 strength of the linear baselines
            "encoder": "",  # folder of a BERT-type text encoder that compares open lists; "": letter n-grams
        }
    )
    return config
