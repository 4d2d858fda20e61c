import dataclasses

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.optimizer import OptimizerConfig
from usergpt_jax.core.resume import StateStore
from usergpt_jax.corpus.trees import TreeBatch
from usergpt_jax.models import qwen3
from usergpt_jax.sft import train as sft

ONE = mesh_lib.MeshConfig(data=1, fsdp=1, tensor=1, context=1)
CONFIG = sft.TrainConfig(3, 100, 1, 16, OptimizerConfig(1e-3, 0.1, 0.1, 0.01, 1.0))


def batches():
    """The same batch for ever."""
    trees = tiny.trees(batch=8)
    batch = TreeBatch(*map(np.asarray, (*trees.values(), trees["branch_mask"])))
    return iter(grain.MapDataset.source([batch]).repeat().to_iter_dataset())


@pytest.mark.parametrize("change", [{}, {"fsdp": 4, "tensor": 2}], ids=["1", "4x2"])
def test_a_stage_compiles_its_step_once(tmp_path, caplog, change):
    mesh = mesh_lib.make_mesh(dataclasses.replace(ONE, **change))
    params = qwen3.init_sharded(tiny.CONFIG, tiny.VOCAB, jax.random.key(0), mesh)
    with jax.log_compiles():
        sft.train(
            tmp_path, params, batches(), model=tiny.CONFIG, train_config=CONFIG, first_output=1, mesh=mesh, name="tiny"
        )  # fmt: skip
    assert sum("Finished XLA compilation of jit(train_step)" in line for line in caplog.messages) == 1


def test_a_state_that_is_not_finite_is_never_kept(tmp_path, capfd):
    mesh = mesh_lib.make_mesh(ONE)
    config = dataclasses.replace(tiny.CONFIG, n_layers=1, norm_eps=float("nan"))
    params = jax.tree.map(jnp.zeros_like, qwen3.param_shapes(config, tiny.VOCAB))
    settings = dataclasses.replace(CONFIG, log_every_steps=100)
    with pytest.raises(FloatingPointError, match="loss is nan at step 1"):
        sft.train(
            tmp_path, params, batches(), model=config, train_config=settings, first_output=1, mesh=mesh, name="tiny"
        )  # fmt: skip
    assert "Traceback" not in capfd.readouterr().err
    with StateStore(tmp_path / "state", 1) as store:
        assert store.restore(None) is None
