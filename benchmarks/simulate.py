"""How fast the simulator is: events and users a second, end to end to Parquet, and peak memory.

Usage: python benchmarks/simulate.py [--users=2048] [--years=3] [--batch=128] [--workers=2] [--device_only]

Prints one JSON line; a table goes to stderr. Peak memory is measured for the population and for half of it, in
processes of their own: memory must not depend on the number of users. --device_only leaves out quality checks, truth
and files.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from ml_collections import ConfigDict


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="How fast the simulator is.")
    parser.add_argument("--users", type=int, default=2048)
    parser.add_argument("--years", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device_only", action="store_true")
    parser.add_argument("--once", action="store_true", help="measure this population only")
    given = parser.parse_args()
    if given.once:
        print(json.dumps(_device_only(given) if given.device_only else _end_to_end(given)))
        return
    whole, half = (_in_own_process(given, users) for users in (given.users, given.users // 2))
    whole["peak_gib_half_the_users"] = half["peak_gib"]
    for key, value in whole.items():
        print(f"{key:28} {value:>14,}" if isinstance(value, int) else f"{key:28} {value:>14}", file=sys.stderr)
    print(json.dumps(whole))


def _in_own_process(given: argparse.Namespace, users: int) -> dict:
    options = [f"--{name}={value}" for name, value in vars(given).items() if name in ("years", "batch", "workers")]
    options += ["--device_only"] if given.device_only else []
    command = [sys.executable, __file__, "--once", f"--users={users}", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def _end_to_end(given: argparse.Namespace) -> dict:
    from usergpt_jax.core import run_dir
    from usergpt_jax.simulate import run

    def simulate(users: int, folder: str) -> float:
        settings = {
            "locale": "cn",
            "n_users": users,
            "start": f"{2025 - given.years}-07-01",
            "as_of": "2025-07-01",
            "users_per_part": 2 * given.batch,
            "users_per_batch": given.batch,
            "workers": given.workers,
        }
        config = ConfigDict({"run_dir": folder, "seed": 0, "tag_schema": "hpr18", "simulate": ConfigDict(settings)})
        start = time.perf_counter()
        run.run(config, "refuse")
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        simulate(given.batch, f"{folder}/warm")  # compiles
        seconds = simulate(given.users, f"{folder}/timed")
        counts = run_dir.read_manifest(f"{folder}/timed", run.STAGE).counts
        files = sum(path.stat().st_size for path in (pathlib.Path(folder) / "timed" / run.STAGE).glob("*.parquet"))
    return _figures(given, counts["events"], seconds) | {"bytes_an_event": round(files / counts["events"], 1)}


def _device_only(given: argparse.Namespace) -> dict:
    import datetime

    from usergpt_jax.simulate import calendar, engine

    first, last = (calendar.epoch_day(datetime.date(year, 7, 1)) for year in (2025 - given.years, 2025))
    maker = engine.Engine(locale="cn", seed=0, start_day=first, as_of_day=last)
    maker.simulate(np.arange(given.batch))
    n_events = 0
    start = time.perf_counter()
    for batch in range(0, given.users, given.batch):
        n_events += len(maker.simulate(np.arange(batch, batch + given.batch)).events)
    return _figures(given, n_events, time.perf_counter() - start)


def _figures(given: argparse.Namespace, n_events: int, seconds: float) -> dict:
    return {
        "device": jax.devices()[0].device_kind,
        "users": given.users,
        "years": given.years,
        "users_per_batch": given.batch,
        "events": n_events,
        "seconds": round(seconds, 2),
        "events_per_second": round(n_events / seconds),
        "users_per_second": round(given.users / seconds),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


if __name__ == "__main__":
    main()
