"""A folder that appears whole or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import jax

from usergpt_jax.core.errors import InputError


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Gives a folder beside `path` to write into, and renames it to `path` at the end; an error removes it.

    Of several processes the first makes and renames it.

    Raises:
      InputError: `path` exists, or its parent cannot be written.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.partial")
    first = jax.process_index() == 0
    if path.exists():
        raise InputError(f"{path}: exists already; choose another folder, or move it away")
    try:
        if first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        yield partial
        if first:
            partial.rename(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if first:
            shutil.rmtree(partial, ignore_errors=True)
