"""Measures how real a simulated log is: a table, `<run>/fidelity.html` and `<run>/fidelity.json`.

python launch/fidelity.py --run runs/quickstart [--real runs/online_retail] [--out page.html] [--locale cn]
"""

from absl import app, flags

from usergpt_jax.core import launch
from usergpt_jax.simulate.fidelity import run as fidelity

_RUN = flags.DEFINE_string("run", None, "The run directory, with 1_events/.", required=True)
_REAL = flags.DEFINE_string("real", "", "A real log to compare with: a run directory that launch/ingest.py made.")
_OUT = flags.DEFINE_string("out", "", "Path of the page; fidelity.html in the run directory where empty.")
_LOCALE = flags.DEFINE_string("locale", "", "Locale of targets and calendar; the one of the run where empty.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    launch.exit_on_input_error(lambda: fidelity.run(_RUN.value, _REAL.value, _OUT.value, _LOCALE.value) and None)


if __name__ == "__main__":
    app.run(main)
