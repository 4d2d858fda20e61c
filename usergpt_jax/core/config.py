"""From ml_collections configs to frozen dataclasses: every key declared, typed and read by attribute."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ml_collections import ConfigDict

from usergpt_jax.core.errors import InputError

T = TypeVar("T")


class ConfigError(InputError):
    """A config has an unknown, missing or wrongly typed key."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The keys at the top of every config.

    Attributes:
      run_dir: the run directory.
      seed: everything random derives from it.
      tag_schema: name of the tags.
    """

    run_dir: str
    seed: int
    tag_schema: str


# What a config may hold beside the keys of `RunConfig`.
SECTIONS = (
    *("simulate", "tokenizer", "refine", "categories", "semantize", "split", "prompt", "mesh", "model"),
    *("curriculum", "sft", "rl", "bench"),
)


def require_positive(values: Mapping[str, float], section: str) -> None:
    """Raises `ConfigError`, naming the key, for a value that is not above zero, or infinite."""
    for key, value in values.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"config.{section}.{key}: expected above 0 and finite, got {value}")


def run_config(config: ConfigDict) -> RunConfig:
    """The top-level keys of a config.

    Raises:
      ConfigError: one is missing or of another type.
    """
    names = [field.name for field in dataclasses.fields(RunConfig)]
    if unknown := sorted(set(config) - {*names, *SECTIONS}):
        raise ConfigError(f"config: unknown key {unknown[0]!r}; it has {', '.join((*names, *SECTIONS))}")
    return to_dataclass(RunConfig, ConfigDict({name: config[name] for name in names if name in config}), "")


def to_dataclass(cls: type[T], config: Any, section: str) -> T:
    """Turns one section of a config into the frozen dataclass a module reads.

    Args:
      cls: a dataclass; nested dataclass fields take nested sections.
      config: the section.
      section: its name in messages, e.g. "sft".

    Raises:
      ConfigError: naming each key that is unknown, missing or of another type.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = set(config.keys())
    if unknown := sorted(given - fields):
        raise ConfigError(f"config.{section}: unknown key {unknown[0]!r}; it has {', '.join(sorted(fields))}")
    if missing := sorted(fields - given):
        raise ConfigError(f"config.{section}: key {missing[0]!r} is missing")
    values = {name: _convert(hints[name], config[name], f"{section}.{name}") for name in sorted(fields)}
    return cls(**values)


def _convert(hint: Any, value: Any, key: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, ConfigDict):
            raise ConfigError(f"config.{key}: expected a section, got {value!r}")
        return to_dataclass(hint, value, key)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, tuple | list):
            raise ConfigError(f"config.{key}: expected a tuple, got {value!r}")
        item_hints = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(item_hints) != len(value):
            raise ConfigError(f"config.{key}: expected {len(item_hints)} items, got {value!r}")
        return tuple(_convert(item, v, key) for item, v in zip(item_hints, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _convert(next(arg for arg in args if arg is not type(None)), value, key)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigError(f"config.{key}: expected a finite number, got {value}")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"config.{key}: expected {hint.__name__}, got {value!r}")
    return value


def to_plain(config: Any) -> Any:
    """A JSON-ready copy of a config section or frozen dataclass (tuples become lists)."""
    if isinstance(config, ConfigDict):
        config = config.to_dict()
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    if isinstance(config, Mapping):
        return {str(key): to_plain(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_plain(value) for value in config]
    return config
