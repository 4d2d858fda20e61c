"""Which refiner a run uses: the section `refine`."""

import dataclasses
import pathlib
from collections.abc import Callable

import polars as pl

from usergpt_jax.core.config import ConfigError
from usergpt_jax.semantize import refine
from usergpt_jax.semantize.refiners import cache, endpoint, lm, rules
from usergpt_jax.semantize.refiners.answers import as_columns
from usergpt_jax.semantize.refiners.cache import Refiner
from usergpt_jax.semantize.refiners.chat_client import EndpointConfig

KINDS = ("table", "rules", "lm", "endpoint")
CACHE = "refined"  # folder of a run


@dataclasses.dataclass(frozen=True)
class ChosenRefiner:
    """The section `refine`.

    Attributes:
      kind: one of `KINDS`; "table" is `refine.refine_table` alone, without a cache.
      path: of "lm", its model folder or run directory; "" for the run itself.
      endpoint: of "endpoint".
    """

    kind: str
    path: str
    endpoint: EndpointConfig

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"config.refine.kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")


class Chosen:
    """The refiner of a run, behind the contract of `refine.refine_table`.

    Attributes:
      identity: of the refiner, for the stage's manifest: another one makes other MUBs.
      counts: of the last call, for the manifest: titles known, made, and fallen back by reason.
    """

    def __init__(self, refiner: Refiner | None, folder: pathlib.Path):
        self._refiner, self._folder = refiner, folder
        self.identity = f"{refiner.name}-{refiner.identity[:16]}" if refiner else "table"
        self.counts: dict[str, int] = {}

    def __call__(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Refines distinct pairs of title and category."""
        if self._refiner is None:
            return refine.refine_table(pairs)
        looked = cache.look_up(self._folder, self._refiner, pairs)
        self.counts = {f"refined_{name}": n for name, n in looked.counts.items()}
        return as_columns(looked.answers)


def choose(config: ChosenRefiner, run: str | pathlib.Path) -> Chosen:
    """The refiner of a run directory, its cache in the run's folder `refined`.

    Raises:
      InputError: the model is missing, or the server's address or key.
    """
    makers: dict[str, Callable[[], Refiner | None]] = {
        "table": lambda: None,
        "rules": rules.refiner,
        "lm": lambda: lm.load(config.path or run),
        "endpoint": lambda: endpoint.connect(config.endpoint),
    }
    return Chosen(makers[config.kind](), pathlib.Path(run) / CACHE)
