"""Which users train, which reinforce, which are held out: decided by a hash of the user id alone."""

import dataclasses
import zlib

from usergpt_jax.core.errors import InputError

SPLITS = ("sft", "rl", "bench")


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """Shares of the users in each split; they sum to 1.

    Attributes:
      seed: another seed gives another split.
      sft_frac: users whose questions train the model (and every baseline).
      rl_frac: users of DF-GRPO, unseen in SFT.
      bench_frac: held-out users of the benchmark.
    """

    seed: int
    sft_frac: float
    rl_frac: float
    bench_frac: float

    def __post_init__(self) -> None:
        fractions = (self.sft_frac, self.rl_frac, self.bench_frac)
        if min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-6:
            raise InputError(f"config.split: the fractions {fractions} must be >= 0 and sum to 1")


def split_of(user_id: str, config: SplitConfig) -> str:
    """The split of a user, one of `SPLITS`; it depends on nothing but the id and the config."""
    draw = zlib.crc32(f"{config.seed}:{user_id}".encode()) / 2**32
    if draw < config.sft_frac:
        return "sft"
    return "rl" if draw < config.sft_frac + config.rl_frac else "bench"
