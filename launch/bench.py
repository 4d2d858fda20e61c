"""Runs the stage `bench` of a config."""

from usergpt_jax.core import launch
from usergpt_jax.bench.run import run

if __name__ == "__main__":
    launch.main(run)
