"""Semantization as a pure function: events in, one MUB a user out."""

import datetime
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.semantize import aggregate, budget, coded, damp, measure, returns, salience, sizes, survey
from usergpt_jax.semantize import names as names_lib
from usergpt_jax.semantize.coded import Coded
from usergpt_jax.semantize.config import SemantizeConfig
from usergpt_jax.semantize.names import Lexicon, Names
from usergpt_jax.semantize.salience import Slices
from usergpt_jax.semantize.survey import Survey
from usergpt_jax.semantize.token_count import Counter

AsOf = datetime.datetime | pl.DataFrame  # one time for all users, or a table of `user_id`, `as_of`


class Semantized(NamedTuple):
    """What became of some users.

    Attributes:
      mub: in `schema.MUB_SCHEMA`, sorted by user.
      counts: what was counted on the way; sums, so parts add up.
      raw: size of each event.
    """

    mub: pl.DataFrame
    counts: dict[str, int]
    raw: sizes.Sizes


class Prepared(NamedTuple):
    """Events of some users, and their slices before Top-K.

    Attributes:
      whole: all events.
      log: the events before `as_of`, without what was returned.
      names: of the events.
      band: price band of each event [E].
      windows: of each user.
      slices: see above.
      counts: events after `as_of` and events that were damped.
    """

    whole: Coded
    log: Coded
    names: Names
    band: np.ndarray
    windows: aggregate.Windows
    slices: Slices
    counts: dict[str, int]


def semantize_events(
    events: pl.DataFrame | pa.Table,
    config: SemantizeConfig,
    tokenizer: Tokenizer,
    as_of: AsOf | None = None,
    known: Survey | None = None,
) -> Semantized:
    """Semantizes the users of a log.

    Args:
      events: in `schema.EVENT_SCHEMA`, sorted by user and time.
      config: the section `semantize`.
      tokenizer: counts the budget.
      as_of: one time for all, or `user_id`, `as_of`; None takes the config's, else the day after the last event.
      known: survey of the whole log where `events` is a part of it; None surveys `events`.

    Returns:
      one row a user that has an event before `as_of`; its MUB is "" when no event names anything.
    """
    table = events if isinstance(events, pa.Table) else events.to_arrow()
    if as_of is None:
        as_of = config.as_of_time() or last_midnight(table)
    if known is None:
        known = survey_table(table, config, as_of)
    return finish(prepare(table, config, known, as_of), config, Counter(tokenizer))


def survey_table(
    table: pa.Table,
    config: SemantizeConfig,
    as_of: AsOf,
    read: Callable[[survey.Texts], Lexicon] = survey.lexicon_of,
) -> Survey:
    """The survey of a log in memory, of its events before `as_of`; `read` refines its texts."""
    lexicon = read(survey.texts_of(table))
    log = coded.code(table)
    log = log.take(before(log, as_of))
    counted = survey.merge_tallies([survey.tally(log, names_lib.names_of(log, lexicon))])
    return survey.survey_of(lexicon, counted, min_band_purchases=config.min_band_purchases)


def before(log: Coded, as_of: AsOf) -> np.ndarray:
    """Whether each event is before its user's `as_of` [E].

    Raises:
      InputError: a user of the events has no `as_of`.
    """
    return log.second < _as_of_users(log.users, as_of).dt.epoch("s").to_numpy()[log.user]


def last_midnight(table: pa.Table) -> datetime.datetime:
    """Midnight after the last event of a log."""
    last = pl.Series(table["time"]).max()
    assert isinstance(last, datetime.datetime)
    return aggregate.midnight_after(last)


def prepare(table: pa.Table, config: SemantizeConfig, known: Survey, as_of: AsOf) -> Prepared:
    """Names, filters, damps, aggregates and ranks: everything that needs no tokenizer.

    Raises:
      InputError: a user of the events has no `as_of`.
    """
    log = coded.code(table)
    windows = aggregate.windows(
        _as_of_users(log.users, as_of), recent_days=config.recent_days, monthly_months=config.monthly_months
    )
    past = log.second < windows.as_of[log.user]
    log_past = log.take(past)
    log_past = log_past.take(~returns.taken_back(log_past))
    names = names_lib.names_of(log, known.lexicon)
    band = names_lib.price_band(log_past, names, known.bounds)
    kept = np.flatnonzero(aggregate.in_windows(log_past, windows, config.distant_actions))
    damped = damp.damp(
        log_past.take(kept),
        max_repeats_a_day=config.max_repeats_a_day,
        max_browsing_a_day=config.max_browsing_a_day,
    )
    kept = kept[damped.counts]
    shown = log_past.take(kept)
    of_event, lines = aggregate.slices(shown, windows)
    slices = salience.rank_items(
        shown, of_event, lines, names, band[kept], known.spread, config.attribute_kinds, config.max_attributes
    )
    counts = {
        "events_after_as_of": int((~past).sum()),
        "damped_repeats": damped.repeats,
        "damped_robot": damped.robot,
    }
    return Prepared(log, log_past, names, band, windows, slices, counts)


def _as_of_users(users: pl.Series, as_of: AsOf) -> pl.Series:
    """The time of each user [U]."""
    frame = pl.DataFrame({"user_id": users})
    if isinstance(as_of, pl.DataFrame):
        frame = frame.join(as_of.select("user_id", "as_of"), on="user_id", how="left", maintain_order="left")
        if without := frame.filter(pl.col("as_of").is_null()).head(1)["user_id"].to_list():
            raise InputError(f"user {without[0]!r} has events but no as_of in the truth")
    else:
        frame = frame.with_columns(pl.lit(as_of).alias("as_of"))
    return frame["as_of"].cast(pl.Datetime("ms"))


def finish(
    prepared: Prepared, config: SemantizeConfig, counter: Counter, base: pl.DataFrame | None = None
) -> Semantized:
    """Keeps Top-K, fits the budget and measures every step.

    Args:
      prepared: events of some users.
      config: the section `semantize`.
      counter: counts tokens.
      base: `user_id`, `as_of`, `n_events`, `raw_chars`, `raw_tokens` of events that count but are not there any more.
    """
    log, slices = prepared.log, prepared.slices
    top = salience.top_k(slices, config.top_k, config.top_places)
    written = budget.fit(top, config.max_mub_tokens, counter)
    raw, head = sizes.raw(log, counter)
    users = measure.users(log, prepared.windows, raw)
    mub = _mub_table(users if base is None else measure.with_base(users, base), written)
    steps = {
        "raw": measure.total(mub, "raw"),
        "refined": sizes.refined(log, prepared.names, prepared.band, head, config.attribute_kinds, counter),
        "aggregated": budget.size(slices, counter),
        "top_k": budget.size(top, counter),
        "mub": measure.total(mub, "mub"),
    }
    counts = {
        "users": mub.height,
        "users_without_lines": int((mub["n_lines"] == 0).sum()),
        "events": len(log),
        **prepared.counts,
        **measure.filtered(log, prepared.names),
        **measure.kept(mub, written, slices, top),
        **measure.named(steps),
    }
    return Semantized(mub.select(schema.MUB_SCHEMA.names), counts, raw)


def _mub_table(users: pl.DataFrame, written: pl.DataFrame) -> pl.DataFrame:
    """Users that have an event, with what was written of them, sorted; see `measure.users` and `budget.fit`."""
    return (
        users.filter(pl.col("n_events") > 0)
        .join(written, on="user", how="left")
        .with_columns(
            pl.col("as_of").cast(pl.Datetime("ms")),
            pl.col("mub").fill_null(""),
            pl.col("refs").fill_null([]),
            pl.col("n_lines").fill_null(0),
            pl.col("mub_tokens").fill_null(0),
            pl.col("mub").fill_null("").str.len_chars().cast(pl.Int64).alias("mub_chars"),
        )
        .sort("user_id")
    )
