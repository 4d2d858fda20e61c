"""Supervised fine-tuning of one curriculum stage."""

import dataclasses
import functools
import pathlib
from typing import Any

import grain
import jax
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.metrics import MetricWriter, check_finite
from usergpt_jax.core.optimizer import OptimizerConfig, init_state, jit_step, make_optimizer
from usergpt_jax.core.resume import Preempted, StateStore, catch_sigterm
from usergpt_jax.corpus.trees import TreeBatch
from usergpt_jax.models import lora
from usergpt_jax.models.qwen3 import Params, Qwen3Config
from usergpt_jax.sft.loss import LossParts, sft_loss


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How one stage is trained.

    Attributes:
      n_steps: optimizer steps.
      save_every_steps: steps between saved states.
      log_every_steps: steps between logged metrics.
      chunk_tokens: tokens whose logits exist at once.
      optimizer: learning rate and the like.
    """

    n_steps: int
    save_every_steps: int
    log_every_steps: int
    chunk_tokens: int
    optimizer: OptimizerConfig


def train_step(
    params: Params,
    state: optax.OptState,
    batch: TreeBatch,
    *,
    config: Qwen3Config,
    optimizer: optax.GradientTransformation,
    first_output: int,
    chunk_tokens: int,
) -> tuple[Params, optax.OptState, LossParts, jax.Array]:
    """One optimizer step; returns new parameters and state, the loss's parts and the gradient norm.

    `jit_step` compiles it. With low-rank terms these alone are trained, and `state` is theirs.
    """
    trained, frozen = lora.split(params)

    def loss(trained: Params) -> tuple[jax.Array, LossParts]:
        joined = lora.join(trained, frozen)
        return sft_loss(joined, config=config, first_output=first_output, chunk_tokens=chunk_tokens, **batch._asdict())

    (_, parts), grads = jax.value_and_grad(loss, has_aux=True)(trained)
    updates, state = optimizer.update(grads, state, trained)
    trained: Params = optax.apply_updates(trained, updates)  # type: ignore[assignment]
    return lora.join(trained, frozen), state, parts, optax.tree.norm(grads)


def train(
    folder: pathlib.Path,
    params: Params,
    batches: grain.DatasetIterator[TreeBatch],
    *,
    model: Qwen3Config,
    train_config: TrainConfig,
    first_output: int,
    mesh: Mesh,
    name: str,
) -> Params:
    """Trains for `n_steps`, going on from the state that a killed run left in `folder`.

    Args:
      folder: for the state and the metrics.
      params: where the stage starts; given up to the training.
      batches: endless; its state is saved beside the parameters.
      model: of the parameters.
      train_config: steps, rates.
      first_output: length of the shortest question.
      mesh: the devices.
      name: of the stage, for the progress bar.

    Raises:
      Preempted: SIGTERM came; the state is saved.
      FloatingPointError: the loss is NaN or infinite; the message names the step. No such state is saved.
    """
    optimizer = make_optimizer(train_config.optimizer, train_config.n_steps)
    state = init_state(optimizer, lora.split(params)[0])
    store = StateStore(folder / "state", train_config.save_every_steps)
    start = 0
    if (restored := store.restore({"params": params, "state": state})) is not None:
        start, arrays, position = restored
        params, state = arrays["params"], arrays["state"]
        batches.set_state(position)
    step_fn = functools.partial(
        train_step,
        config=model,
        optimizer=optimizer,
        first_output=first_output,
        chunk_tokens=train_config.chunk_tokens,
    )
    step_fn = jit_step(step_fn, params, state)
    pending: tuple[int, Any] | None = None  # metrics are read one step late, so that the device never waits for them
    progress = tqdm(total=train_config.n_steps, initial=start, desc=name, unit="step")
    with store, MetricWriter(folder, start) as writer, catch_sigterm() as preemption, progress, jax.set_mesh(mesh):
        for step in range(start + 1, train_config.n_steps + 1):
            batch = mesh_lib.shard_batch(mesh, next(batches))
            params, state, parts, grad_norm = step_fn(params, state, batch)
            pending = _log(writer, progress, pending, train_config.log_every_steps)
            pending = (step, {**parts._asdict(), "grad_norm": grad_norm})
            progress.update()
            last = preemption.requested and step < train_config.n_steps
            if last or store.due(step):
                check_finite(step, pending[1])  # here the device is waited for: a run must not go on from NaN
            store.save(step, {"params": params, "state": state}, batches.get_state(), force=last)
            if last:
                raise Preempted(step)
        _log(writer, progress, pending, 1)
    return params


def _log(writer: MetricWriter, progress: Any, pending: tuple[int, Any] | None, every_steps: int) -> None:
    """Writes the metrics of an earlier step."""
    if pending is None:
        return
    step, scalars = pending
    if step % every_steps == 0 or step == 1:
        values = {key: float(value) for key, value in scalars.items()}
        writer.write(step, values)
        progress.set_postfix(loss=f"{values['loss']:.3f}")
