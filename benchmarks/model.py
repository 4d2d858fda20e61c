"""How fast the model trains and samples, against transformers with torch on the same processor in the same minutes.

Command: python -m benchmarks.model [--dtype=float32|bfloat16] [--rounds=3] [--only NAME ...] [--ours] [--parts]

Five pieces of work on a tiny Qwen3 (vocabulary 4096, width 256, 4 layers, 4/2 heads of 64, tied): a step over flat
rows; a step over 18 questions about each of 4 histories, as trees and, for ours too, as flat rows; samples of prompts;
answers to 18 questions about one history; a policy update. Both sides take turns, after one warm-up each; the median
counts. Prints one JSON line; a table goes to stderr. torch comes with the extra `parity`; `--ours` leaves it out.
"""

import argparse
import functools
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from usergpt_jax.core.optimizer import init_state, jit_step
from usergpt_jax.corpus.trees import TreeBatch
from usergpt_jax.models import blockwise, logprob, lora, qwen3, sampler, tree_attention
from usergpt_jax.models.linear import linear
from usergpt_jax.models.policy import branch_logprobs
from usergpt_jax.models.qwen3_config import DTYPES, Qwen3Config
from usergpt_jax.rl.loss import PolicyBatch
from usergpt_jax.rl.train import update
from usergpt_jax.sft.train import train_step

VOCAB, CHUNK_TOKENS = 4096, 1024
ROWS = 8  # flat sequences of a step, as on the other side
Work = Callable[[], Any]


def config_of(dtype: str) -> Qwen3Config:
    """The tiny decoder."""
    return Qwen3Config(
        n_layers=4,
        d_model=256,
        d_ff=768,
        n_heads=4,
        n_kv_heads=2,
        head_dim=64,
        rope_theta=1e6,
        norm_eps=1e-6,
        tie_embeddings=True,
        param_dtype=dtype,
        compute_dtype=dtype,
        remat="none",
    )


class Ours:
    """The pieces of work with this package."""

    def __init__(self, dtype: str):
        self.config = config_of(dtype)
        self.optimizer = optax.adamw(1e-4)
        self._make = jax.jit(qwen3.init, static_argnums=(0, 1))

    def _fresh(self) -> list[Any]:
        params = jax.device_put(self._make(self.config, VOCAB, jax.random.key(0)), jax.local_devices()[0])
        return [params, init_state(self.optimizer, params)]

    def flat_step(self, rows: int, length: int) -> Work:
        """One step over plain sequences."""
        tokens, carried = _tokens(rows, length), self._fresh()

        def loss(params: qwen3.Params) -> jax.Array:
            hidden = tree_attention.forward_flat(params, self.config, tokens, jnp.ones(tokens.shape, bool))
            flat, targets = hidden[:, :-1].reshape(-1, hidden.shape[-1]), tokens[:, 1:].reshape(-1)
            return -jnp.mean(logprob.token_logprobs(flat, qwen3.head(params), targets, CHUNK_TOKENS).logprob)

        def train(params: qwen3.Params, state: optax.OptState) -> Any:
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = self.optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, value

        return _carrying(jax.jit(train, donate_argnums=(0, 1)), carried)

    def questions_step(self, users: int, questions: int, history: int, question: int, output: int) -> Work:
        """One step over trees: each history once, its questions as branches."""
        trunk, branches = _tokens(users, history), _tokens(users, questions, question + output)
        return self._tree_step(trunk, branches, question)

    def questions_step_flat(self, users: int, questions: int, history: int, question: int, output: int) -> Work:
        """The same as flat rows: one branch behind a trunk of one token; steps of `ROWS` rows, each with an update."""
        step = self._tree_step(
            _tokens(ROWS, 1), _tokens(ROWS, 1, history + question + output - 1), history + question - 1
        )
        return lambda: [step() for _ in range(users * questions // ROWS)]

    def _tree_step(self, trunk: jax.Array, branches: jax.Array, question: int) -> Work:
        carried = self._fresh()
        batch: Any = TreeBatch(
            trunk,
            jnp.ones(trunk.shape, bool),
            branches,
            jnp.ones(branches.shape, bool),
            jnp.broadcast_to(jnp.arange(branches.shape[2]) >= question, branches.shape),
        )

        step = functools.partial(
            train_step, config=self.config, optimizer=self.optimizer, first_output=question, chunk_tokens=CHUNK_TOKENS
        )
        step = jit_step(step, *carried)
        return _carrying(lambda params, state: step(params, state, batch), carried)

    def sample(self, prompts: int, length: int, samples: int, new_tokens: int) -> Work:
        """Samples of every prompt; the prompt is read once."""
        return self._sampling(_tokens(prompts, length - 1), _tokens(prompts, 1, 1), samples, new_tokens)

    def answers(self, history: int, questions: int, question: int, samples: int, new_tokens: int) -> Work:
        """Samples of every question about one history; the history is read once."""
        return self._sampling(_tokens(1, history), _tokens(1, questions, question), samples, new_tokens)

    def _sampling(self, trunk: jax.Array, prefixes: jax.Array, samples: int, new_tokens: int) -> Work:
        params = self._fresh()[0]
        settings = sampler.SamplingConfig(samples, new_tokens, temperature=1.0, top_k=0, top_p=1.0, stop_token=VOCAB)
        run = jax.jit(sampler.sample, static_argnums=(1, 7))
        keys = jax.random.split(jax.random.key(2), trunk.shape[0])
        masks = jnp.ones(trunk.shape, bool), jnp.ones(prefixes.shape, bool)
        return lambda: run(params, self.config, trunk, masks[0], prefixes, masks[1], keys, settings)

    def policy_step(self, groups: int, history: int, samples: int, output: int) -> Work:
        """Reference and policy log-probs of every sample, the clipped loss with a KL term, and the update."""
        trunk, branches = _tokens(groups, history - 1), _tokens(groups, samples, 1 + output)
        masks = jnp.ones(trunk.shape, bool), jnp.ones(branches.shape, bool)
        reference, carried = self._fresh()[0], self._fresh()
        batch = PolicyBatch(
            trunk, masks[0], branches, masks[1], masks[1].at[:, :, 0].set(False),
            jnp.full(branches.shape, -8.3), jax.random.normal(jax.random.key(3), (groups, samples)),
            jnp.ones((groups, samples)),
        )  # fmt: skip
        step = functools.partial(
            update, config=self.config, optimizer=self.optimizer, first=1, chunk_tokens=CHUNK_TOKENS, clip_ratio=0.2,
            kl_weight=0.01,
        )  # fmt: skip
        step = jit_step(step, *carried)
        score = jax.jit(branch_logprobs, static_argnames=("config", "first", "chunk_tokens"))

        def train(params: qwen3.Params, state: optax.OptState) -> Any:
            old, _ = score(reference, self.config, *batch[:4], first=1, chunk_tokens=CHUNK_TOKENS)
            return step(params, state, old, batch)

        return _carrying(train, carried)

    def parts(self, rows: int, length: int) -> dict[str, Work]:
        """Pieces of the flat step, forward and backward: the layers, of these attention and products, head, optimizer.

        `dispatch` is a call with the step's arguments that computes nothing.
        """
        c, params, tokens = self.config, self._fresh()[0], _tokens(rows, length)
        keys = jax.random.split(jax.random.key(4), 4)
        q, k, v = (
            jax.random.normal(key, (rows, length, n, c.head_dim), c.dtype)
            for key, n in zip(keys, (c.n_heads, c.n_kv_heads, c.n_kv_heads), strict=False)
        )
        hidden, targets = jax.random.normal(keys[3], (rows * length, c.d_model), c.dtype), tokens.reshape(-1)

        def layers(params: qwen3.Params) -> jax.Array:
            return jnp.sum(tree_attention.forward_flat(params, c, tokens, jnp.ones(tokens.shape, bool)) ** 2)

        def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            return jnp.sum(blockwise.attend_causal(q * c.head_dim**-0.5, k, v, jnp.full(rows, length)) ** 2)

        def head(hidden: jax.Array, table: jax.Array) -> jax.Array:
            return -jnp.mean(logprob.token_logprobs(hidden, table, targets, CHUNK_TOKENS).logprob)

        def product(x: jax.Array, weight: jax.Array, d_out: jax.Array) -> Any:
            out, back = jax.vjp(lambda x, weight: linear(x, weight, x.ndim - 2), x, weight)
            return out, back(d_out)

        def update(gradient: qwen3.Params, params: qwen3.Params, state: optax.OptState) -> Any:
            updates, state = self.optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state

        of_layers, of_attention = jax.jit(jax.grad(layers)), jax.jit(jax.grad(attention, (0, 1, 2)))
        of_head, of_product = jax.jit(jax.grad(head, (0, 1))), jax.jit(product)
        of_optimizer = jax.jit(update, donate_argnums=(1, 2))
        nothing = jax.jit(lambda *carried: carried, donate_argnums=(0, 1))
        products = []
        for name, n_in in lora.TARGETS.items():
            weight = params["layers"][name][0].astype(c.dtype)
            shapes = (rows, length, *weight.shape[:n_in]), (rows, length, *weight.shape[n_in:])
            x, d_out = (jax.random.normal(keys[3], shape, c.dtype) for shape in shapes)
            products.append(functools.partial(of_product, x, weight, d_out))
        return {
            "step": self.flat_step(rows, length),
            "layers": lambda: of_layers(params),
            "attention": lambda: [of_attention(q, k, v) for _ in range(c.n_layers)],
            "products": lambda: [product() for _ in range(c.n_layers) for product in products],
            "head": lambda: of_head(hidden, qwen3.head(params)),
            "optimizer": _carrying(lambda *carried: of_optimizer(params, *carried), self._fresh()),
            "dispatch": _carrying(nothing, self._fresh()),
        }


def _tokens(*shape: int) -> jax.Array:
    return jax.random.randint(jax.random.key(sum(shape)), shape, 2, VOCAB)


def _carrying(step: Callable[..., Any], carried: list[Any]) -> Work:
    """Runs a step on what the step before gave."""

    def run() -> Any:
        carried[0], carried[1], *rest = step(*carried)
        return carried, rest

    return run


def works(ours: Ours, peer: Any) -> dict[str, tuple[float, str, dict[str, Callable[[], Work]]]]:
    """Name -> (units of one call, what is counted, side -> maker of its work); all are compared to "ours"."""
    questions = (4, 18, 1024, 16, 24)
    sides: dict[str, tuple[float, str, dict[str, Callable[[], Work]]]] = {
        "flat_sft": (8 * 1024, "tokens/s", {"ours": lambda: ours.flat_step(8, 1024)}),
        "questions_sft": (
            4,
            "users/s",
            {
                "ours": lambda: ours.questions_step(*questions),
                "ours_flat": lambda: ours.questions_step_flat(*questions),
            },
        ),
        "sample": (4 * 8 * 128, "tokens/s", {"ours": lambda: ours.sample(4, 512, 8, 128)}),
        "answers": (1, "histories/s", {"ours": lambda: ours.answers(1024, 18, 16, 10, 32)}),
        "policy_update": (1, "updates/s", {"ours": lambda: ours.policy_step(2, 1024, 8, 96)}),
    }
    if peer is not None:
        sides["flat_sft"][2]["torch"] = lambda: peer.flat_step(8, 1024)
        sides["questions_sft"][2]["torch"] = lambda: peer.questions_step(*questions)
        sides["sample"][2]["torch"] = lambda: peer.sample(4, 512, 8, 128)
        sides["answers"][2]["torch"] = lambda: peer.sample(18, 1024 + 16, 10, 32)
        sides["policy_update"][2]["torch"] = lambda: peer.policy_step(2, 1024, 8, 96)
    return sides


def parts(ours: Ours, peer: Any) -> dict[str, tuple[float, str, dict[str, Callable[[], Work]]]]:
    """The same of the pieces of the flat step."""
    sides = {"ours": ours.parts(8, 1024), **({"torch": peer.parts(8, 1024)} if peer is not None else {})}
    return {
        name: (
            1,
            "times/s",
            {side: lambda made=made, name=name: made[name] for side, made in sides.items() if name in made},
        )
        for name in sides["ours"]
    }


def measure(who: dict[str, Callable[[], Work]], rounds: int) -> dict[str, float]:
    """Median seconds of each side, in turns, after a warm-up."""
    ready = {name: make() for name, make in who.items()}
    seen: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(rounds + 1):
        for name, work in ready.items():
            start = time.perf_counter()
            jax.block_until_ready(work())
            if turn:
                seen[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seen.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="float32")
    parser.add_argument("--rounds", type=int, default=3, help="that are measured, after a warm-up [3]")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="of works, as the table names them")
    parser.add_argument("--ours", action="store_true", help="without torch")
    parser.add_argument("--parts", action="store_true", help="pieces of the flat step instead")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {given.rounds}")
    peer = None
    if not given.ours:
        if importlib.util.find_spec("torch") is None:
            parser.error("torch is not installed: pip install -e '.[parity]', or leave it out with --ours")
        from benchmarks import torch_peer

        shape = {
            "vocab_size": VOCAB, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        }  # fmt: skip
        peer = torch_peer.Peer(shape, given.dtype)
    found: dict[str, Any] = {"benchmark": "model", "dtype": given.dtype, "device": jax.devices()[0].device_kind}
    chosen = (parts if given.parts else works)(Ours(given.dtype), peer)
    if unknown := [name for name in given.only if name not in chosen]:
        parser.error(f"--only: expected some of {', '.join(chosen)}, got {unknown[0]!r}")
    for name, (units, unit, who) in chosen.items():
        if given.only and name not in given.only:
            continue
        seconds = measure(who, given.rounds)
        ratios = {f"to_{other}": round(seconds[other] / seconds["ours"], 2) for other in seconds if other != "ours"}
        found[name] = {"seconds": {side: round(value, 3) for side, value in seconds.items()}, **ratios}
        rates = ", ".join(f"{side} {units / value:,.2f}" for side, value in seconds.items())
        print(f"{name:16s} {unit:12s} {rates}   {ratios}", file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
