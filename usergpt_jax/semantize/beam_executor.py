"""The work on the parts of a log as an Apache Beam pipeline: on this machine, or on Dataflow, Flink or Spark.

The parts are the elements; what a part needs to know and what it leaves are files of the run directory, which every
worker must see (a shared disk, or a bucket that is mounted). So a pipeline is one map, and its result is that of a run
on one machine. Needs the extra `beam`.
"""

import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.run import Executor


def executor(options: Sequence[str], scratch: pathlib.Path) -> Executor:
    """An executor for `run.run`.

    Args:
      options: Beam's own, such as "--runner=DirectRunner"; they are passed on as they are.
      scratch: folder for results on their way back, seen by all workers; removed in the end.

    Raises:
      InputError: Beam is not installed.
    """
    try:
        import apache_beam as beam  # pyright: ignore[reportMissingImports]
        from apache_beam.options.pipeline_options import PipelineOptions  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError("Apache Beam is not installed: pip install 'usergpt_jax[beam]'") from None

    def execute(make: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
                results = pipeline | beam.Create(list(numbers)) | beam.Reshuffle() | beam.Map(_plainly, make)
                _ = results | beam.io.WriteToText(str(scratch / "result"))
            lines = (line for path in sorted(scratch.iterdir()) for line in path.read_text("utf-8").splitlines())
            yield from map(json.loads, lines)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    return execute


def _plainly(number: int, make: Callable[[int], Any]) -> str:
    return json.dumps(make(number))
