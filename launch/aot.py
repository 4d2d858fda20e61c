"""Compiles the training steps of a config for a TPU pod that is not here, and says what they will need.

    python launch/aot.py --config=configs/qwen3_8b.py --topology=v5p:2x4x4

Needs libtpu (pip install 'usergpt_jax[tpu]') and no TPU. Prints a JSON line a step: memory a chip as the compiler plans
it ("peak_gib": most that is held at once, arguments included; "temporaries_gib" counts more than that), if it fits,
model FLOPs, bytes of collectives with loops multiplied out, and a roofline estimate of the step's time. The estimate
assumes the chip's bfloat16 peak and the listed interconnect bandwidth, both reached, and no overlap; it counts what the
backward pass computes again, which MFU does not. A step that a chip cannot hold has "fits": false and the compiler's
reason.
"""

import dataclasses
import functools
import importlib.util
import json
import math
import os
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from jax.experimental import topologies
from ml_collections import ConfigDict

from usergpt_jax.core import compiled, launch
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.optimizer import jit_step, make_optimizer, state_shapes
from usergpt_jax.corpus.trees import TreeBatch
from usergpt_jax.models import lora, qwen3
from usergpt_jax.models.qwen3_config import Qwen3Config
from usergpt_jax.rl.loss import PolicyBatch
from usergpt_jax.rl.run import RlConfig
from usergpt_jax.rl.train import GrpoConfig, update
from usergpt_jax.sft.run import SftConfig
from usergpt_jax.sft.train import train_step

TOPOLOGY = flags.DEFINE_string("topology", "v5p:2x4x4", "Of the pod, e.g. v5e:16x16, v5p:4x4x4, v6e:8x8.")
STEPS = flags.DEFINE_list("steps", ["sft", "df_grpo"], "Which steps to compile.")
VOCAB = flags.DEFINE_integer("vocab", 151_936, "Ids of the tokenizer.")

QUESTION = 16  # tokens of a branch that are its question's

# Keeps libtpu from looking for, and complaining about, the machine that it is on; the topology is not affected.
LIBTPU = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "v5p-8"}

# Peak bfloat16 FLOP/s, memory bytes, and bytes/s of all links of a chip (cloud.google.com/tpu/docs, 2026).
CHIPS = {
    "TPU v5 lite": (197e12, 16 << 30, 200e9),
    "TPU v5": (459e12, 95 << 30, 600e9),
    "TPU v6 lite": (918e12, 32 << 30, 448e9),
}


def run(config: ConfigDict, on_change: str) -> None:
    """Compiles and prints; nothing is written, so `on_change` decides nothing."""
    for name, value in LIBTPU.items():
        os.environ.setdefault(name, value)
    model = to_dataclass(Qwen3Config, config.model, "model")
    sft, grpo = to_dataclass(SftConfig, config.sft, "sft"), to_dataclass(RlConfig, config.rl, "rl").grpo
    qwen3.check_vocab(model, VOCAB.value)
    makers = {"sft": lambda: _sft(sft, model, mesh), "df_grpo": lambda: _df_grpo(sft, grpo, model, mesh)}
    if not STEPS.value or (unknown := sorted(set(STEPS.value) - set(makers))):
        got = repr(unknown[0]) if STEPS.value else "none"
        raise InputError(f"--steps: expected some of {', '.join(makers)}, got {got}")
    if sft.tag_branch_tokens <= QUESTION:
        raise InputError(
            f"config.sft.tag_branch_tokens: expected above {QUESTION}, those of a question, got {sft.tag_branch_tokens}"
        )
    mesh = _mesh(to_dataclass(mesh_lib.MeshConfig, config.mesh, "mesh"), TOPOLOGY.value)
    for name in STEPS.value:
        start = time.monotonic()
        with jax.set_mesh(mesh):
            program = _compile(makers[name]())
        said = {"step": name, "topology": TOPOLOGY.value, "mesh": dict(mesh.shape)}
        said["compile_seconds"] = round(time.monotonic() - start, 1)
        found = {"fits": False, "reason": program} if isinstance(program, str) else _figures(program, sft, model, mesh)
        print(json.dumps(said | found), flush=True)


def _compile(lowered: Any) -> Any:
    """The compiled step, or what the compiler says of a chip whose memory does not hold it."""
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return str(error).partition("RESOURCE_EXHAUSTED: ")[2].splitlines()[0]


def _mesh(config: mesh_lib.MeshConfig, topology: str) -> Any:
    """The mesh over all chips of the topology."""
    if importlib.util.find_spec("libtpu") is None:
        raise InputError(f"--topology={topology}: needs libtpu; pip install 'usergpt_jax[tpu]'")
    if not re.fullmatch(r"\w+:\d+(x\d+)+", topology):
        raise InputError(f"--topology={topology}: expected a kind and a shape, e.g. v5e:16x16, v5p:4x4x4, v6e:8x8")
    try:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except (RuntimeError, ValueError) as error:
        raise InputError(f"--topology={topology}: {str(error).splitlines()[0]}") from None
    if devices[0].device_kind not in CHIPS:
        raise InputError(f"--topology={topology}: a {devices[0].device_kind}; expected one of {', '.join(CHIPS)}")
    needed = math.prod(dataclasses.astuple(config))
    if needed != len(devices):
        raise InputError(f"config.mesh: expected a product of {len(devices)}, the chips of {topology}, got {needed}")
    return mesh_lib.make_mesh(config, devices)


def _shapes(sft: SftConfig, model: Qwen3Config, mesh: Any) -> tuple[Any, Any, Any]:
    """The optimizer, and parameters and its state without memory."""
    optimizer = make_optimizer(sft.optimizer(0), max(sft.n_steps))
    params = qwen3.sharded_shapes(model, VOCAB.value, mesh)
    return optimizer, params, state_shapes(optimizer, lora.split(params)[0])


def _array(mesh: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    axes = ("batch",) + (None,) * (len(shape) - 1)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=mesh_lib.sharding(mesh, shape, axes, "batch"))


def _tree(c: SftConfig, mesh: Any) -> list[Any]:
    """Tokens and masks of a batch of trees."""
    trunk, branches = (c.tag_batch_users, c.trunk_tokens), (c.tag_batch_users, c.tag_branches, c.tag_branch_tokens)
    kinds = ((trunk, jnp.int32), (trunk, bool), (branches, jnp.int32), (branches, bool), (branches, bool))
    return [_array(mesh, shape, dtype) for shape, dtype in kinds]


def _sft(c: SftConfig, model: Qwen3Config, mesh: Any) -> Any:
    optimizer, params, state = _shapes(c, model, mesh)
    step = functools.partial(
        train_step, config=model, optimizer=optimizer, first_output=QUESTION, chunk_tokens=c.chunk_tokens
    )
    return jit_step(step, params, state).lower(params, state, TreeBatch(*_tree(c, mesh)))


def _df_grpo(c: SftConfig, grpo: GrpoConfig, model: Qwen3Config, mesh: Any) -> Any:
    optimizer, params, state = _shapes(c, model, mesh)
    B, G, R = c.tag_batch_users, c.tag_branches, c.tag_branch_tokens
    rest = [_array(mesh, shape, jnp.float32) for shape in ((B, G, R), (B, G), (B, G))]
    step = functools.partial(
        update, config=model, optimizer=optimizer, first=QUESTION, chunk_tokens=c.chunk_tokens,
        clip_ratio=grpo.clip_ratio, kl_weight=grpo.kl_weight,
    )  # fmt: skip
    reference = _array(mesh, (B, G, R - QUESTION), jnp.float32)
    return jit_step(step, params, state).lower(params, state, reference, PolicyBatch(*_tree(c, mesh), *rest))


def _figures(program: Any, c: SftConfig, model: Qwen3Config, mesh: Any) -> dict[str, Any]:
    kind = mesh.devices.flat[0].device_kind
    peak, capacity, link = CHIPS[kind]
    moved, planned = compiled.collective_bytes(program.as_text()), compiled.memory(program)
    flops, computed = model_flops(
        model, VOCAB.value, c.tag_batch_users, c.trunk_tokens, c.tag_branches, c.tag_branch_tokens
    )
    passed_on = moved.get("all-reduce", 0)  # what is summed goes round once more than what is only gathered
    compute, network = computed / mesh.size / peak, (sum(moved.values()) + passed_on) / link
    return {
        "chip": kind,
        "chips": mesh.size,
        "tokens": c.tag_batch_users * (c.trunk_tokens + c.tag_branches * c.tag_branch_tokens),
        "arguments_gib": round(planned.arguments / 2**30, 2),
        "temporaries_gib": round(planned.temporaries / 2**30, 2),
        "peak_gib": round(planned.peak / 2**30, 2),
        "chip_gib": capacity >> 30,
        "fits": planned.peak <= capacity,
        "model_pflops": round(flops / 1e15, 2),
        "collective_gib": {kind: round(n / 2**30, 2) for kind, n in sorted(moved.items())},
        "compute_seconds": round(compute, 2),
        "network_seconds": round(network, 2),
        "mfu_without_overlap": round(flops / mesh.size / peak / (compute + network), 3),
    }


def model_flops(
    model: Qwen3Config, vocab: int, users: int, trunk: int, branches: int, branch: int
) -> tuple[float, float]:
    """FLOPs of a step that the model asks for, and those that are computed: with what the backward pass makes again.

    6 a weight and token, of which a frozen weight needs no gradient, 2; 12 a pair and width. The head counts branch
    tokens alone; attention counts pairs that are seen, half of a causal square; low-rank terms count nothing. The
    head's logits are made twice, layers as `model.remat` says.
    """
    tokens, answers = trunk + branches * branch, branches * branch
    heads = model.head_dim * (2 * model.n_heads + 2 * model.n_kv_heads)
    weights = model.n_layers * (model.d_model * heads + 3 * model.d_model * model.d_ff)
    pairs = trunk**2 / 2 + answers * trunk + branches * branch**2 / 2
    forward = {
        "layers": 2 * weights * tokens,
        "head": 2 * vocab * model.d_model * answers,
        "attention": 4 * model.n_layers * model.n_heads * model.head_dim * pairs,
    }
    again = {"none": ("head",), "dots": ("head", "attention")}.get(model.remat, tuple(forward))
    products = 3 if model.lora is None else 2
    asked = products * (forward["layers"] + forward["head"]) + 3 * forward["attention"]
    return users * asked, users * (asked + sum(forward[part] for part in again))


if __name__ == "__main__":
    launch.main(run)
