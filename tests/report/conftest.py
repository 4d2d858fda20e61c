"""A made-up run directory: every file a stage leaves that the report reads, small and hostile."""

import datetime
import gzip
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from usergpt_jax.core import run_dir
from usergpt_jax.schema import ACTIONS, EVENT_SCHEMA, MUB_SCHEMA, SOURCES
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary, tag_prediction

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png> 100% "off" & \u202eevil'
MODELS = ("majority", "rule", "linear", "linear_mub", "stage1", "stage2", "stage3", "df_grpo")
N_USERS = 12
START = datetime.datetime(2024, 1, 1)
GOLD = {
    tag.name: "Hangzhou" if tag.name == "resident_city" else (tag.values or ("tea", "cycling"))[0] for tag in HPR18.tags
}


def _finish(run: pathlib.Path, name: str, counts: dict, inputs: tuple[str, ...], write) -> None:
    stage = run_dir.open_stage(run, name, config={"seed": 0}, inputs=inputs)
    stage.clear()
    write(stage.path)
    stage.finish(counts)
    path = run / name / run_dir.MANIFEST
    manifest = json.loads(path.read_text())
    manifest.update(wall_seconds=83.25, version="0.1.0+abc1234")
    path.write_text(json.dumps(manifest))


def _events(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        for i in range(40 + 5 * user):
            title = HOSTILE if i % 7 == 3 else f"Brand Milk Powder stage {i % 4} 800g"
            rows.append(
                {
                    "user_id": f"u{user:05d}",
                    "time": START + datetime.timedelta(days=9 * i, hours=user),
                    "source": SOURCES[int(rng.integers(4))],
                    "action": ACTIONS[int(rng.integers(6))],
                    "title": title,
                    "category": "Milk Powder",
                    "item_id": f"i{i}",
                    "place": None,
                    "price": 19.9,
                    "quantity": 1.0,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows, schema=EVENT_SCHEMA), folder / "part-00000.parquet")


def _mub(folder: pathlib.Path) -> None:
    rows = []
    for user in range(N_USERS):
        lines = [
            f"[Source: E-commerce] [TIME: 2024-{month:02d}] [TYPE: Purchase] [COUNT: {month}] | Milk Powder, Tea <b>"
            for month in range(1, 9)
        ]
        refs = [[2 * i, 2 * i + 1] for i in range(len(lines))]
        sizes = {
            "raw_chars": 4000 + 100 * user,
            "mub_chars": 700,
            "raw_tokens": 1200 + 40 * user,
            "mub_tokens": 200 + user,
        }
        rows.append(
            {
                "user_id": f"u{user:05d}",
                "as_of": START,
                "mub": "\n".join(lines),
                "refs": refs,
                "n_events": 40,
                "n_lines": 8,
            }
            | sizes
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=MUB_SCHEMA), folder / "part-00000.parquet")


def _curves(path: pathlib.Path, n: int, names: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    with path.open("w") as file:
        for i in range(n):
            values = {name: 2.0 * np.exp(-i / n * 3) + 0.2 * float(rng.random()) for name in names}
            file.write(json.dumps({"step": 10 * (i + 1), **values}) + "\n")


def _sft(folder: pathlib.Path) -> None:
    for stage, n in (("stage1", 40), ("stage2", 30), ("stage3", 5)):
        _curves(folder / stage / "metrics.jsonl", n, ("loss", "token_accuracy", "grad_norm"))


def _rl(folder: pathlib.Path) -> None:
    names = ("reward", "format_rate", "atomic_accuracy", "quality", "kl")
    _curves(folder / "metrics.jsonl", 20, (*names, "dropped_format", "dropped_length", "groups_poor", "groups_learnt"))


def _result(model: str, task: str, metric: str, scope: str, value: float) -> str:
    fields = {"model": model, "task": task, "metric": metric, "scope": scope, "value": value}
    return json.dumps(fields | {"low": value - 0.02, "high": value + 0.02, "n_users": N_USERS}) + "\n"


def _bench(folder: pathlib.Path) -> None:
    scopes = ["all", *(f"dimension:{name}" for name in HPR18.dimensions), *(f"tag:{name}" for name in HPR18.names)]
    with (folder / "results.jsonl").open("w") as file:
        for m, model in enumerate(MODELS):
            for s, scope in enumerate(scopes):
                file.write(_result(model, "tags", "avg@10", scope, 0.30 + 0.05 * m + 0.007 * (s * 5 % 13)))
            for metric in ("pass@1", "pass@5", "avg@10_known", "format_failure"):
                file.write(_result(model, "tags", metric, "all", 0.4 + 0.03 * m))
            for metric in ("acc_ex", "cov_ex", "bleu_2", "judge_completeness", "saved_from_raw", "summary_tokens"):
                file.write(_result(model, "summary", metric, "all", 0.35 + 0.05 * m))
        file.write(_result("df_grpo - majority", "tags", "avg@10", "all", 0.35))
        file.write(_result("df_grpo - stage3", "summary", "acc_ex", "all", 0.05))
        file.write(_result("df_grpo", "tags", "gap_majority_to_linear", "all", 0.9))
    with gzip.open(folder / "outputs.jsonl.gz", "wt") as file:
        for model in MODELS:
            for user in range(N_USERS):
                file.write(json.dumps(_outputs(model, user)) + "\n")


def _outputs(model: str, user: int) -> dict:
    """User number u answers the first u tags rightly and garbles the others."""
    tags = {
        tag.name: [tag_prediction.target(tag, GOLD[tag.name], "Milk Powder (L2)") if i < user else HOSTILE] * 10
        for i, tag in enumerate(HPR18.tags)
    }
    written = summary.target(HPR18, GOLD, "").replace("a man", "a man <script>")
    return {"model": model, "user_id": f"u{user:05d}", "gold": GOLD, "tags": tags, "summary": [written] * 2}


_STEP_SIZES = {
    f"{step}_{unit}": size
    for step, size in (("raw", 14000), ("refined", 9000), ("mub", 2500))
    for unit in ("chars", "tokens")
}
_STAGES = {
    "1_events": ({"users": N_USERS}, (), _events),
    "2_mub": (
        {
            "users": N_USERS,
            **_STEP_SIZES,
        },
        ("1_events",),
        _mub,
    ),
    "3_curriculum": (
        {
            "questions": {"stage1": 120, "stage2": 60, "stage3": 40, "rl": 9},
            "votes": {str(i): 10 * i for i in range(6)},
            "outcomes": {"standard": 120, "controversial": 60, "dropped": 20},
        },
        ("1_events", "2_mub"),
        lambda folder: None,
    ),
    "4_sft": ({"parameters": 1_234_567}, ("3_curriculum",), _sft),
    "5_rl": ({"steps": 20}, ("4_sft",), _rl),
    "6_bench": ({"items": N_USERS, "models": list(MODELS)}, ("1_events", "2_mub"), _bench),
}


@pytest.fixture
def make_run(tmp_path: pathlib.Path):
    """Makes a run directory with the first `n_stages` stages complete."""

    def make(n_stages: int = len(_STAGES), name: str = "made_up") -> pathlib.Path:
        run = tmp_path / name
        run.mkdir()
        for folder, (counts, inputs, write) in list(_STAGES.items())[:n_stages]:
            _finish(run, folder, counts, inputs, write)
        return run

    return make
