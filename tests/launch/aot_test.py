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


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--steps=nope", "--steps: expected some of sft, df_grpo, got 'nope'"),
        ("--steps=", "--steps: expected some of sft, df_grpo, got none"),
        ("--vocab=1", "vocabulary: expected at least 2 tokens, got 1"),
        ("--config.sft.trunk_tokens=0", "config.sft.trunk_tokens: expected above 0 and finite, got 0"),
        (
            "--config.sft.tag_branch_tokens=16",
            "config.sft.tag_branch_tokens: expected above 16, those of a question, got 16",
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused_in_one_line(flag, message):
    done = run(flag)
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_without_libtpu_one_line_says_so():
    done = run()
    line = "error: --topology=v5p:2x4x4: needs libtpu; pip install 'usergpt_jax[tpu]'\n"
    assert (done.returncode, done.stderr) == (2, line)


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
import dataclasses, runpy, sys
sys.path[:0] = ["launch"]
import aot, jax
from absl import flags
from tests.models import tiny
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.core.mesh import MeshConfig, make_mesh
from usergpt_jax.models.lora import LoraConfig
flags.FLAGS(["aot", f"--vocab={tiny.VOCAB}"])
config = runpy.run_path("configs/qwen3_8b.py")["get_config"]()
config.sft.update({"tag_batch_users": 4, "trunk_tokens": 16, "tag_branches": 2, "tag_branch_tokens": 20})
sft, grpo = to_dataclass(aot.SftConfig, config.sft, "sft"), to_dataclass(aot.RlConfig, config.rl, "rl").grpo
mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2, context=1))
with jax.set_mesh(mesh):
    for lora in (None, LoraConfig(2, 4.0, ("q", "v"))):
        model = dataclasses.replace(tiny.CONFIG, lora=lora)
        for lowered in (aot._sft(sft, model, mesh), aot._df_grpo(sft, grpo, model, mesh)):
            print(type(lowered).__name__)
"""
    devices = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=devices)
    assert done.stdout.split() == ["Lowered"] * 4, done.stderr
