"""Runs the stage `simulate` of a config.

On several hosts, start it on each with the same config and a shared run directory: with --distributed where JAX finds
its peers by itself (TPU pods, Slurm), or with --coordinator=HOST:PORT --n_processes=N --process_id=I.
"""

import jax
from absl import flags
from ml_collections import ConfigDict

from usergpt_jax.core import launch
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import run as stage

_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Whether this is one of several processes that JAX can find.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, for several processes by hand.")
_N_PROCESSES = flags.DEFINE_integer("n_processes", None, "How many processes there are, with --coordinator.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0, with --coordinator.")


def run(config: ConfigDict, on_change: str) -> None:
    """Simulates, after meeting the other processes if there are any."""
    given = [_COORDINATOR.value, _N_PROCESSES.value, _PROCESS_ID.value]
    if any(value is not None for value in given):
        coordinator, n_processes, process_id = given
        if None in given or not 0 <= process_id < n_processes:
            raise InputError("--coordinator, --n_processes and --process_id go together, with 0 <= id < n")
        jax.distributed.initialize(coordinator, n_processes, process_id)
    elif _DISTRIBUTED.value:
        try:
            jax.distributed.initialize()
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"--distributed: JAX finds no other processes here: {str(error).splitlines()[0]}"
            ) from None
    stage.run(config, on_change)


if __name__ == "__main__":
    launch.main(run)
