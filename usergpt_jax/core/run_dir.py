"""The run directory: one folder a stage, finished atomically and reused by hash.

A stage works in `<folder>.partial/` and is renamed to `<folder>/` when its manifest is written, so a killed stage
leaves nothing that looks complete. A complete folder whose manifest has the same hash (config of the stage plus the
hashes of its inputs) is reused; one with another hash is refused, naming the keys that differ, or redone on request.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import usergpt_jax
from usergpt_jax.core import config as config_lib
from usergpt_jax.core.errors import InputError

MANIFEST = "manifest.json"
_PLAN = "plan.json"  # what a partial folder was started for

ON_CHANGE = ("refuse", "redo")


class RunDirError(InputError):
    """A run directory does not fit what a stage was asked to do."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What made a stage's folder.

    Attributes:
      stage: the folder's name, e.g. "2_mub".
      hash: SHA-256 over config, inputs and format.
      config: the stage's config, JSON-ready.
      inputs: hash of each input folder's manifest.
      format: version of the stage's files; raised when their meaning changes.
      version: package version and git commit, for the record only.
      counts: row counts and other figures of the stage.
      wall_seconds: time of the attempt that finished the stage; earlier ones, killed, left no clock.
    """

    stage: str
    hash: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    format: int
    version: str
    counts: Mapping[str, Any]
    wall_seconds: float


class Stage:
    """A stage's folder while it is being made; `finish` makes it count.

    Attributes:
      path: the partial folder to write into. It keeps what an earlier attempt with the same hash left, so that a
        trainer resumes; a stage that does not resume calls `clear` first.
      run: the run directory, for reading input folders.
    """

    def __init__(self, run: pathlib.Path, plan: dict[str, Any]):
        self.run = run
        self._plan = plan
        self._final = run / plan["stage"]
        self.path = run / f"{plan['stage']}.partial"
        self._start = time.monotonic()

    def clear(self) -> None:
        """Removes what an earlier attempt left."""
        shutil.rmtree(self.path, ignore_errors=True)
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise RunDirError(f"{self.path}: cannot be made: {error.strerror}") from None
        _write_json(self.path / _PLAN, self._plan)

    def finish(self, counts: Mapping[str, Any]) -> Manifest:
        """Writes the manifest and renames the folder; from here on the stage is complete, and an older one goes."""
        manifest = Manifest(
            **{key: self._plan[key] for key in ("stage", "hash", "config", "inputs", "format")},
            version=code_version(),
            counts=config_lib.to_plain(counts),
            wall_seconds=round(time.monotonic() - self._start, 3),
        )
        (self.path / _PLAN).unlink(missing_ok=True)
        _write_json(self.path / MANIFEST, dataclasses.asdict(manifest))
        older = _older(self._final)
        if self._final.exists():
            os.rename(self._final, older)
        os.rename(self.path, self._final)
        shutil.rmtree(older, ignore_errors=True)
        return manifest


def open_stage(
    run: str | os.PathLike[str],
    name: str,
    *,
    config: Mapping[str, Any],
    inputs: tuple[str, ...] = (),
    format: int = 1,
    on_change: str = "refuse",
) -> Stage | None:
    """Opens a stage's folder for writing, or returns None when it is complete and can be reused.

    Args:
      run: the run directory.
      name: the folder, e.g. "2_mub".
      config: everything that decides the stage's output, JSON-ready.
      inputs: folders of the run that the stage reads; they must be complete.
      format: version of the stage's files.
      on_change: "refuse" or "redo" a complete folder that another config made; the old one stays until the new one is
        finished.

    Raises:
      RunDirError: an input is missing, or the folder was made by another config and `on_change` is "refuse".
    """
    if on_change not in ON_CHANGE:
        raise RunDirError(f"on_change must be one of {', '.join(ON_CHANGE)}, got {on_change!r}")
    run = pathlib.Path(run)
    if run.exists() and not run.is_dir():
        raise RunDirError(f"{run}: expected a run directory, found a file")
    plan: dict[str, Any] = {
        "stage": name,
        "config": config_lib.to_plain(config),
        "inputs": {folder: read_manifest(run, folder).hash for folder in inputs},
        "format": format,
    }
    plan["hash"] = _hash(plan)
    final = run / name
    if _older(final).exists():  # a kill came between the two renames of `finish`, or after them
        shutil.rmtree(_older(final)) if final.exists() else os.rename(_older(final), final)
    if (final / MANIFEST).exists():
        made = read_manifest(run, name)
        if made.hash == plan["hash"]:
            return None
        if on_change == "refuse":
            raise RunDirError(
                f"{final} was made by another config: {_differences(dataclasses.asdict(made), plan)}. "
                "Remove the folder, choose another run directory, or pass --on_change=redo"
            )
    elif final.exists():
        raise RunDirError(f"{final} exists but has no {MANIFEST}, so this program did not finish it; move it away")
    stage = Stage(run, plan)
    started = _read_json(stage.path / _PLAN)
    if started is None or started["hash"] != plan["hash"]:
        stage.clear()
    return stage


def _older(final: pathlib.Path) -> pathlib.Path:
    return final.with_name(f"{final.name}.old")


def read_manifest(run: str | os.PathLike[str], name: str) -> Manifest:
    """The manifest of a complete stage.

    Raises:
      RunDirError: the stage is not complete, or its manifest cannot be read.
    """
    path = pathlib.Path(run) / name / MANIFEST
    content = _read_json(path)
    if content is None:
        raise RunDirError(f"{path} is missing: run the stage that makes {name} first")
    try:
        return Manifest(**content)
    except TypeError as error:
        raise RunDirError(f"{path} is not a manifest of this program: {error}") from None


def code_version() -> str:
    """Package version and, in a git checkout, the commit ("+dirty" when files differ from it)."""
    root = pathlib.Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return usergpt_jax.__version__
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty=+dirty", "--exclude=*"]
    result = subprocess.run(describe, capture_output=True, text=True, check=False)
    commit = result.stdout.strip()
    return f"{usergpt_jax.__version__}+{commit}" if commit else usergpt_jax.__version__


def _hash(plan: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _differences(made: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Names what differs, e.g. "simulate.n_users: 10 there, 20 here"."""
    found = []
    old, new = _flatten(made["config"]), _flatten(plan["config"])
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            found.append(f"{key}: {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} here")
    for folder in sorted(made["inputs"].keys() | plan["inputs"].keys()):
        if made["inputs"].get(folder) != plan["inputs"].get(folder):
            found.append(f"input {folder} has changed")
    if made["format"] != plan["format"]:
        found.append(f"file format {made['format']} there, {plan['format']} here")
    return "; ".join(found)


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {
        name: leaf
        for key, value in tree.items()
        for name, leaf in _flatten(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise RunDirError(f"{path} is not valid JSON: {error}") from None


def _write_json(path: pathlib.Path, content: Any) -> None:
    """Writes through a temporary file, so that a reader sees the whole content or none."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
