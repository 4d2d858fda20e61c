import importlib.util
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
    code = (
        "import functools, sys; sys.path[:0] = ['launch']; import aot; from tests.models import tiny;"
        "flops = functools.partial(aot.model_flops, tiny.CONFIG, tiny.VOCAB);"
        "print(flops(1, 1, 0, 0), flops(3, 0, 2, 5))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    alone, branches = map(float, done.stdout.split())
    c, params = tiny.CONFIG, qwen3.param_shapes(tiny.CONFIG, tiny.VOCAB)
    weights = sum(leaf.size for leaf in jax.tree.leaves(params["layers"]) if leaf.ndim > 2)
    width = c.n_layers * c.n_heads * c.head_dim
    assert alone == 6 * weights + 12 * width / 2
    assert branches == 3 * (6 * weights * 10 + 6 * tiny.VOCAB * c.d_model * 10 + 12 * width * 2 * 25 / 2)
