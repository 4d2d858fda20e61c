"""Fixed-point numbers: the simulator decides in integers, so that its files are equal bit by bit everywhere.

Log factors are integers in 1/64 nat, chances are integers out of 2**16, weights are integers with `UNIT` for a rate of
one session a year. Sums of integers do not depend on their order, so device, batch size and compiler version do not
matter; the few float products on the device are single multiplications, which IEEE 754 rounds in one way only.
"""

from typing import Any

import numpy as np
from scipy.special import ndtri

Column = Any  # an array: of jax on the device, of numpy on the host

LOG_STEPS = 64  # of a nat
LOG_ZERO = -20 * LOG_STEPS  # log factor of what does not happen
CHANCE = 1 << 16  # a chance of one
UNIT = 1024  # weight of one session a year
_TOP = 1 << 20  # largest weight

LOG_TOP = 9 * LOG_STEPS
# Weight of each log rate from LOG_ZERO to LOG_TOP.
WEIGHTS = np.minimum(np.exp(np.arange(LOG_ZERO, LOG_TOP + 1) / LOG_STEPS) * UNIT, _TOP).astype(np.int32)
NORMAL_DRAWS = 1024
# Standard normal quantiles of the middles of NORMAL_DRAWS equal parts, in 1/64.
NORMAL = np.round(ndtri((np.arange(NORMAL_DRAWS) + 0.5) / NORMAL_DRAWS) * LOG_STEPS).astype(np.int32)


def log_units(factor: np.ndarray | float) -> np.ndarray:
    """A factor as a log factor in 1/64 nat; 0 gives LOG_ZERO."""
    logs = np.log(np.maximum(np.asarray(factor, np.float64), np.exp(LOG_ZERO / LOG_STEPS)))
    return np.asarray(np.round(logs * LOG_STEPS), np.int32)


def chance(share: np.ndarray | float) -> np.ndarray:
    """A chance in [0, 1] as an integer out of 2**16."""
    return np.asarray(np.round(np.clip(share, 0.0, 1.0) * CHANCE), np.int32)


def cumulative(weights: np.ndarray, total: int = CHANCE) -> np.ndarray:
    """Cumulative integers along the last axis, the last `total`; a row without weight falls on its last entry."""
    sums = np.cumsum(np.asarray(weights, np.float64), axis=-1)
    whole = sums[..., -1:]
    shares = np.divide(sums, whole, out=np.zeros_like(sums), where=whole > 0)
    edges = np.round(shares * total).astype(np.int32)
    edges[..., -1] = total
    return edges


def sampler(weights: np.ndarray, n_draws: int) -> np.ndarray:
    """Tables [..., n_draws] that turn an integer draw into an entry with a chance by its weight [..., N]."""
    edges = cumulative(weights, n_draws)
    flat = edges.reshape(-1, edges.shape[-1])
    rows = [np.searchsorted(row, np.arange(n_draws), side="right") for row in flat]
    return np.array(rows, np.int32).reshape(*edges.shape[:-1], n_draws)
