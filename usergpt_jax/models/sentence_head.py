"""What sentence-transformers does around an encoder, as its files in a Hugging Face folder say."""

import pathlib
from typing import NamedTuple

from usergpt_jax.core.errors import InputError
from usergpt_jax.models.bert import POOLING
from usergpt_jax.models.bert_folder import choice, number
from usergpt_jax.models.hf_config import parse_json, read_json

MODULES, POOLING_CONFIG, LIMITS, PROMPTS = (
    *("modules.json", "1_Pooling/config.json"),
    *("sentence_bert_config.json", "config_sentence_transformers.json"),
)


class Head(NamedTuple):
    """What sentence-transformers does around the encoder.

    Attributes:
      pooling: key of `bert.POOLING`, None where the folder does not say.
      normalise: whether vectors get length 1, None where the folder does not say.
      max_tokens: longest text, special tokens included, None where the folder does not say.
      lower: whether texts are lower-cased before they are cut into tokens.
    """

    pooling: str | None
    normalise: bool | None
    max_tokens: int | None
    lower: bool


def read_head(folder: pathlib.Path) -> Head:
    """What the folder's sentence-transformers files say, as far as they are there.

    Raises:
      InputError: a module, pooling or default prompt that is not supported.
    """
    modules = _modules(folder / MODULES) if (folder / MODULES).exists() else None
    pooled = (folder / POOLING_CONFIG).exists()
    if modules is not None and pooled != ("Pooling" in modules):
        raise InputError(f"{folder / MODULES}: expected a Pooling module if, and only if, {POOLING_CONFIG} is there")
    limits = read_json(folder / LIMITS) if (folder / LIMITS).exists() else {}
    limit = limits.get("max_seq_length")
    if limit is not None:
        limit = number(folder / LIMITS, limits, "max_seq_length", int, 1)
    prompts = read_json(folder / PROMPTS) if (folder / PROMPTS).exists() else {}
    if prompts.get("default_prompt_name") is not None:
        name = prompts["default_prompt_name"]
        raise InputError(
            f"{folder / PROMPTS}: default_prompt_name: expected null, for texts get no prompt; got {name!r}"
        )
    return Head(
        pooling=_pooling(folder / POOLING_CONFIG) if pooled else None,
        normalise=None if modules is None else "Normalize" in modules,
        max_tokens=limit,
        lower=bool(limits.get("do_lower_case", False)),
    )


def _modules(path: pathlib.Path) -> list[str]:
    """Class names of the modules: a Transformer, a Pooling and perhaps a Normalize, in this order."""
    found = parse_json(path)
    if not isinstance(found, list) or not all(isinstance(one, dict) and "type" in one for one in found):
        raise InputError(f"{path}: expected a list of modules, each with its type")
    names = [str(one["type"]).rpartition(".")[2] for one in found]
    if names not in (["Transformer"], ["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise InputError(f"{path}: expected Transformer, Pooling and perhaps Normalize, got {', '.join(names)}")
    for one, expected in zip(found, ("", "1_Pooling"), strict=False):
        if one.get("path") != expected:
            raise InputError(f"{path}: path of {one['type']}: expected {expected!r}, got {one.get('path')!r}")
    return names


def _pooling(path: pathlib.Path) -> str:
    """The one pooling that the file switches on."""
    flags = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    found = read_json(path)
    if "pooling_mode" in found:
        return choice(path, found, "pooling_mode", tuple(POOLING))
    on = [key for key, value in found.items() if key.startswith("pooling_mode_") and value]
    if len(on) != 1 or on[0] not in flags:
        raise InputError(f"{path}: expected one of {', '.join(flags)} to be true, got {', '.join(on) or 'none'}")
    return flags[on[0]]
