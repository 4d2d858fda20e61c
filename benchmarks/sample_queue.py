"""How fast users are answered when seats and slots stay filled, against batches that wait for their longest sample.

Command: python -m benchmarks.sample_queue MODEL [--users=48] [--rounds=3]

MODEL is a model folder or a run directory. Users have random logs of different lengths; each is asked what
`profile_users` asks: every tag, 10 samples, and a summary, 10 samples. Side `queue` goes through
`inference.tree_queue`; side `batches` draws tags and then summaries, in batches that start and end together, and
reads each log twice. Prints one JSON line; a table goes to stderr.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from usergpt_jax.corpus.trees import pad_rows
from usergpt_jax.inference import generate, tree_queue
from usergpt_jax.inference.generate import LoadedModel
from usergpt_jax.inference.tree_queue import Asked, Size, User
from usergpt_jax.models import sampler
from usergpt_jax.models.sampling import Drawing

DRAWING = Drawing(temperature=0.6, top_k=20, top_p=0.95)
N_SAMPLES, SEATS = 10, 8


def users_of(model: LoadedModel, n_users: int) -> list[User]:
    """Random trunks of a quarter to the whole of the model's length."""
    random = np.random.default_rng(0)
    lengths = random.integers(model.trunk_tokens // 4, model.trunk_tokens + 1, n_users)
    return [
        User(random.integers(300, model.tokenizer.vocab_size, n).tolist(), number) for number, n in enumerate(lengths)
    ]


def asked_of(model: LoadedModel) -> list[Asked]:
    """What `profile_users` asks."""
    found = []
    for question in generate.task_questions(model, N_SAMPLES, N_SAMPLES):
        tokens = model.tokenizer.encode_template(question.prompt)
        limit = question.branch_tokens - len(tokens)
        found.append(Asked(tokens, question.n_samples, limit, (model.tokenizer.end_id,)))
    return found


def queue(model: LoadedModel, users: Sequence[User], n_slots: int) -> int:
    """Tokens drawn by the queue."""
    size = Size(model.trunk_tokens, SEATS, n_slots)
    done = tree_queue.answers(model.params, model.config, model.mesh, users, asked_of(model), DRAWING, size, seed=0)
    return sum(int(samples.lengths.sum()) for _, samples in done)


_sample = functools.partial(jax.jit, static_argnums=(1, 7))(sampler.sample)


def batches(model: LoadedModel, users: Sequence[User]) -> int:
    """Tokens drawn by batches of users, tags first."""
    *tags, summary = asked_of(model)
    drawn = 0
    for asked in (tags, [summary]):
        longest = max(one.limit for one in asked)
        settings = sampler.SamplingConfig(
            N_SAMPLES, longest, DRAWING.temperature, DRAWING.top_k, DRAWING.top_p, model.tokenizer.end_id
        )
        questions = pad_rows([one.tokens for one in asked], max(len(one.tokens) for one in asked), 0)
        for start in range(0, len(users), SEATS):
            some = users[start : start + SEATS]
            trunk = pad_rows([user.trunk for user in some], model.trunk_tokens, 0)
            shared = (np.broadcast_to(part, (len(some), *part.shape)) for part in questions)
            keys = jax.random.split(jax.random.key(start), len(some))
            found = _sample(model.params, model.config, *trunk, *shared, keys, settings)
            drawn += int(found.lengths.sum())
    return drawn


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--users", type=int, default=48, help=f"a multiple of {SEATS}")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = generate.load_model(given.model)
    users = users_of(model, given.users)
    sides: dict[str, Callable[[], int]] = {
        "batches": lambda: batches(model, users),
        "queue": lambda: queue(model, users, 0),
        "queue_16_slots": lambda: queue(model, users, 16),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    tokens = {}
    for turn in range(given.rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            tokens[name] = side()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        rate = f"{given.users / median:8.2f} users/s {tokens[name] / median:10,.0f} tokens/s"
        print(f"{name:16s} {rate}   {medians['batches'] / median:.2f} x", file=sys.stderr)
    print(json.dumps({"benchmark": "sample_queue", "users": given.users, "seconds": medians, "tokens": tokens}))


if __name__ == "__main__":
    main()
