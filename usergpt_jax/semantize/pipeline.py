"""Semantization as a pure function: events in, one MUB a user out."""

import dataclasses
import datetime
from typing import NamedTuple

import polars as pl

from usergpt_jax import schema
from usergpt_jax.core.config import ConfigError
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.semantize import aggregate, budget, returns, salience
from usergpt_jax.semantize import filter as filter_lib
from usergpt_jax.semantize.salience import Slices
from usergpt_jax.semantize.survey import Survey, survey_log, with_entities
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
      attribute_kinds: of `salience.ATTRIBUTE_KINDS`, most telling first.
      max_attributes: attributes kept an entity.
      min_band_purchases: priced purchases of a category in the log below which none is called premium or budget.
      max_mub_tokens: bound of a user's MUB.
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
    max_mub_tokens: int

    def __post_init__(self):
        """Raises `ConfigError` for a value out of range."""
        for name, least in (
            ("recent_days", 0),
            ("monthly_months", 0),
            ("top_k", 1),
            ("top_places", 0),
            ("max_attributes", 0),
            ("min_band_purchases", 1),
            ("max_mub_tokens", MIN_MUB_TOKENS),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"config.semantize.{name}: expected at least {least}, got {getattr(self, name)}")
        for name, allowed in (("distant_actions", schema.ACTIONS), ("attribute_kinds", salience.ATTRIBUTE_KINDS)):
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
    """MUBs in `schema.MUB_SCHEMA`, sorted by user, and what was counted on the way (sums, so parts add up)."""

    mub: pl.DataFrame
    counts: dict[str, int]


class Prepared(NamedTuple):
    """Events of some users with entities and `event_index`, and their slices before Top-K."""

    events: pl.DataFrame
    slices: Slices


def semantize_events(
    events: pl.DataFrame,
    config: SemantizeConfig,
    tokenizer: Tokenizer,
    as_of: AsOf | None = None,
    survey: Survey | None = None,
) -> Semantized:
    """Semantizes the users of a log.

    Args:
      events: in `schema.EVENT_SCHEMA`, sorted by user and time.
      config: the section `semantize`.
      tokenizer: counts the budget.
      as_of: one time for all, or `user_id`, `as_of`; None takes the config's, else the day after the last event.
      survey: of the whole log where `events` is a part of it; None surveys `events`.

    Returns:
      one row a user that has an event before `as_of`; its MUB is "" when no event names anything.
    """
    if survey is None:
        survey = survey_log(events.lazy(), min_band_purchases=config.min_band_purchases)
    if as_of is None:
        as_of = config.as_of_time() or day_after(events["time"].max())
    prepared = prepare(events, config, survey, as_of)
    return finish(prepared, config, Counter(tokenizer))


def day_after(last: object) -> datetime.datetime:
    """Midnight after the last event of a log."""
    assert isinstance(last, datetime.datetime)
    return datetime.datetime.combine(last.date(), datetime.time()) + datetime.timedelta(days=1)


def prepare(events: pl.DataFrame, config: SemantizeConfig, survey: Survey, as_of: AsOf) -> Prepared:
    """Refines, filters, aggregates and ranks, everything that needs no tokenizer.

    Raises:
      InputError: a user of `events` has no `as_of`.
    """
    indexed = events.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("user_id").alias("event_index"))
    indexed = returns.take_back(indexed)
    if isinstance(as_of, pl.DataFrame):
        indexed = indexed.join(as_of.select("user_id", "as_of"), on="user_id", how="left", maintain_order="left")
        if without := indexed.filter(pl.col("as_of").is_null()).head(1)["user_id"].to_list():
            raise InputError(f"user {without[0]!r} has events but no as_of in the truth")
    else:
        indexed = indexed.with_columns(pl.lit(as_of).cast(pl.Datetime("ms")).alias("as_of"))
    named = with_entities(indexed.lazy(), survey.titles, survey.places, survey.title_cities)
    named = salience.with_attributes(named, survey.bands, config.attribute_kinds).collect()
    sliced = aggregate.place_in_time(
        named.lazy(),
        recent_days=config.recent_days,
        monthly_months=config.monthly_months,
        distant_actions=config.distant_actions,
    ).collect()
    return Prepared(named, salience.rank_items(sliced, survey.spread, config.max_attributes))


def finish(prepared: Prepared, config: SemantizeConfig, counter: Counter) -> Semantized:
    """Keeps Top-K, fits the budget and measures every step."""
    events, slices = prepared
    past = events.filter(pl.col("time") < pl.col("as_of"))
    top = salience.top_k(slices, config.top_k, config.top_places)
    written = budget.fit(top, config.max_mub_tokens, counter)
    raw = _raw_sizes(past, counter)
    users = past.group_by("user_id", maintain_order=True).agg(
        pl.col("as_of").first(), pl.len().cast(pl.Int32).alias("n_events")
    )
    mub = (
        users.join(raw.group_by("user_id").agg(pl.col("raw_chars", "raw_tokens").sum()), on="user_id")
        .join(written, on="user_id", how="left")
        .with_columns(
            pl.col("mub").fill_null(""),
            pl.col("refs").fill_null([]),
            pl.col("n_lines").fill_null(0),
            pl.col("mub_tokens").fill_null(0),
            pl.col("mub").fill_null("").str.len_chars().cast(pl.Int64).alias("mub_chars"),
        )
        .sort("user_id")
    )
    counts = {
        "users": mub.height,
        "users_without_lines": int((mub["n_lines"] == 0).sum()),
        "events": past.height,
        "events_after_as_of": events.height - past.height,
        **{f"filtered_{reason}": int((past["dropped"] == reason).sum()) for reason in filter_lib.REASONS},
        "events_in_slices": int(slices.lines["count"].sum()),
        "events_in_lines": int(mub["refs"].list.eval(pl.element().list.len()).list.sum().sum()),
        "lines": int(mub["n_lines"].sum()),
        "lines_before_budget": top.items.select(aggregate.SLICE).unique().height,
        "items": int(written["n_items"].sum()),
        "items_before_top_k": slices.items.height,
        "items_before_budget": top.items.height,
        **_step_sizes(past, raw, slices, top, mub, counter),
    }
    fields = [pl.col(name) for name in schema.MUB_SCHEMA.names]
    return Semantized(mub.with_columns(pl.col("as_of").cast(pl.Datetime("ms"))).select(fields), counts)


def _raw_sizes(events: pl.DataFrame, counter: Counter) -> pl.DataFrame:
    """Each event written plainly, "2025-01-02 10:11:12 source action title category place price quantity": its size.

    Fields are joined by spaces and null ones left out; tokens are counted a field (with its space) and summed.
    """
    fields = [events["user_id"]]
    chars, tokens = pl.Series([0], dtype=pl.Int64), pl.Series([0], dtype=pl.Int64)
    for text in _plain_fields(events, ("title", "category", "place", "price", "quantity")):
        chars = chars + text.str.len_chars().fill_null(0).cast(pl.Int64)
        tokens = tokens + counter.distinct(text)
    return pl.DataFrame([*fields, chars.alias("raw_chars"), tokens.alias("raw_tokens")])


def _plain_fields(events: pl.DataFrame, names: tuple[str, ...]) -> list[pl.Series]:
    texts = {
        "date": pl.col("time").dt.strftime("%Y-%m-%d"),
        "clock": pl.col("time").dt.strftime(" %H:%M:%S"),
        "price": pl.format(" {}", pl.col("price").cast(pl.Decimal(18, 2), strict=False).cast(pl.String)),
        "quantity": pl.format(" {}", pl.col("quantity").cast(pl.Decimal(18, 0), strict=False).cast(pl.String)),
    }
    columns = ["date", "clock", "source", "action", *names]
    return [events.select(texts.get(name, pl.format(" {}", name)).alias(name)).to_series() for name in columns]


def _step_sizes(
    past: pl.DataFrame, raw: pl.DataFrame, slices: Slices, top: Slices, mub: pl.DataFrame, counter: Counter
) -> dict[str, int]:
    """Characters and tokens after each step: raw, refined (an entity for a title), aggregated, Top-K, and the MUB."""
    stated = pl.col("attributes").list.drop_nulls()
    attributes = pl.when(stated.list.len() > 0).then(pl.format(" ({})", stated.list.join("; ")))
    entity = pl.col("entity") + attributes.fill_null("")
    refined = [0, 0]
    for text in _plain_fields(past.with_columns(entity.alias("entity")), ("entity", "city", "area")):
        found = text.drop_nulls().rename("text").value_counts(name="n")
        refined[0] += int((found["text"].str.len_chars() * found["n"]).sum())
        refined[1] += int((counter.distinct(found["text"]) * found["n"]).sum())
    sizes = {
        "raw": (int(raw["raw_chars"].sum()), int(raw["raw_tokens"].sum())),
        "refined": tuple(refined),
        "aggregated": budget.size(slices, counter),
        "top_k": budget.size(top, counter),
        "mub": (int(mub["mub_chars"].sum()), int(mub["mub_tokens"].sum())),
    }
    return {
        f"{step}_{unit}": size
        for step, pair in sizes.items()
        for unit, size in zip(("chars", "tokens"), pair, strict=True)
    }
