"""What is measured on the way from events to MUBs: the users' events, what each step keeps, and how long it is."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from usergpt_jax.semantize.aggregate import Windows
from usergpt_jax.semantize.coded import Coded
from usergpt_jax.semantize.increment import SUMS
from usergpt_jax.semantize.names import REASONS, Names
from usergpt_jax.semantize.salience import Slices
from usergpt_jax.semantize.sizes import Sizes


def users(log: Coded, windows: Windows, raw: Sizes) -> pl.DataFrame:
    """One row a user of the log: `user` (number), `user_id`, `as_of`, `n_events`, `raw_chars`, `raw_tokens`.

    Args:
      log: events that count.
      windows: of each user.
      raw: size of each event.
    """
    n_users = len(log.users)
    return pl.DataFrame(
        {
            "user": np.arange(n_users, dtype=np.int32),
            "user_id": log.users,
            "as_of": pl.from_epoch(pl.Series(windows.as_of), time_unit="s"),
            "n_events": np.bincount(log.user, minlength=n_users).astype(np.int32),
            **{
                f"raw_{unit}": np.bincount(log.user, weights=size, minlength=n_users).astype(np.int64)
                for unit, size in raw._asdict().items()
            },
        }
    )


def with_base(users: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    """Users with the events added that are not there any more; a user who is in `base` alone has no `user`.

    Args:
      users: see `users`.
      base: `user_id`, `as_of` and `increment.SUMS`.
    """
    both = users.join(base, on="user_id", how="full", coalesce=True, suffix="_base")
    added = [(pl.col(name).fill_null(0) + pl.col(f"{name}_base").fill_null(0)).cast(users[name].dtype) for name in SUMS]
    return both.with_columns(*added, pl.coalesce("as_of", "as_of_base")).select(users.columns)


def filtered(log: Coded, names: Names) -> dict[str, int]:
    """Events whose title names nothing, by reason."""
    dropped = np.bincount(names.dropped[log.title] + 1, minlength=len(REASONS) + 1)[1:]
    return {f"filtered_{reason}": int(n) for reason, n in zip(REASONS, dropped, strict=True)}


def kept(mub: pl.DataFrame, written: pl.DataFrame, slices: Slices, top: Slices) -> dict[str, int]:
    """Events, lines and items before Top-K, before the budget and after it.

    Args:
      mub: with `refs` and `n_lines` of each user.
      written: see `budget.fit`.
      slices: before Top-K.
      top: after it.
    """
    return {
        "events_in_slices": int(slices.lines["count"].sum()),
        "events_in_lines": int(mub["refs"].list.eval(pl.element().list.len()).list.sum().sum()),
        "lines": int(mub["n_lines"].sum()),
        "lines_before_budget": top.items["slice"].n_unique(),
        "items": int(written["n_items"].sum()),
        "items_before_top_k": slices.items.height,
        "items_before_budget": top.items.height,
    }


def total(mub: pl.DataFrame, text: str) -> tuple[int, int]:
    """Characters and tokens of a text ("raw" or "mub") of all users."""
    return int(mub[f"{text}_chars"].sum()), int(mub[f"{text}_tokens"].sum())


def named(steps: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Characters and tokens after each step: {"raw": (9, 4)} -> {"raw_chars": 9, "raw_tokens": 4}."""
    return {f"{step}_{unit}": n for step, pair in steps.items() for unit, n in zip(Sizes._fields, pair, strict=True)}
