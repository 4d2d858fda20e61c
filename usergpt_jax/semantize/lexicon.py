"""The word lists of refinement, `data/refine_*.txt`: one entry a line, lower case, "#" starts a comment line."""

import functools
import importlib.resources


@functools.cache
def entries(name: str) -> tuple[str, ...]:
    """Entries of `data/refine_<name>.txt`, in order."""
    path = importlib.resources.files("usergpt_jax") / "data" / f"refine_{name}.txt"
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


@functools.cache
def words(name: str) -> frozenset[str]:
    """The same as a set."""
    return frozenset(entries(name))


@functools.cache
def audiences() -> dict[str, str]:
    """Word in a title -> audience attribute."""
    return dict(line.split("\t") for line in entries("audience"))
