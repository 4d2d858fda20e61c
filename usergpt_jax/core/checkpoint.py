"""Checkpoints: a self-contained model folder to load anywhere, and a trainer's state to resume from. Orbax only."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp

from usergpt_jax.core.errors import InputError

_CARD = "card.json"
_PARAMS = "params"


def save_params(folder: str | os.PathLike[str], params: Any, card: Mapping[str, Any]) -> None:
    """Writes a model folder: parameters and a card that says how to build and prompt the model.

    Args:
      folder: made anew; its parent exists.
      params: pytree of arrays.
      card: JSON-ready; read back by `load_card`.
    """
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / _PARAMS, params, force=True)
    (folder / _CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_card(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a model folder.

    Raises:
      InputError: there is no model in the folder, or its card is damaged.
    """
    path = pathlib.Path(folder) / _CARD
    if not path.exists():
        raise InputError(f"{folder}: no model here; expected {_CARD}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None


def load_params(folder: str | os.PathLike[str], like: Any) -> Any:
    """The parameters of a model folder, shaped and sharded like `like` (arrays or ShapeDtypeStructs).

    Raises:
      InputError: the checkpoint is of another model; the message names the first parameter that differs.
    """
    path = pathlib.Path(folder).resolve() / _PARAMS
    if not path.exists():
        raise InputError(f"{folder}: no parameters here; expected {_PARAMS}/")
    with ocp.StandardCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(path)
        tree = getattr(metadata, "item_metadata", metadata)
        _check_same(getattr(tree, "tree", tree), like, str(folder))
        return checkpointer.restore(path, like)


def _check_same(stored: Any, like: Any, folder: str) -> None:
    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
        return {jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape) for path, leaf in leaves}

    there, here = shapes(stored), shapes(like)
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise InputError(
                f"{folder}: parameter {name} is {there.get(name, 'absent')} there, "
                f"{here.get(name, 'absent')} in the model that was asked for"
            )
