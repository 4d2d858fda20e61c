"""Runs the stage `simulate` of a config.

On several hosts, start it on each with the same config and a shared run directory: with --distributed where JAX finds
its peers by itself (TPU pods, Slurm), or with --coordinator=HOST:PORT --n_processes=N --process_id=I.
"""

import jax
from absl import flags
from ml_collections import ConfigDict

from usergpt_jax.core import launch
from usergpt_jax.simulate import run as stage

_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Whether this is one of several processes that JAX can find.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, for several processes by hand.")
_N_PROCESSES = flags.DEFINE_integer("n_processes", None, "How many processes there are, with --coordinator.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0, with --coordinator.")


def run(config: ConfigDict, on_change: str) -> None:
    """Simulates, after meeting the other processes if there are any."""
    if _DISTRIBUTED.value or _COORDINATOR.value:
        jax.distributed.initialize(_COORDINATOR.value, _N_PROCESSES.value, _PROCESS_ID.value)
    stage.run(config, on_change)


if __name__ == "__main__":
    launch.main(run)
