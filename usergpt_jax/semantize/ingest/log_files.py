"""The files of a log: one file, a folder or a glob, in sorted order, with their formats and about how many rows."""

import dataclasses
import glob
import hashlib
import os
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

from usergpt_jax.core.errors import InputError

_FORMATS = {
    **{".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"},
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"},
}
_ENDINGS = ", ".join((*_FORMATS, ".csv.gz", ".tsv.gz", ".jsonl.gz"))
_ROW_BYTES = {"csv": 60, "tsv": 60, "jsonl": 200}  # of short rows, so that the estimate is rather too high
_GZIP_RATIO = 6


class LogError(InputError):
    """A log cannot be read as the mapping says."""


class BadFileError(LogError):
    """One file of a log cannot be read; the others may be."""


@dataclasses.dataclass(frozen=True)
class LogFile:
    """One file of a log.

    Attributes:
      path: where it is.
      name: how reports call it: its path below the log's folder.
      format: "csv", "tsv", "jsonl" or "parquet".
      compressed: whether it is a gzip of that.
      encoding: of its text, unless a byte order mark tells another.
    """

    path: pathlib.Path
    name: str
    format: str
    compressed: bool
    encoding: str = "utf-8"


def format_of(path: pathlib.Path) -> tuple[str, bool] | None:
    """Format and whether gzip, by the file's name; None for another kind of file."""
    name = path.name.lower()
    compressed = name.endswith(".gz")
    found = _FORMATS.get(pathlib.Path(name.removesuffix(".gz")).suffix)
    return None if found is None or (compressed and found == "parquet") else (found, compressed)


def find(log: str | os.PathLike[str], encoding: str = "utf-8") -> tuple[list[LogFile], dict[str, str]]:
    """The files of a log, sorted by path, and the others in its folder with why they are none.

    A file is left out if it, or a folder it lies in below the log's, has a name that starts with "_" or ".", unless a
    glob names it so: "logs/_*.csv".

    Args:
      log: a file, a folder (read with its subfolders) or a glob such as "logs/*.csv".
      encoding: of text files, see `EventMap.encoding`.

    Raises:
      LogError: there is no such file, or none of a format that can be read.
    """
    path = pathlib.Path(log)
    left_out = "._"  # first characters
    if path.is_file():
        paths, root = [path], path.parent
    elif path.is_dir():
        paths, root = sorted(one for one in path.rglob("*") if one.is_file()), path
    elif glob.has_magic(str(log)):
        paths = sorted(pathlib.Path(one) for one in glob.glob(str(log), recursive=True))
        paths = [one for one in paths if one.is_file()]
        fixed = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        root, pattern = pathlib.Path(*path.parts[:fixed]), path.parts[fixed:]
        left_out = "".join(mark for mark in left_out if not any(part.startswith(mark) for part in pattern))
    else:
        raise LogError(f"{log}: no such log file")
    if path.is_file() and format_of(path) is None:
        raise LogError(f"{log}: expected a file ending in {_ENDINGS}")
    files, others = [], {}
    for one in paths:
        name = one.relative_to(root).as_posix()
        found = format_of(one)
        if not path.is_file() and any(part[0] in left_out for part in name.split("/")):
            others[name] = "its name or folder starts with _ or ."
        elif found is None:
            others[name] = "no log format"
        else:
            files.append(LogFile(one, name, *found, encoding))
    if not files:
        first = next((f"; {name}: {reason}" for name, reason in others.items()), "")
        raise LogError(f"{log}: holds no log file; expected files ending in {_ENDINGS}{first}")
    return files, others


def estimate_rows(files: list[LogFile]) -> int:
    """About how many rows the files hold; exact for Parquet, and rather too many for text."""
    total = 0
    for file in files:
        if file.format == "parquet":
            try:
                total += pq.read_metadata(file.path).num_rows
            except (pa.ArrowException, OSError):
                continue  # reading it will say what is wrong
        else:
            size = file.path.stat().st_size * (_GZIP_RATIO if file.compressed else 1)
            total += size // _ROW_BYTES[file.format]
    return total


def digest(files: list[LogFile]) -> str:
    """SHA-256 over the names and contents of the files."""
    total = hashlib.sha256()
    for file in files:
        with file.path.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        total.update(f"{file.name}\0{content}\n".encode())
    return total.hexdigest()
