"""How much does the tree save: one training step over trees against the same step over flat sequences.

Both sides compute loss and gradients of the same branch tokens with the same parameters; they run interleaved in one
process, and the best of the repeats counts. Prints one JSON line; a table goes to stderr.

Command: python benchmarks/tree_step.py [--users 32 --trunk 240 --questions 18 --branch 20 --repeats 3]
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from usergpt_jax.models import logprob, qwen3, sampler, tree_attention

CONFIG = qwen3.Qwen3Config(
    n_layers=3,
    d_model=128,
    d_ff=384,
    n_heads=4,
    n_kv_heads=2,
    head_dim=32,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    tie_embeddings=True,
    param_dtype="float32",
    compute_dtype="float32",
    remat="none",
)
VOCAB = 2048
CHUNK_TOKENS = 512


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Shape of the batch: U users, P trunk tokens, G questions, R tokens a branch."""

    users: int
    trunk: int
    questions: int
    branch: int
    flat_rows: int  # rows of the flat step; its time is scaled to users * questions


def tree_loss(params: qwen3.Params, trunk: jax.Array, branches: jax.Array) -> jax.Array:
    """Mean negative log-prob of the branch tokens after the first, over trees."""
    masks = jnp.ones(trunk.shape, bool), jnp.ones(branches.shape, bool)
    hidden = tree_attention.forward_tree(params, CONFIG, trunk, masks[0], branches, masks[1])
    return _loss(params, hidden[:, :, :-1], branches[:, :, 1:])


def flat_loss(params: qwen3.Params, tokens: jax.Array, branch: int) -> jax.Array:
    """The same over rows of trunk + branch."""
    hidden = tree_attention.forward_flat(params, CONFIG, tokens, jnp.ones(tokens.shape, bool))
    return _loss(params, hidden[:, -branch:-1], tokens[:, -branch + 1 :])


def _loss(params: qwen3.Params, hidden: jax.Array, targets: jax.Array) -> jax.Array:
    flat = hidden.reshape(-1, hidden.shape[-1])
    out = logprob.token_logprobs(flat, qwen3.head(params), targets.reshape(-1), CHUNK_TOKENS)
    return -jnp.mean(out.logprob)


def interleaved(steps: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Best seconds of each step, taken in turns after one warm-up."""
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            jax.block_until_ready(step())
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(sizes: Sizes, repeats: int) -> dict[str, float]:
    """Seconds and tokens of tree and flat step, and of sampling."""
    key = jax.random.key(0)
    params = jax.jit(qwen3.init, static_argnums=(0, 1))(CONFIG, VOCAB, key)
    trunk = jax.random.randint(key, (sizes.users, sizes.trunk), 0, VOCAB)
    branches = jax.random.randint(key, (sizes.users, sizes.questions, sizes.branch), 0, VOCAB)
    rows = jax.random.randint(key, (sizes.flat_rows, sizes.trunk + sizes.branch), 0, VOCAB)
    few, prefixes = trunk[:8], branches[:8, :, :6]
    settings = sampler.SamplingConfig(10, 16, temperature=0.7, top_k=32, top_p=0.9, stop_token=VOCAB)
    masks = jnp.ones(few.shape, bool), jnp.ones(prefixes.shape, bool)
    keys = jax.random.split(key, few.shape[0])
    tree = jax.jit(jax.value_and_grad(tree_loss))
    flat = jax.jit(jax.value_and_grad(flat_loss), static_argnums=2)
    sample = jax.jit(sampler.sample, static_argnums=(1, 7))
    seconds = interleaved(
        {
            "tree": lambda: tree(params, trunk, branches),
            "flat": lambda: flat(params, rows, sizes.branch),
            "sample": lambda: sample(params, CONFIG, few, masks[0], prefixes, masks[1], keys, settings),
        },
        repeats,
    )
    flat_step_seconds = seconds["flat"] * sizes.users * sizes.questions / sizes.flat_rows
    tree_tokens = sizes.users * (sizes.trunk + sizes.questions * sizes.branch)
    new_tokens = few.shape[0] * sizes.questions * settings.n_samples * settings.max_new_tokens
    return {
        "tree_step_seconds": seconds["tree"],
        "flat_step_seconds": flat_step_seconds,
        "tree_over_flat": flat_step_seconds / seconds["tree"],
        "token_ratio": sizes.questions * (sizes.trunk + sizes.branch) / (sizes.trunk + sizes.questions * sizes.branch),
        "tree_tokens_per_second": tree_tokens / seconds["tree"],
        "flat_tokens_per_second": rows.size / seconds["flat"],
        "sampled_tokens_per_second": new_tokens / seconds["sample"],
    }


def main() -> None:
    """Reads the sizes, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("users", 32), ("trunk", 240), ("questions", 18), ("branch", 20), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--flat-rows", type=int, default=64)
    given = vars(parser.parse_args())
    repeats = given.pop("repeats")
    figures = measure(Sizes(**given), repeats)
    for name, value in figures.items():
        print(f"{name:28s} {value:12.3f}", file=sys.stderr)
    print(json.dumps({"benchmark": "tree_step", "device": jax.devices()[0].device_kind, **given, **figures}))


if __name__ == "__main__":
    main()
