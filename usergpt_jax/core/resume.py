"""A trainer's state on disk: parameters, optimizer and data position, saved as it runs and on SIGTERM."""

import os
import pathlib
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orbax.checkpoint as ocp


class StateStore:
    """Keeps the latest state of a training run, written asynchronously by Orbax; a context that closes it.

    Args:
      folder: where to keep it; made if absent.
      every_steps: a state is written at multiples of this step.
    """

    def __init__(self, folder: str | os.PathLike[str], every_steps: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=1, save_interval_steps=every_steps)
        self._manager = ocp.CheckpointManager(pathlib.Path(folder).resolve(), options=options)

    def due(self, step: int) -> bool:
        """Whether `save` would write the state after `step`: the first one it is given, and multiples."""
        return self._manager.should_save(step)

    def save(self, step: int, arrays: Any, position: Mapping[str, Any], *, force: bool = False) -> None:
        """Writes the state after `step` when its time has come, or at once with `force`.

        Args:
          step: number of finished steps.
          arrays: pytree of arrays.
          position: JSON-ready state of the input pipeline.
          force: write whatever the step.
        """
        if force and self._manager.latest_step() == step:
            return
        args = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), position=ocp.args.JsonSave(dict(position)))
        self._manager.save(step, args=args, force=force)

    def restore(self, like: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """The latest (step, arrays, position), arrays shaped and sharded as in `like`; None when nothing was saved."""
        step = self._manager.latest_step()
        if step is None:
            return None
        args = ocp.args.Composite(arrays=ocp.args.StandardRestore(like), position=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=args)
        return step, restored["arrays"], restored["position"]

    def __enter__(self) -> "StateStore":
        return self

    def __exit__(self, *error: object) -> None:
        """Waits for pending writes, whatever ended the training."""
        self._manager.wait_until_finished()
        self._manager.close()


class Preemption:
    """Whether SIGTERM has come, as schedulers send before they take a machine away."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def catch_sigterm() -> Iterator[Preemption]:
    """Turns SIGTERM into a flag that the training loop looks at after each step, so that it can save and exit."""
    preemption = Preemption()

    def note(signum: int, frame: object) -> None:
        preemption.requested = True

    previous = signal.signal(signal.SIGTERM, note)
    try:
        yield preemption
    finally:
        signal.signal(signal.SIGTERM, previous)


class Preempted(SystemExit):
    """The run was asked to stop and has saved its state; running the same command again goes on from there."""

    def __init__(self, step: int):
        super().__init__(f"stopped by SIGTERM after step {step}; run the same command again to go on")
