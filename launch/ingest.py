"""Imports a real log into a run directory, as its `1_events/`.

python launch/ingest.py --events LOG.parquet --map configs/maps/online_retail.py --run runs/online_retail
"""

from absl import app, flags

from usergpt_jax.core import launch, run_dir
from usergpt_jax.semantize import ingest_run

_EVENTS = flags.DEFINE_string("events", None, "The log: CSV, TSV, JSONL or Parquet.", required=True)
_MAP = flags.DEFINE_string("map", None, "The mapping file, e.g. configs/maps/online_retail.py.", required=True)
_RUN = flags.DEFINE_string("run", None, "The run directory.", required=True)
_ON_CHANGE = flags.DEFINE_enum("on_change", "refuse", run_dir.ON_CHANGE, "What to do with another finished import.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    launch.exit_on_input_error(lambda: ingest_run.run(_EVENTS.value, _MAP.value, _RUN.value, _ON_CHANGE.value))


if __name__ == "__main__":
    app.run(main)
