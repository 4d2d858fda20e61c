"""The whole pipeline twice on a tiny config: once undisturbed, once with every stage killed half-way and run again."""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import orbax.checkpoint as ocp
import polars as pl
import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = {
    "simulate": "1_events",
    "semantize": "2_mub",
    "curriculum": "3_curriculum",
    "sft": "4_sft",
    "df_grpo": "5_rl",
    "bench": "6_bench",
}
# What must exist in the partial folder before the kill: trainers are killed after a saved state, so that they resume.
HALF_WAY = {"sft": "stage1/metrics.jsonl", "df_grpo": "metrics.jsonl"}


def config_file(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "config.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'tests' / 'pipeline')!r})\nfrom tiny import tiny_config\n\n"
        f"def get_config():\n    return tiny_config({str(folder / 'run')!r})\n"
    )
    return path


def launch(stage: str, config: pathlib.Path) -> subprocess.Popen:
    # One device, as a user's machine has; the tests around this one ask for eight.
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    command = [sys.executable, str(ROOT / "launch" / f"{stage}.py"), f"--config={config}"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(stage: str, config: pathlib.Path) -> None:
    process = launch(stage, config)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, f"{stage}: {output[-3000:]}"


def kill_half_way(stage: str, config: pathlib.Path) -> None:
    partial = config.parent / "run" / f"{FOLDERS[stage]}.partial"
    process = launch(stage, config)
    while process.poll() is None:
        target = partial / HALF_WAY[stage] if stage in HALF_WAY else partial
        lines = target.read_text().count("\n") if target.is_file() else 0
        if (stage in HALF_WAY and lines >= 1) or (stage not in HALF_WAY and target.exists()):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (config.parent / "run" / FOLDERS[stage]).exists(), f"{stage} finished before it was killed"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    calm, rough = (config_file(tmp_path_factory.mktemp(name)) for name in ("calm", "rough"))

    def undisturbed() -> None:
        for stage in (*FOLDERS, "report"):
            finish(stage, calm)

    def disturbed() -> None:
        for stage in FOLDERS:
            kill_half_way(stage, rough)
            finish(stage, rough)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(undisturbed), pool.submit(disturbed)]:
            done.result()
    return calm.parent / "run", rough.parent / "run"


def test_tables_are_equal(runs):
    names = [path.relative_to(runs[0]) for path in sorted(runs[0].glob("[12]_*/*.parquet"))]
    assert names
    for name in names:
        assert pl.read_parquet(runs[0] / name).equals(pl.read_parquet(runs[1] / name)), name


@pytest.mark.parametrize("model", ["4_sft/stage1", "4_sft/stage2", "4_sft/stage3", "5_rl"])
def test_parameters_and_metrics_are_bitwise_equal(runs, model):
    with ocp.StandardCheckpointer() as checkpointer:
        calm, rough = (checkpointer.restore(run / model / "model" / "params") for run in runs)
    assert calm.keys() == rough.keys()
    for name, value in calm["layers"].items():
        assert np.array_equal(value, rough["layers"][name]), name
    assert np.array_equal(calm["embed"], rough["embed"])
    texts = [(run / model / "metrics.jsonl").read_text() for run in runs]
    assert texts[0] == texts[1]


def test_results_are_equal_and_cover_every_model(runs):
    texts = [(run / "6_bench" / "results.jsonl").read_text() for run in runs]
    assert texts[0] == texts[1]
    models = {json.loads(line)["model"] for line in texts[0].splitlines()}
    assert {"majority", "rule", "linear", "stage1", "stage2", "stage3", "df_grpo"} <= models


def test_the_report_is_written_and_whole(runs):
    html = (runs[0] / "report.html").read_text()
    assert html.rstrip().endswith("</html>")


def test_a_finished_stage_is_reused_and_another_config_is_refused_by_key(runs):
    config = runs[0].parent / "config.py"
    process = launch("simulate", config)
    assert "reused" in process.communicate()[0]
    command = [sys.executable, str(ROOT / "launch" / "simulate.py"), f"--config={config}"]
    for flag, message in (
        ("--config.simulate.n_users=161", "simulate.n_users: 160 there, 161 here"),
        ("--config.simulate.n_user=161", "n_user"),
    ):
        result = subprocess.run([*command, flag], capture_output=True, text=True, check=False)
        assert result.returncode != 0
        assert message in result.stderr
        assert "Traceback" not in result.stderr
