"""How fast the stage `semantize` is, Parquet to Parquet, against the same steps in plain pandas; and peak memory.

Usage: python -m benchmarks.semantize [--run=FOLDER] [--rounds=3] [--pandas_users=256] [--workers=2] [--events=N]

Prints one JSON line; a table goes to stderr. `--run` is a run folder with `1_events`; without it a log of 1,024 users
is simulated. Each measurement has a process of its own, and both sides take turns. Ours is the whole stage: survey,
tokens, budget, references and sizes, with a tokenizer that is given; once with every title refined anew ("cold") and
once with a lexicon that knows them ("warm"). pandas (benchmarks/pandas_semantize.py, `pip install pandas`) starts from
the lexicon, stops before the budget and knows one core; on its users both must write the same text.

--events=N measures ours alone on a log of at least N events: the log's parts again and again under new user ids, so
users and events grow and the distinct titles do not.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import quickstart
from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.semantize import part_work, run, survey

NO_BUDGET = 1 << 30


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="How fast the stage `semantize` is.")
    parser.add_argument("--run", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pandas_users", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument(
        "--once", default="", help="cold, warm or pandas: one measurement on the folder that --run names"
    )
    given = parser.parse_args()
    if given.once:
        print(json.dumps(ONCE[given.once](pathlib.Path(given.run), given.workers)))
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        log = pathlib.Path(given.run) / run.EVENTS if given.run else simulated(scratch / "simulated")
        found = many_events(log, scratch, given) if given.events else both(log, scratch, given)
    for key, value in found.items():
        print(f"{key:36} {value:>16,}" if isinstance(value, int) else f"{key:36} {value!s:>16}", file=sys.stderr)
    print(json.dumps(found))


def both(log: pathlib.Path, scratch: pathlib.Path, given: argparse.Namespace) -> dict[str, Any]:
    """Ours on the whole log and pandas on some of its users, in turns; and whether their text is the same."""
    whole, some = scratch / "whole", scratch / "some"
    shutil.copytree(log, whole / run.EVENTS)
    prepare(whole, given.workers)
    take_users(log, some, given.pandas_users)
    prepare(some, given.workers)
    seen: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": [], "pandas": []}
    for _ in range(given.rounds):
        for side, results in seen.items():
            results.append(in_own_process(side, some if side == "pandas" else whole, given.workers))
    rate = {side: statistics.median(one["events_per_second"] for one in results) for side, results in seen.items()}
    ratios = {
        f"{side}_to_pandas": [
            round(ours["events_per_second"] / theirs["events_per_second"], 2)
            for ours, theirs in zip(seen[side], seen["pandas"], strict=True)
        ]
        for side in ("cold", "warm")
    }
    return {
        "workers": given.workers,
        "events": seen["cold"][0]["events"],
        "titles": seen["cold"][0]["titles"],
        "pandas_events": seen["pandas"][0]["events"],
        **{f"{side}_events_per_second": round(value) for side, value in rate.items()},
        **{f"{name}_median": round(statistics.median(values), 1) for name, values in ratios.items()},
        **ratios,
        **{f"{side}_cpu_seconds": min(one["cpu_seconds"] for one in results) for side, results in seen.items()},
        **{f"{side}_peak_gib": max(one["peak_gib"] for one in results) for side, results in seen.items()},
        "users_with_the_same_text": same_text(some, given.workers),
    }


def many_events(log: pathlib.Path, scratch: pathlib.Path, given: argparse.Namespace) -> dict[str, Any]:
    """Ours on the log repeated under new user ids."""
    repeat(log, scratch / "many", given.events)
    few = scratch / "few"
    shutil.copytree(log, few / run.EVENTS)
    prepare(few, given.workers)
    shutil.copytree(few / "given", scratch / "many" / "given")
    return {"workers": given.workers, **in_own_process("cold", scratch / "many", given.workers)}


def simulated(folder: pathlib.Path) -> pathlib.Path:
    """The log of 1,024 users of the quickstart, in a process of its own."""
    code = (
        "from configs import quickstart; from usergpt_jax.simulate import run; c = quickstart.get_config();"
        f"c.run_dir = {str(folder)!r}; c.simulate.n_users = 1024; run.run(c, 'refuse')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return folder / run.EVENTS


def prepare(folder: pathlib.Path, workers: int) -> None:
    """Runs the stage once and keeps its tokenizer and lexicon in `given`."""
    semantize(folder, quickstart_config(workers))
    made = folder / run.MUB
    shutil.copytree(made / part_work.TOKENIZER, folder / "given" / part_work.TOKENIZER)
    for frame in ("titles", "places"):
        shutil.copy(made / part_work.SURVEY / f"{frame}.parquet", folder / "given")


def quickstart_config(workers: int, tokenizer: str = "") -> Any:
    """The quickstart's config, with a tokenizer that is given or none."""
    config: Any = quickstart.get_config()
    config.semantize.workers = workers
    if tokenizer:
        config.tokenizer.update({"kind": "huggingface", "path": tokenizer})
    return config


def semantize(folder: pathlib.Path, config: Any) -> np.ndarray:
    """`clocks` of the stage on the run `folder`."""
    config.run_dir = str(folder)
    shutil.rmtree(folder / run.MUB, ignore_errors=True)
    start = clocks()
    with contextlib.redirect_stdout(sys.stderr):
        run.run(config, "refuse")
    return clocks() - start


def cold(folder: pathlib.Path, workers: int) -> dict[str, Any]:
    """The stage as it is."""
    seconds = semantize(folder, quickstart_config(workers, str(folder / "given" / part_work.TOKENIZER)))
    counts = run_dir.read_manifest(folder, run.MUB).counts
    return figures(folder, seconds) | {"users": counts["users"], "titles": counts["titles"]}


def warm(folder: pathlib.Path, workers: int) -> dict[str, Any]:
    """The stage where every title has been refined before."""
    known = survey.Lexicon(*(pl.read_parquet(folder / "given" / f"{name}.parquet") for name in ("titles", "places")))
    with mock.patch.object(survey, "lexicon_of", return_value=known):
        return cold(folder, workers)


def pandas(folder: pathlib.Path, workers: int) -> dict[str, Any]:
    """The same steps in pandas, up to the budget; it has no workers."""
    from benchmarks import pandas_semantize

    parts, truth = sorted(map(str, (folder / run.EVENTS).glob("part-*.parquet"))), folder / run.EVENTS / "users.parquet"
    section = quickstart_config(workers).semantize.to_dict()
    start = clocks()
    pandas_semantize.run(parts, str(truth), str(folder / "given"), section, str(folder / "pandas.parquet"))
    return figures(folder, clocks() - start)


ONCE = {"cold": cold, "warm": warm, "pandas": pandas}


def clocks() -> np.ndarray:
    """Seconds of the wall's clock, and seconds of all cores that this process took."""
    return np.array([time.perf_counter(), time.process_time()])


def figures(folder: pathlib.Path, clocks: np.ndarray) -> dict[str, Any]:
    """Speed, and the peak memory of this process, which unlike rusage's does not count what its parent held."""
    n_events = sum(pq.read_metadata(part).num_rows for part in (folder / run.EVENTS).glob("part-*.parquet"))
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    seconds, cpu_seconds = clocks.tolist()
    return {
        "events": n_events,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "events_per_second": round(n_events / seconds),
        "peak_gib": round(int(status["VmHWM"].split()[0]) / 2**20, 2),
    }


def in_own_process(side: str, folder: pathlib.Path, workers: int) -> dict[str, Any]:
    """One measurement."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.semantize",
        f"--once={side}",
        f"--run={folder}",
        f"--workers={workers}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def same_text(folder: pathlib.Path, workers: int) -> int:
    """How many users' text the stage without a budget and pandas both write; stops at the first that differs."""
    config = quickstart_config(workers, str(folder / "given" / part_work.TOKENIZER))
    config.semantize.max_mub_tokens = NO_BUDGET
    semantize(folder, config)
    ours = pl.read_parquet(folder / run.MUB / "part-*.parquet").filter(pl.col("mub") != "")
    theirs = pl.read_parquet(folder / "pandas.parquet").rename({"mub": "pandas"})
    joined = ours.join(theirs, on="user_id", how="full", coalesce=True)
    for user_id, mub, other in joined.select("user_id", "mub", "pandas").iter_rows():
        if mub != other:
            sys.exit(f"user {user_id}: the stage wrote\n{mub}\n\nand pandas\n{other}")
    return joined.height


def take_users(log: pathlib.Path, folder: pathlib.Path, n_users: int) -> None:
    """A run with the first users of a log, in two parts."""
    stage = events_stage(folder)
    users = pl.read_parquet(log / "users.parquet").sort("user_id").head(n_users)
    pq.write_table(users.to_arrow(), stage.path / "users.parquet")
    events = pl.scan_parquet(log / "part-*.parquet")
    for number, half in enumerate((users[: n_users // 2], users[n_users // 2 :])):
        found = events.filter(pl.col("user_id").is_in(half["user_id"].implode())).collect()
        write_part(stage, number, found.to_arrow())
    stage.finish({})


def repeat(log: pathlib.Path, folder: pathlib.Path, n_events: int) -> None:
    """A run of at least so many events: a log's parts again and again under new user ids; one part is in memory."""
    stage = events_stage(folder)
    parts, truth = sorted(log.glob("part-*.parquet")), pl.read_parquet(log / "users.parquet")
    number, written, truths = 0, 0, []
    while written < n_events:
        suffix = f"-{len(truths):04d}"
        for part in parts:
            table = pq.read_table(part)
            joined = [table["user_id"].cast(pa.string()), pa.scalar(suffix), pa.scalar("")]
            ids = pc.call_function("binary_join_element_wise", joined)
            write_part(stage, number, table.set_column(table.column_names.index("user_id"), "user_id", ids))
            number, written = number + 1, written + table.num_rows
        truths.append(truth.with_columns(pl.col("user_id") + suffix))
    pq.write_table(pl.concat(truths).to_arrow(), stage.path / "users.parquet")
    stage.finish({})


def events_stage(folder: pathlib.Path) -> run_dir.Stage:
    """An event log to be written into a new run."""
    stage = run_dir.open_stage(folder, run.EVENTS, config={})
    assert stage is not None, "the run is new"
    return stage


def write_part(stage: run_dir.Stage, number: int, events: pa.Table) -> None:
    """One part of an event log."""
    path = stage.path / f"part-{number:05d}.parquet"
    pq.write_table(events.cast(schema.EVENT_SCHEMA), path, compression="zstd")


if __name__ == "__main__":
    main()
