import importlib.util
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from tests.models import tiny
from usergpt_jax.models import qwen3

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "launch" / "aot.py"


def run(*flags):
    command = [sys.executable, str(SCRIPT), "--config=configs/qwen3_8b.py", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_unknown_step_is_refused():
    done = run("--steps=nope")
    assert (done.returncode, done.stderr) == (2, "error: --steps: unknown 'nope'; expected some of sft, df_grpo\n")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_without_libtpu_one_line_says_so():
    done = run()
    assert done.returncode == 2
    assert done.stderr.startswith("error: --topology=v5p:2x4x4: ")
    assert len(done.stderr.splitlines()) == 1


def test_flops_are_six_a_weight_and_token():
    code = """
import dataclasses, sys
sys.path[:0] = ["launch"]
import aot
from tests.models import tiny
from usergpt_jax.models.lora import LoraConfig
print(*(aot.model_flops(tiny.CONFIG, tiny.VOCAB, *sizes)[0] for sizes in ((1, 1, 0, 0), (3, 0, 2, 5))))
for remat in ("none", "full"):
    print(aot.model_flops(dataclasses.replace(tiny.CONFIG, remat=remat), tiny.VOCAB, 1, 0, 1, 1)[1])
print(aot.model_flops(dataclasses.replace(tiny.CONFIG, lora=LoraConfig(2, 4.0, ("q",))), tiny.VOCAB, 1, 1, 0, 0)[0])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    alone, branches, kept, made_again, frozen = map(float, done.stdout.split())
    c, params = tiny.CONFIG, qwen3.param_shapes(tiny.CONFIG, tiny.VOCAB)
    weights = sum(leaf.size for leaf in jax.tree.leaves(params["layers"]) if leaf.ndim > 2)
    width = c.n_layers * c.n_heads * c.head_dim
    assert alone == 6 * weights + 12 * width / 2
    assert frozen == 4 * weights + 12 * width / 2
    head = 6 * tiny.VOCAB * c.d_model
    assert kept == alone + head * 4 / 3  # logits are made twice
    assert made_again == pytest.approx((alone + head) * 4 / 3)
    assert branches == 3 * (6 * weights * 10 + head * 10 + 12 * width * 2 * 25 / 2)


def test_both_steps_are_lowered_with_and_without_low_rank_terms():
    code = """
import dataclasses, functools, sys
sys.path[:0] = ["launch"]
import aot, jax
from absl import flags
from ml_collections import ConfigDict
from tests.models import tiny
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.models.lora import LoraConfig
flags.FLAGS(["aot", f"--vocab={tiny.VOCAB}"])
rates = {"lr": 1e-3, "warmup_frac": 0.1, "final_lr_frac": 0.1, "weight_decay": 0.1, "clip_norm": 1.0, "n_steps": (4,)}
batch = {"tag_batch_users": 4, "trunk_tokens": 16, "tag_branches": 2, "tag_branch_tokens": 20, "chunk_tokens": 8}
config = ConfigDict({"sft": {**rates, **batch}, "rl": {"grpo": {"clip_ratio": 0.2, "kl_weight": 0.1}}})
mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2, context=1))
with jax.set_mesh(mesh):
    for lora in (None, LoraConfig(2, 4.0, ("q", "v"))):
        for lower in (aot._sft, aot._df_grpo):
            print(type(lower(config, dataclasses.replace(tiny.CONFIG, lora=lora), mesh)).__name__)
"""
    devices = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=devices)
    assert done.stdout.split() == ["Lowered"] * 4, done.stderr
