"""Mappings: how a log's columns become the event schema; a mapping file is data, see `configs/maps/`."""

import dataclasses
import pathlib
import runpy

from ml_collections import ConfigDict

from usergpt_jax import schema
from usergpt_jax.core.config import ConfigError, to_dataclass

COLUMN_KEYS = (
    *("user_id", "time", "source_column", "action_column", "title", "category"),
    *("item_id", "place", "price", "quantity", "cancel_column"),
)
NEGATIVE_QUANTITY = ("drop", "cancel", "keep")
NONPOSITIVE_PRICE = ("drop", "null", "keep")


@dataclasses.dataclass(frozen=True)
class EventMap:
    """A mapping. Column names are the log's; "" stands for "the log has none".

    Attributes:
      user_id: column of the user; rows without one are dropped.
      time: column of the time, in the user's local time.
      time_format: "" takes timestamps and ISO 8601 text, "unix_s" and "unix_ms" numbers; else a strptime format.
      source: one of `schema.SOURCES` for the whole log, or "" to read `source_column`.
      source_column: column of the source.
      source_values: pairs (value of `source_column`, source), a dict in the file; empty: the column holds sources.
      action: one of `schema.ACTIONS` for the whole log, or "" to read `action_column`.
      action_column: column of the action.
      action_values: pairs (value of `action_column`, action), a dict in the file; empty: the column holds actions.
      title: column of the title, query or place name; rows without one are dropped.
      category: column of the category, perhaps a path such as "Baby > Wet Wipes".
      item_id: column of the item's id.
      place: column of the place, address or country.
      price: column of the price of one unit.
      quantity: column of the quantity.
      cancel_column: column that marks a cancellation.
      cancel_prefix: its value starts with this in a cancelling row, which undoes an earlier purchase of the same user
        and item (title where there is no item id).
      negative_quantity: "drop" a row with quantity <= 0, take it as a cancellation ("cancel"), or "keep" it.
      nonpositive_price: "drop" a row with price <= 0, forget its price ("null"), or "keep" it.
      ignored_items: item ids that are no items, such as postage; their rows are dropped.
      currency: of the prices, for the record.
      delimiter: of a CSV file.
    """

    user_id: str
    time: str
    time_format: str
    source: str
    source_column: str
    source_values: tuple[tuple[str, str], ...]
    action: str
    action_column: str
    action_values: tuple[tuple[str, str], ...]
    title: str
    category: str
    item_id: str
    place: str
    price: str
    quantity: str
    cancel_column: str
    cancel_prefix: str
    negative_quantity: str
    nonpositive_price: str
    ignored_items: tuple[str, ...]
    currency: str
    delimiter: str

    def __post_init__(self):
        """Raises `ConfigError` for a value that no log could be read with."""
        for name in ("user_id", "time", "title"):
            if not getattr(self, name):
                raise ConfigError(f"map.{name}: expected a column name, got ''")
        _check_choice("negative_quantity", self.negative_quantity, NEGATIVE_QUANTITY)
        _check_choice("nonpositive_price", self.nonpositive_price, NONPOSITIVE_PRICE)
        for name, allowed in (("source", schema.SOURCES), ("action", schema.ACTIONS)):
            constant, column = getattr(self, name), getattr(self, f"{name}_column")
            if bool(constant) == bool(column):
                raise ConfigError(f"map.{name}: give either {name} or {name}_column, got {constant!r} and {column!r}")
            for value in [constant] if constant else dict(getattr(self, f"{name}_values")).values():
                _check_choice(name if constant else f"{name}_values", value, allowed)
        if bool(self.cancel_column) != bool(self.cancel_prefix):
            raise ConfigError("map.cancel_prefix: give cancel_column and cancel_prefix together or neither")
        if len(self.delimiter.encode()) != 1:
            raise ConfigError(f"map.delimiter: expected one ASCII character, got {self.delimiter!r}")

    def columns(self) -> dict[str, str]:
        """The mapped columns: mapping key -> column of the log."""
        return {key: getattr(self, key) for key in COLUMN_KEYS if getattr(self, key)}


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"map.{name}: expected one of {', '.join(allowed)}, got {value!r}")


def default_map() -> ConfigDict:
    """Every key of a mapping with its default; `user_id`, `time`, `title`, a source and an action must be given."""
    empty = {field.name: "" for field in dataclasses.fields(EventMap)}
    special = {
        "source_values": {},
        "action_values": {},
        "ignored_items": (),
        "negative_quantity": "drop",
        "nonpositive_price": "drop",
        "delimiter": ",",
    }
    return ConfigDict({**empty, **special})


def make_map(config: ConfigDict) -> EventMap:
    """A mapping from the keys that differ from `default_map`.

    Raises:
      ConfigError: naming a key that is unknown or has an impossible value.
    """
    full = default_map()
    if unknown := sorted(set(config.keys()) - set(full.keys())):
        raise ConfigError(f"config.map: unknown key {unknown[0]!r}; it has {', '.join(sorted(full.keys()))}")
    given = {**full.to_dict(), **config.to_dict()}
    for name in ("source_values", "action_values"):
        if not isinstance(given[name], dict):
            raise ConfigError(f"config.map.{name}: expected a dict, got {given[name]!r}")
        given[name] = tuple(given[name].items())
    return to_dataclass(EventMap, ConfigDict(given), "map")


def load_map(path: str | pathlib.Path) -> EventMap:
    """Reads a mapping file: Python with `get_config() -> ConfigDict`.

    Raises:
      ConfigError: the file is missing, has no `get_config`, or its mapping is at fault.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such mapping file")
    try:
        names = runpy.run_path(str(path))
    except Exception as error:  # whatever a file that is not a mapping may raise
        raise ConfigError(f"{path}: cannot be read as a mapping file: {type(error).__name__}: {error}") from None
    if "get_config" not in names:
        raise ConfigError(f"{path}: a mapping file defines get_config() -> ConfigDict")
    try:
        return make_map(names["get_config"]())
    except AttributeError:
        raise ConfigError(f"{path}: get_config() must return a ConfigDict") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
