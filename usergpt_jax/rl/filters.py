"""The two filters of DF-GRPO, over plain arrays. Paper: §3.3.4.

Example, three groups of three samples; x is a sample dropped for its form, and eps = (0.5, 1.8):

    total    [[1.0 1.2 x  ]   kept, weights 1 1 0
              [1.9 1.9 1.9]   mean over 1.8: learnt, weights 0 0 0
              [0.2 0.4 0.3]]  mean under 0.5: poor, weights 0 0 0
"""

from typing import NamedTuple

import numpy as np


class Filtered(NamedTuple):
    """Which samples are learnt from, and what was dropped why.

    Attributes:
      keep: Bool[B G].
      dropped_length: samples that ran into the length limit.
      dropped_format: samples of wrong form that ended by themselves.
      groups_poor: groups whose mean reward is under the lower bound.
      groups_learnt: groups whose mean reward is over the upper bound.
      groups_thin: groups with fewer than two samples left, which hold nothing to compare.
    """

    keep: np.ndarray
    dropped_length: int
    dropped_format: int
    groups_poor: int
    groups_learnt: int
    groups_thin: int


def dual_filter(
    total: np.ndarray,
    well_formed: np.ndarray,
    truncated: np.ndarray,
    *,
    sample_filter: bool,
    group_filter: bool,
    eps_low: float,
    eps_high: float,
) -> Filtered:
    """Applies the sample filter, then the group filter to the mean reward of the samples left.

    Args:
      total: Float[B G], reward.
      well_formed: Bool[B G].
      truncated: Bool[B G], ended by the length limit.
      sample_filter: drop truncated and malformed samples.
      group_filter: drop groups whose mean reward is outside [eps_low, eps_high].
      eps_low: lower bound of the mean reward.
      eps_high: upper bound of the mean reward.
    """
    keep = np.ones(total.shape, bool)
    dropped_length = dropped_format = poor = learnt = 0
    if sample_filter:
        keep = well_formed & ~truncated
        dropped_length = int(truncated.sum())
        dropped_format = int((~well_formed & ~truncated).sum())
    alive = keep.sum(1) >= 2
    thin = int((~alive).sum())
    if group_filter:
        mean = (total * keep).sum(1) / np.maximum(keep.sum(1), 1)
        is_poor, is_learnt = alive & (mean < eps_low), alive & (mean > eps_high)
        poor, learnt = int(is_poor.sum()), int(is_learnt.sum())
        alive &= ~is_poor & ~is_learnt
    return Filtered(keep & alive[:, None], dropped_length, dropped_format, poor, learnt, thin)
