"""Runs the stage `semantize` of a config.

With --after=RUN, `1_events` of this run holds new days alone: they are added to what RUN kept of the days before (its
`2_mub` made with --config.semantize.keep_state), and the result is that of the whole log.

With --beam="--runner=... --...", the work on the parts is an Apache Beam pipeline with these options; the run directory
must be seen by all its workers.
"""

import pathlib
import shlex

from absl import flags
from ml_collections import ConfigDict

from usergpt_jax.core import launch
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import beam_executor, day_run
from usergpt_jax.semantize import run as stage

_AFTER = flags.DEFINE_string("after", None, "Run directory of the days before.")
_BEAM = flags.DEFINE_string("beam", None, 'Options of Apache Beam, e.g. "--runner=DirectRunner".')


def run(config: ConfigDict, on_change: str) -> None:
    """Semantizes a whole log, or days on top of an earlier run."""
    if _AFTER.value and _BEAM.value is not None:
        raise InputError("--after and --beam exclude each other: a day is small enough for one machine")
    if _AFTER.value:
        day_run.run_day(config, _AFTER.value, on_change)
    elif _BEAM.value is not None:
        scratch = pathlib.Path(config.run_dir) / "beam.partial"
        stage.run(config, on_change, beam_executor.executor(shlex.split(_BEAM.value), scratch))
    else:
        stage.run(config, on_change)


if __name__ == "__main__":
    launch.main(run)
