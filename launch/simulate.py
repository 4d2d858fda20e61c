"""Runs the stage `simulate` of a config."""

from usergpt_jax.core import launch
from usergpt_jax.simulate.run import run

if __name__ == "__main__":
    launch.main(run)
