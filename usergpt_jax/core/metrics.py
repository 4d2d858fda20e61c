"""Metric writer: one JSON line a step, mirrored to TensorBoard."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from types import TracebackType

from tensorboardX import SummaryWriter


class MetricWriter:
    """Appends scalars to `metrics.jsonl` and a TensorBoard event file in one folder.

    Args:
      folder: where to write; made if absent.
      resume_step: lines past this step, left by a killed run, are dropped, so that the file of a resumed run equals
        that of an undisturbed one.
    """

    def __init__(self, folder: str | os.PathLike[str], resume_step: int = 0):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        kept = [line for line in read_metrics(path) if line["step"] <= resume_step] if path.exists() else []
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        os.replace(temporary, path)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes one step.

        Raises:
          FloatingPointError: a value is NaN or infinite; the message names step and metric.
        """
        values = {name: float(value) for name, value in scalars.items()}
        check_finite(step, values)
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()


def check_finite(step: int, scalars: Mapping[str, float]) -> None:
    """Raises `FloatingPointError`, naming step and metric, when a value is NaN or infinite."""
    for name, value in scalars.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"{name} is {float(value)} at step {step}")


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """The lines of a `metrics.jsonl`; a last line cut short by a kill is left out."""
    lines = []
    for text in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
