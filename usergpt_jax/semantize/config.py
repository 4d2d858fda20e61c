"""The section `semantize` of a config."""

import dataclasses
import datetime

from usergpt_jax import schema
from usergpt_jax.core.config import ConfigError
from usergpt_jax.semantize.names import ATTRIBUTE_KINDS

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
      attribute_kinds: of `names.ATTRIBUTE_KINDS`, most telling first.
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
        for name, allowed in (("distant_actions", schema.ACTIONS), ("attribute_kinds", ATTRIBUTE_KINDS)):
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
