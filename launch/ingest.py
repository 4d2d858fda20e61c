"""Imports a real log into a run directory, as its `1_events/`; docs/ingest.md tells how.

python launch/ingest.py --events LOG.parquet --map configs/maps/online_retail.py --run runs/online_retail
python launch/ingest.py --events 'logs/*.csv' --suggest > my_map.py
"""

from absl import app, flags

from usergpt_jax.core import launch, run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest import run, suggest

_EVENTS = flags.DEFINE_string(
    "events", None, "The log: a file, folder or glob of CSV, JSONL or Parquet.", required=True
)
_MAP = flags.DEFINE_string("map", None, "The mapping file, e.g. configs/maps/online_retail.py.")
_RUN = flags.DEFINE_string("run", None, "The run directory.")
_ON_CHANGE = flags.DEFINE_enum("on_change", "refuse", run_dir.ON_CHANGE, "What to do with another finished import.")
_SUGGEST = flags.DEFINE_bool("suggest", False, "Print a mapping file for the log, and import nothing.")
_SALT_FILE = flags.DEFINE_string("salt_file", "", "File with the secret key of the users' hashes.")
_SKIP = flags.DEFINE_bool("skip_bad_files", False, "Import the other files when some cannot be read.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; a glob is quoted: --events 'logs/*.csv'")
    launch.exit_on_input_error(_ingest)


def _ingest() -> None:
    if _SUGGEST.value:
        print(suggest.mapping_file(_EVENTS.value), end="")
        return
    for flag in (_MAP, _RUN):
        if not flag.value:
            raise InputError(f"--{flag.name} is missing; --suggest prints a mapping to start from")
    run.run(
        _EVENTS.value,
        _MAP.value,
        _RUN.value,
        _ON_CHANGE.value,
        salt_file=_SALT_FILE.value,
        skip_bad_files=_SKIP.value,
    )


if __name__ == "__main__":
    app.run(main)
