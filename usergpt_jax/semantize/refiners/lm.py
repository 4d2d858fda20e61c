"""The refiner `lm`: the trained decoder of `launch/refiner.py`, and the rules where it is unsure or fails."""

import pathlib

import polars as pl

from usergpt_jax.inference import refiner as lm
from usergpt_jax.semantize.refiners import rules
from usergpt_jax.semantize.refiners.answers import Answers, checked
from usergpt_jax.semantize.refiners.cache import Refiner

ROWS_PER_BATCH = 256
_BATCHES_PER_SEGMENT = 16


MIN_PROBABILITY = 0.5  # an answer of less is rather wrong than right


def load(
    path: str | pathlib.Path,
    rows_per_batch: int = ROWS_PER_BATCH,
    min_probability: float = MIN_PROBABILITY,
    otherwise: Answers = rules.answers,
) -> Refiner:
    """The refiner of a model folder or a run directory.

    Args:
      path: the folder.
      rows_per_batch: titles read at once.
      min_probability: of an answer, below which `otherwise` answers; 0 asks it for invalid answers only.
      otherwise: the rules.

    Raises:
      InputError: there is none.
    """
    model = lm.load_refiner(path)

    def answers(pairs: pl.DataFrame) -> pl.DataFrame:
        made = lm.answers(model, pairs["title"].to_list(), pairs["category"].to_list(), rows_per_batch)
        unsure = {row for row, one in enumerate(made) if one.probability < min_probability}
        return checked(pairs, [one.text for one in made], otherwise, unsure)

    identity = rules.with_rules(f"{model.identity}:{min_probability}")
    return Refiner("lm", identity, answers, rows_per_batch * _BATCHES_PER_SEGMENT)
