"""Trains the refiner of titles of a config."""

from usergpt_jax.core import launch
from usergpt_jax.sft.refiner import run

if __name__ == "__main__":
    launch.main(run)
