"""Group-relative advantages, over plain arrays."""

import numpy as np

_EPS = 1e-6


def grpo(total: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """`(r - mean) / (std + 1e-6)` over the counted samples of each group (Shao et al. 2024, GRPO).

    For example, rewards [1, 2, 3] all counted give [-1.22, 0, 1.22]; with the last not counted, [-1, 1, 0].

    Args:
      total: Float[B G], rewards.
      counted: Bool[B G]; the others get 0.
    """
    centred, n = _centre(total, counted)
    std = np.sqrt((centred**2).sum(1, keepdims=True) / n)
    return (centred / (std + _EPS)).astype(np.float32)


def dr_grpo(total: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """`r - mean`: not divided by the spread, which favours groups that nearly agree (Liu et al. 2025, Dr. GRPO)."""
    return _centre(total, counted)[0].astype(np.float32)


ADVANTAGE = {"grpo": grpo, "dr_grpo": dr_grpo}


def _centre(total: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = np.maximum(counted.sum(1, keepdims=True), 1)
    mean = (total * counted).sum(1, keepdims=True) / n
    return np.where(counted, total - mean, 0.0), n
