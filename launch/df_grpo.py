"""Runs the stage `rl` (DF-GRPO) of a config."""

from usergpt_jax.core import launch
from usergpt_jax.rl.run import run

if __name__ == "__main__":
    launch.main(run)
