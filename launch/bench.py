"""Runs the stage `bench` of a config."""

from usergpt_jax.bench.run import run
from usergpt_jax.core import launch

if __name__ == "__main__":
    launch.main(run)
