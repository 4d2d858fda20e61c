"""Mappings: how a log's columns become the event schema; a mapping file is data, see `configs/maps/`."""

import codecs
import dataclasses
import datetime
import pathlib
import runpy
from collections.abc import Mapping
from typing import Any

import polars as pl
from ml_collections import ConfigDict

from usergpt_jax import schema
from usergpt_jax.core.config import ConfigError, to_dataclass
from usergpt_jax.semantize.ingest import scrub

COLUMN_KEYS = (
    *("user_id", "time", "source_column", "action_column", "title", "category"),
    *("item_id", "place", "price", "quantity", "cancel_column"),
)
NEGATIVE_QUANTITY = ("drop", "cancel", "keep")
NONPOSITIVE_PRICE = ("drop", "null", "keep")
ANY = "*"  # the value of a value map that stands for all values it does not list


@dataclasses.dataclass(frozen=True)
class EventMap:
    """A mapping.

    A column is named as the log names it; a dotted path such as "properties.name" reaches into nested objects. In a
    file a column is a name, "" for "the log has none", or a tuple of names of which the first that is not blank counts.

    Attributes:
      user_id: column of the user; rows without one are dropped.
      hash_user_id: replace the user's id by its keyed hash; needs a salt.
      time: column of the time.
      time_format: "" takes timestamps and ISO 8601 text, "unix_s", "unix_ms" and "unix_us" numbers since 1970;
        else a strptime format.
      time_zone: IANA name of the users' zone: times with an offset are converted to it, times without are taken as of
        it; "" keeps the wall clock as written.
      latest: ISO date or time; later rows are dropped. "": a day after the import.
      source: one of `schema.SOURCES` for the whole log, or "" to read `source_column`.
      source_column: column of the source.
      source_values: pairs (value of `source_column`, source), a dict in the file; empty: the column holds sources.
        A value mapped to "" drops the row; the value "*" stands for all that are not listed.
      action: one of `schema.ACTIONS` for the whole log, or "" to read `action_column`.
      action_column: column of the action.
      action_values: as `source_values`, for actions.
      keep: pairs (column, values), a dict in the file; rows with another value in the column are dropped.
      unroll: column with a list, such as the products of an order; a row becomes one row an element, and columns are
        named through it: "properties.products.name".
      title: column of the title, query or place name; rows without one are dropped.
      category: column of the category, perhaps a path such as "Baby > Wet Wipes".
      item_id: column of the item's id.
      place: column of the place, address or country.
      price: column of the price of one unit.
      price_scale: what a price is multiplied by, e.g. 0.01 for cents.
      quantity: column of the quantity.
      decimal_comma: whether numbers written as text look like "1.234,50".
      cancel_column: column that marks a cancellation.
      cancel_prefix: its value starts with this in a cancelling row, which undoes an earlier purchase of the same user
        and item (title where there is no item id).
      negative_quantity: "drop" a row with quantity <= 0, take it as a cancellation ("cancel"), or "keep" it.
      nonpositive_price: "drop" a row with price <= 0, forget its price ("null"), or "keep" it.
      ignored_items: item ids that are no items, such as postage; their rows are dropped.
      scrub: kinds of personal data to replace in title, place and category, of `scrub.KINDS`.
      currency: of the prices, for the record.
      delimiter: of a CSV file.
      encoding: Python's name of the encoding of text files without byte order mark, and of Parquet's bytes.
    """

    user_id: tuple[str, ...]
    hash_user_id: bool
    time: tuple[str, ...]
    time_format: str
    time_zone: str
    latest: str
    source: str
    source_column: tuple[str, ...]
    source_values: tuple[tuple[str, str], ...]
    action: str
    action_column: tuple[str, ...]
    action_values: tuple[tuple[str, str], ...]
    keep: tuple[tuple[str, tuple[str, ...]], ...]
    unroll: str
    title: tuple[str, ...]
    category: tuple[str, ...]
    item_id: tuple[str, ...]
    place: tuple[str, ...]
    price: tuple[str, ...]
    price_scale: float
    quantity: tuple[str, ...]
    decimal_comma: bool
    cancel_column: tuple[str, ...]
    cancel_prefix: str
    negative_quantity: str
    nonpositive_price: str
    ignored_items: tuple[str, ...]
    scrub: tuple[str, ...]
    currency: str
    delimiter: str
    encoding: str

    def __post_init__(self):
        """Raises `ConfigError` for a value that no log could be read with."""
        for name in ("user_id", "time", "title"):
            if not getattr(self, name):
                raise ConfigError(f"map.{name}: expected a column name, got ''")
        _check_choice("negative_quantity", self.negative_quantity, NEGATIVE_QUANTITY)
        _check_choice("nonpositive_price", self.nonpositive_price, NONPOSITIVE_PRICE)
        for kind in self.scrub:
            _check_choice("scrub", kind, scrub.KINDS)
        for name, allowed in (("source", schema.SOURCES), ("action", schema.ACTIONS)):
            constant, column = getattr(self, name), getattr(self, f"{name}_column")
            if bool(constant) == bool(column):
                shown = column[0] if column else ""
                raise ConfigError(f"map.{name}: give either {name} or {name}_column, got {constant!r} and {shown!r}")
            if constant:
                _check_choice(name, constant, allowed)
            for value in dict(getattr(self, f"{name}_values")).values():
                _check_choice(f"{name}_values", value, (*allowed, ""))
        if bool(self.cancel_column) != bool(self.cancel_prefix):
            raise ConfigError("map.cancel_prefix: give cancel_column and cancel_prefix together or neither")
        if len(self.delimiter.encode()) != 1:
            raise ConfigError(f"map.delimiter: expected one ASCII character, got {self.delimiter!r}")
        if not 0 < self.price_scale < float("inf"):
            raise ConfigError(f"map.price_scale: expected above 0, got {self.price_scale}")
        _check_encoding(self.encoding)
        _check_time_zone(self.time_zone)
        self.latest_time(datetime.datetime(2000, 1, 1))

    def columns(self) -> dict[str, tuple[str, ...]]:
        """The mapped columns: mapping key -> columns of the log, the first that is not blank counts."""
        return {key: getattr(self, key) for key in COLUMN_KEYS if getattr(self, key)}

    def paths(self) -> list[str]:
        """Every column that is read, once."""
        named = [path for paths in self.columns().values() for path in paths]
        return list(dict.fromkeys([*named, *(column for column, _ in self.keep)]))

    def latest_time(self, now: datetime.datetime) -> datetime.datetime:
        """The time after which a row is not believed: `latest`, or a day after `now` (both of the users' clock)."""
        if not self.latest:
            return now + datetime.timedelta(days=1)
        try:
            return datetime.datetime.fromisoformat(self.latest).replace(tzinfo=None)
        except ValueError:
            raise ConfigError(f"map.latest: expected a date such as 2025-01-31, got {self.latest!r}") from None


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        shown = ", ".join(one or "'' (drop)" for one in allowed)
        raise ConfigError(f"map.{name}: expected one of {shown}, got {value!r}")


def _check_encoding(encoding: str) -> None:
    try:
        b"a".decode(encoding, "replace")
        codecs.getincrementaldecoder(encoding)(errors="replace")
    except (LookupError, ValueError):
        raise ConfigError(f"map.encoding: expected a Python text encoding such as cp1252, got {encoding!r}") from None


def _check_time_zone(zone: str) -> None:
    try:
        if zone:
            pl.Series([datetime.datetime(2000, 1, 1)]).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError:
        raise ConfigError(f"map.time_zone: expected an IANA name such as Europe/Berlin, got {zone!r}") from None


def default_map() -> ConfigDict:
    """Every key of a mapping with its default; `user_id`, `time`, `title`, a source and an action must be given."""
    empty = {field.name: "" for field in dataclasses.fields(EventMap)}
    special = {
        "hash_user_id": False,
        "source_values": {},
        "action_values": {},
        "keep": {},
        "ignored_items": (),
        "price_scale": 1.0,
        "decimal_comma": False,
        "negative_quantity": "drop",
        "nonpositive_price": "drop",
        "scrub": scrub.KINDS,
        "delimiter": ",",
        "encoding": "utf-8",
    }
    return ConfigDict({**empty, **special})


def make_map(config: ConfigDict | Mapping[str, Any]) -> EventMap:
    """A mapping from the keys that differ from `default_map`.

    Raises:
      ConfigError: naming a key that is unknown or has an impossible value.
    """
    full = default_map().to_dict()
    changes = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    if unknown := sorted(set(changes) - set(full)):
        raise ConfigError(f"config.map: unknown key {unknown[0]!r}; it has {', '.join(sorted(full))}")
    given = {**full, **changes}
    for name in ("source_values", "action_values", "keep"):
        if not isinstance(given[name], dict):
            raise ConfigError(f"config.map.{name}: expected a dict, got {given[name]!r}")
        given[name] = tuple(sorted((str(value), to) for value, to in given[name].items()))
    for column, values in given["keep"]:
        if not isinstance(values, tuple | list):
            raise ConfigError(f"config.map.keep: expected a tuple of values for {column!r}, got {values!r}")
    for name in COLUMN_KEYS:
        given[name] = _columns(name, given[name])
    return to_dataclass(EventMap, ConfigDict(given), "map")


def _columns(name: str, value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple | list) or not all(isinstance(one, str) for one in names):
        raise ConfigError(f"config.map.{name}: expected a column name or a tuple of them, got {value!r}")
    return tuple(one for one in names if one)


def load_map(path: str | pathlib.Path) -> EventMap:
    """Reads a mapping file: Python with `get_config()`, which returns a ConfigDict or a dict.

    Raises:
      ConfigError: the file is missing, has no `get_config`, or its mapping is at fault.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such mapping file")
    try:
        names = runpy.run_path(str(path))
        config = names["get_config"]() if "get_config" in names else None
    except Exception as error:  # whatever a file that is not a mapping may raise
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read as a mapping file: {type(error).__name__}: {reason}") from None
    if "get_config" not in names:
        raise ConfigError(f"{path}: a mapping file defines get_config() -> ConfigDict")
    if not isinstance(config, ConfigDict | dict):
        raise ConfigError(f"{path}: get_config() must return a ConfigDict or a dict")
    try:
        return make_map(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
