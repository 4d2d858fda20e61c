"""How well confidence is calibrated: the share of votes among samples against the model's probability of a value.

Command: python -m benchmarks.calibration RUN [--model=MODEL] [--max-users=256] [--n-samples=10]

Held-out users of a run with truth, all closed tags. `votes` counts the answers of `n_samples` samples as profiling
draws them, `votes_1.0` those drawn from the model as it is, `greedy` the one likeliest output. `choices` is the mean
probability over the reasonings of the `votes_1.0` samples (`inference.choices`), `choices_greedy` that after the
likeliest reasoning, `choices_none` that after the words for no evidence. Seconds of `choices` hold the sampling of its
reasonings. The value with the highest confidence is the answer. Prints one JSON line; a table goes to stderr.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from usergpt_jax.bench import items
from usergpt_jax.corpus.split import SplitConfig
from usergpt_jax.inference import choices, generate
from usergpt_jax.inference.choices import Probabilities
from usergpt_jax.inference.generate import LoadedModel, UserLog
from usergpt_jax.models.sampling import Drawing
from usergpt_jax.schema import NA
from usergpt_jax.tasks import tag_prediction
from usergpt_jax.tasks.output import MalformedOutput

SEED, USERS_AT_ONCE, BINS = 0, 8, 10
SAMPLING = {
    "votes": {"temperature": 0.6, "top_k": 20, "top_p": 0.95},
    "votes_1.0": {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
    "greedy": {"temperature": 0.0, "top_k": 0, "top_p": 1.0},
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--model", default="", help="another model than the run's")
    parser.add_argument("--max-users", type=int, default=256)
    parser.add_argument("--n-samples", type=int, default=10)
    args = parser.parse_args()
    model = generate.load_model(args.model or args.run)
    split = json.loads((args.run / "6_bench" / "manifest.json").read_text())["config"]["split"]
    held_out = items.split_users(items.read_users(args.run, model.schema), SplitConfig(**split))[1][: args.max_users]
    confidences, seconds = measure(model, [UserLog(item.user_id, item.mub) for item in held_out], args.n_samples)
    gold = [item.gold for item in held_out]
    found = {
        name: {**figures(by_user, gold), "seconds_a_user": seconds[name] / len(held_out)}
        for name, by_user in confidences.items()
    }
    print(json.dumps({"users": len(held_out), "n_samples": args.n_samples, **found}))
    print(table(found), file=sys.stderr)


def measure(
    model: LoadedModel, users: Sequence[UserLog], n_samples: int
) -> tuple[dict[str, list[Probabilities]], dict[str, float]]:
    """Confidence in each value by each way, and the seconds it took after a first batch that compiles."""
    texts, found, seconds = {}, {}, {}
    for name, drawn in SAMPLING.items():
        texts[name], seconds[name] = _timed(
            lambda part, name=name, drawn=drawn: _ask(model, part, 1 if name == "greedy" else n_samples, drawn, name),
            users,
        )
        found[name] = [_shares(model, by_tag) for by_tag in texts[name]]
    given = {
        "choices": [choices.thoughts_of(model.schema, by_tag) for by_tag in texts["votes_1.0"]],
        "choices_greedy": [choices.thoughts_of(model.schema, by_tag) for by_tag in texts["greedy"]],
        "choices_none": [{} for _ in users],
    }
    for name, thoughts in given.items():
        choices.score_tags(model, users, thoughts, USERS_AT_ONCE, f"{name}, compiling")
        start = time.monotonic()
        found[name] = choices.score_tags(model, users, thoughts, USERS_AT_ONCE, name)
        seconds[name] = time.monotonic() - start
    seconds["choices"] += seconds["votes_1.0"]
    seconds["choices_greedy"] += seconds["greedy"]
    return found, seconds


def figures(by_user: Sequence[Probabilities], gold: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Accuracy of the likeliest value, Brier score over all values, and expected calibration error in ten bins."""
    confidence, right, brier = [], [], []
    for found, truth in zip(by_user, gold, strict=True):
        for name, shares in found.items():
            answer = max(shares, key=lambda value: shares[value])
            confidence.append(shares[answer])
            right.append(answer == truth[name])
            brier.append(sum((share - (value == truth[name])) ** 2 for value, share in shares.items()))
    return {
        "accuracy": float(np.mean(right)),
        "brier": float(np.mean(brier)),
        "ece": calibration_error(np.array(confidence), np.array(right)),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean over the bins, by their share of answers, of |accuracy - mean confidence|."""
    # Shares of votes sum to 0.3 + 1e-17: rounded, so that equal shares fall into one bin.
    number = np.minimum((confidence.round(6) * BINS).astype(int), BINS - 1)
    inside = [number == i for i in range(BINS) if (number == i).any()]
    return float(sum(part.mean() * abs(right[part].mean() - confidence[part].mean()) for part in inside))


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """One line a way."""
    columns = ("accuracy", "brier", "ece", "seconds_a_user")
    lines = [f"{'confidence':16s}" + "".join(f"{name:>16s}" for name in columns)]
    lines += [f"{name:16s}" + "".join(f"{row[column]:16.4f}" for column in columns) for name, row in found.items()]
    return "\n".join(lines)


def _timed(ask: Callable[[Sequence[UserLog]], Any], users: Sequence[UserLog]) -> tuple[Any, float]:
    ask(users[:USERS_AT_ONCE])
    start = time.monotonic()
    return ask(users), time.monotonic() - start


def _ask(
    model: LoadedModel, users: Sequence[UserLog], n_samples: int, drawn: Mapping[str, Any], label: str
) -> list[list[list[str]]]:
    *questions, _ = generate.task_questions(model, n_samples, 1)
    return generate.ask(
        model,
        users,
        questions,
        Drawing(**drawn),
        users_at_once=USERS_AT_ONCE,
        samples_at_once=0,
        seed=SEED,
        label=label,
    )


def _shares(model: LoadedModel, by_tag: Sequence[Sequence[str]]) -> Probabilities:
    """Share of the samples, malformed ones included, that answer each value of each closed tag."""
    found: Probabilities = {}
    for tag, samples in zip(model.schema.tags, by_tag, strict=True):
        if tag.is_open:
            continue
        found[tag.name] = dict.fromkeys((*tag.values, NA), 0.0)
        for text in samples:
            try:
                found[tag.name][tag_prediction.parse(tag, text)[0]] += 1 / len(samples)
            except MalformedOutput:
                continue
    return found


if __name__ == "__main__":
    main()
