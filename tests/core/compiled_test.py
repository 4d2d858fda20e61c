import json
import subprocess
import sys

from usergpt_jax.core import compiled

PROGRAM = """
import json, os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from usergpt_jax.core import compiled
mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
def shape(spec, *dims):
    return jax.ShapeDtypeStruct(dims, jnp.float32, sharding=NamedSharding(mesh, spec))
def step(x, w):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]
program = jax.jit(step).lower(shape(P(), 16, 64), shape(P(None, None, "x"), 5, 64, 64)).compile()
print(json.dumps(compiled.collective_bytes(program.as_text())))
found = compiled.memory(program)
print(found.arguments, found.outputs > 0, found.temporaries > 0, found.peak > found.temporaries)
"""


def test_collectives_of_a_loop_count_as_often_as_it_runs():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moved, memory = done.stdout.splitlines()
    activations = 16 * 64 * 4  # gathered in every step, perhaps once after
    assert sum(json.loads(moved).values()) in (5 * activations, 6 * activations)
    assert memory == f"{16 * 64 * 4 + 5 * 64 * 8 * 4} True True True"


def test_a_started_collective_counts_its_result_and_not_its_operands():
    text = """
ENTRY %main (p: bf16[4,8]) -> bf16[32,8] {
  %start = (bf16[4,8]{1,0}, bf16[32,8]{1,0}) all-gather-start(%p), dimensions={0}
  ROOT %done = bf16[32,8]{1,0} all-gather-done(%start)
}
"""
    assert compiled.collective_bytes(text) == {"all-gather": 32 * 8 * 2}


def test_several_arrays_of_one_collective_all_count():
    text = """
ENTRY %main (p: bf16[4,8], q: f32[2]) -> bf16[32,8] {
  %a = ((bf16[4,8]{1,0:T(8,128)}, f32[2]{0}), (bf16[32,8]{1,0}, f32[16]{0})) all-gather-start(%p, %q), dimensions={0}
  %b = (f32[100]{0}, f32[7]{0}) all-reduce-start(%x, %y), to_apply=%add
  %c = (s8[6]{0}, s8[6]{0}, u32[], u32[]) collective-permute-start(%z)
}
"""
    expected = {"all-gather": 32 * 8 * 2 + 16 * 4, "all-reduce": 107 * 4, "collective-permute": 6}
    assert compiled.collective_bytes(text) == expected


def test_what_is_scattered_counts_whole_as_what_is_gathered_does():
    text = """
%inner (p: f32[64,8]) -> f32[8,8] {
  %p = f32[64,8]{1,0} parameter(0)
  ROOT %r = f32[8,8]{1,0} reduce-scatter(%p), dimensions={0}, to_apply=%add
}
ENTRY %main (p: f32[64,8]) -> f32[8,8] {
  ROOT %r = f32[8,8]{1,0} call(%p), to_apply=%inner
}
"""
    assert compiled.collective_bytes(text) == {"reduce-scatter": 64 * 8 * 4}


def test_a_collective_spread_over_a_loop_counts_once_where_it_starts():
    step = '  %g = bf16[64,2] all-gather(%p), channel_id=42, frontend_attributes={chain_id="0"}'
    text = "\n".join([
        "%first (p: bf16[8,2]) -> bf16[64,2] {", step, "}",
        "%async_collective_fusion.1 (p: bf16[8,2]) -> bf16[64,2] {", step, "}",
        "%last (p: bf16[8,2]) -> bf16[64,2] {", step, "}",
        "%body (p: (s32[])) -> (s32[]) {", "  %f = bf16[64,2] fusion(%p), calls=%async_collective_fusion.1", "}",
        "%condition (p: (s32[])) -> pred[] {", "  %c = s32[] constant(28)", "}",
        "ENTRY %main (p: bf16[8,2]) -> bf16[64,2] {",
        "  %async-collective-start = (bf16[8,2], bf16[64,2]) fusion(%p), kind=kCustom, calls=%first",
        "  %w = (s32[]) while(%t), condition=%condition, body=%body",
        "  %async-collective-done = bf16[64,2] fusion(%w), kind=kCustom, calls=%last", "}",
    ])  # fmt: skip
    assert compiled.collective_bytes(text) == {"all-gather": 64 * 2 * 2}
