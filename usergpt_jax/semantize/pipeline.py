"""Semantization as a pure function: events in, one MUB a user out."""

import dataclasses
import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from usergpt_jax import gazetteer, schema
from usergpt_jax.core.config import ConfigError
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.semantize import aggregate, budget, coded, damp, refine, returns, salience, sizes, survey
from usergpt_jax.semantize import names as names_lib
from usergpt_jax.semantize.coded import Coded
from usergpt_jax.semantize.names import Names
from usergpt_jax.semantize.salience import Slices
from usergpt_jax.semantize.survey import Survey
from usergpt_jax.semantize.token_count import Counter

AsOf = datetime.datetime | pl.DataFrame  # one time for all users, or a table of `user_id`, `as_of`
MIN_MUB_TOKENS = 32  # a line needs about ten


@dataclasses.dataclass(frozen=True)
class SemantizeConfig:
    """The section `semantize`.

    Attributes:
      as_of: date "YYYY-MM-DD" up to which events count; "" takes the truth's, or the day after the log's last event.
      recent_days: days before `as_of` that keep every action, one slice a day.
      monthly_months: months before those that keep `distant_actions`, one slice a month; older ones a slice a year.
      distant_actions: actions with lasting weight.
      top_k: entities kept a slice.
      top_places: cities, and as many areas of cities, kept a slice; a travel slice keeps `top_k` cities.
      attribute_kinds: of `names_lib.ATTRIBUTE_KINDS`, most telling first.
      max_attributes: attributes kept an entity.
      min_band_purchases: priced purchases of a category in the log below which none is called premium or budget.
      max_repeats_a_day: events about one title by one action on one day that count; see `damp`.
      max_browsing_a_day: searches and clicks of a day above which none of them counts.
      max_mub_tokens: bound of a user's MUB.
      keep_state: whether to keep what a later day needs to be added (`increment`).
      workers: parts semantized side by side; decides memory and speed, never results.
    """

    as_of: str
    recent_days: int
    monthly_months: int
    distant_actions: tuple[str, ...]
    top_k: int
    top_places: int
    attribute_kinds: tuple[str, ...]
    max_attributes: int
    min_band_purchases: int
    max_repeats_a_day: int
    max_browsing_a_day: int
    max_mub_tokens: int
    keep_state: bool
    workers: int

    def __post_init__(self):
        """Raises `ConfigError` for a value out of range."""
        for name, least in (
            ("recent_days", 0),
            ("monthly_months", 0),
            ("top_k", 1),
            ("top_places", 0),
            ("max_attributes", 0),
            ("min_band_purchases", 1),
            ("max_repeats_a_day", 1),
            ("max_browsing_a_day", 1),
            ("max_mub_tokens", MIN_MUB_TOKENS),
            ("workers", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"config.semantize.{name}: expected at least {least}, got {getattr(self, name)}")
        for name, allowed in (("distant_actions", schema.ACTIONS), ("attribute_kinds", names_lib.ATTRIBUTE_KINDS)):
            if unknown := sorted(set(getattr(self, name)) - set(allowed)):
                message = f"unknown value {unknown[0]!r}; expected some of {', '.join(allowed)}"
                raise ConfigError(f"config.semantize.{name}: {message}")
        self.as_of_time()

    def as_of_time(self) -> datetime.datetime | None:
        """`as_of` as a time, None when it is not fixed."""
        try:
            return datetime.datetime.strptime(self.as_of, "%Y-%m-%d") if self.as_of else None
        except ValueError:
            raise ConfigError(f"config.semantize.as_of: expected YYYY-MM-DD, got {self.as_of!r}") from None


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
    if known is None:
        known = survey_table(table, config)
    if as_of is None:
        as_of = config.as_of_time() or last_midnight(table)
    return finish(prepare(table, config, known, as_of), config, Counter(tokenizer))


def survey_table(
    table: pa.Table,
    config: SemantizeConfig,
    refiner: survey.Refiner = refine.refine_table,
    locale: str = gazetteer.ANY,
) -> Survey:
    """The survey of a log in memory; `locale` is the one whose cities are known."""
    lexicon = survey.lexicon_of(survey.texts_of(table), refiner, locale)
    log = coded.code(table)
    counted = survey.merge_tallies([survey.tally(log, names_lib.names_of(log, lexicon))])
    return survey.survey_of(lexicon, counted, min_band_purchases=config.min_band_purchases)


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
    refined = sizes.refined(log, prepared.names, prepared.band, head, config.attribute_kinds, counter)
    n_users = len(log.users)
    n_events = np.bincount(log.user, minlength=n_users)
    users = pl.DataFrame(
        {
            "user": np.arange(n_users, dtype=np.int32),
            "user_id": log.users,
            "as_of": pl.from_epoch(pl.Series(prepared.windows.as_of), time_unit="s"),
            "n_events": n_events.astype(np.int32),
            **{
                f"raw_{unit}": np.bincount(log.user, weights=size, minlength=n_users).astype(np.int64)
                for unit, size in zip(("chars", "tokens"), raw, strict=True)
            },
        }
    )
    if base is not None:
        users = _with_base(users, base)
    mub = (
        users.filter(pl.col("n_events") > 0)
        .join(written, on="user", how="left")
        .with_columns(
            pl.col("mub").fill_null(""),
            pl.col("refs").fill_null([]),
            pl.col("n_lines").fill_null(0),
            pl.col("mub_tokens").fill_null(0),
            pl.col("mub").fill_null("").str.len_chars().cast(pl.Int64).alias("mub_chars"),
        )
        .sort("user_id")
    )
    dropped = np.bincount(prepared.names.dropped[log.title] + 1, minlength=len(names_lib.REASONS) + 1)[1:]
    counts = {
        "users": mub.height,
        "users_without_lines": int((mub["n_lines"] == 0).sum()),
        "events": len(log),
        **prepared.counts,
        **{f"filtered_{reason}": int(n) for reason, n in zip(names_lib.REASONS, dropped, strict=True)},
        "events_in_slices": int(slices.lines["count"].sum()),
        "events_in_lines": int(mub["refs"].list.eval(pl.element().list.len()).list.sum().sum()),
        "lines": int(mub["n_lines"].sum()),
        "lines_before_budget": top.items["slice"].n_unique(),
        "items": int(written["n_items"].sum()),
        "items_before_top_k": slices.items.height,
        "items_before_budget": top.items.height,
    }
    steps = {
        "raw": (int(mub["raw_chars"].sum()), int(mub["raw_tokens"].sum())),
        "refined": refined,
        "aggregated": budget.size(slices, counter),
        "top_k": budget.size(top, counter),
        "mub": (int(mub["mub_chars"].sum()), int(mub["mub_tokens"].sum())),
    }
    for step, pair in steps.items():
        counts |= {f"{step}_{unit}": size for unit, size in zip(("chars", "tokens"), pair, strict=True)}
    fields = [pl.col(name) for name in schema.MUB_SCHEMA.names]
    return Semantized(mub.with_columns(pl.col("as_of").cast(pl.Datetime("ms"))).select(fields), counts, raw)


def _with_base(users: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    sums = ("n_events", "raw_chars", "raw_tokens")
    both = users.join(base, on="user_id", how="full", coalesce=True, suffix="_base")
    added = [(pl.col(name).fill_null(0) + pl.col(f"{name}_base").fill_null(0)).cast(users[name].dtype) for name in sums]
    return both.with_columns(*added, pl.coalesce("as_of", "as_of_base")).select(users.columns)
