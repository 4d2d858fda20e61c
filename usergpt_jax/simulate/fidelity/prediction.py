"""How well the next category of a user is guessed from the last one: first-order Markov chain over popularity."""

import numpy as np
import scipy.sparse
from jaxtyping import Int

PRIOR_WEIGHT = 5.0  # how many observed successors the popularity counts as
_ROWS_AT_ONCE = 256


def next_hits(
    user: Int[np.ndarray, " E"], kind: Int[np.ndarray, " E"], top: tuple[int, ...], seed: int = 0
) -> tuple[float, ...]:
    """Share of events whose kind is among the first k guesses, for each k of `top`.

    The guess for the next kind is the count of successors of the last one plus `PRIOR_WEIGHT` times popularity, both
    from the training users, a random half; it is tested on the other half.

    Args:
      user: number of the user of each event, neighbours in time.
      kind: number of the category, 0 or more; an event of the same kind as the one before is part of the sequence.
      top: numbers of guesses, increasing.
      seed: of the split.

    Returns:
      NaN for each where one of the halves has no pair.
    """
    inside = user[1:] == user[:-1]
    who, last, coming = user[1:][inside], kind[:-1][inside], kind[1:][inside]
    n_kinds = int(kind.max()) + 1 if len(kind) else 0
    rng = np.random.default_rng(seed)
    trained = rng.permutation(int(user.max()) + 1 if len(user) else 0)[who] % 2 == 0 if len(who) else np.zeros(0, bool)
    if not trained.any() or trained.all():
        return tuple(float("nan") for _ in top)
    ones = np.ones(trained.sum())
    counts = scipy.sparse.coo_array((ones, (last[trained], coming[trained])), shape=(n_kinds, n_kinds)).tocsr()
    popularity = np.bincount(coming[trained], minlength=n_kinds) / trained.sum()
    asked, row = np.unique(last[~trained], return_inverse=True)
    width = min(top[-1], n_kinds)
    guesses = np.empty((len(asked), width), np.int64)
    for begin in range(0, len(asked), _ROWS_AT_ONCE):
        some = asked[begin : begin + _ROWS_AT_ONCE]
        score = counts[some].toarray() + PRIOR_WEIGHT * popularity
        best = np.argpartition(-score, width - 1, axis=1)[:, :width]
        order = np.argsort(-np.take_along_axis(score, best, axis=1), axis=1, kind="stable")
        guesses[begin : begin + len(some)] = np.take_along_axis(best, order, axis=1)
    right = guesses[row] == coming[~trained][:, None]
    return tuple(float(right[:, :k].any(axis=1).mean()) for k in top)
