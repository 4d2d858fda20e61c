"""What a compiled program will cost: memory a chip, and bytes that collectives move, loops multiplied out."""

import collections
import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_BITS = {"pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "f8e4m3fn": 8, "f8e5m2": 8, "bf16": 16, "f16": 16,
         "s16": 16, "u16": 16, "f32": 32, "s32": 32, "u32": 32, "f64": 64, "s64": 64, "u64": 64}  # fmt: skip
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{$")
_COLLECTIVE = re.compile(rf"= (.+?) ({'|'.join(COLLECTIVES)})(-start)?\(([^)]*)\)")
_RESULT = re.compile(r"^ +(?:ROOT )?(%?[\w.-]+) = (.+?) [a-z][\w-]*\(")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"(?:calls|to_apply|branch_computations|true_computation|false_computation)=\{?((?:%?[\w.-]+(?:, )?)+)\}?"
)
_CONSTANT = re.compile(r"= [su]32\[\]\S* constant\((\d+)\)")
_WHILE = re.compile(r" while\(.*condition=%?(?P<condition>[\w.-]+), body=%?(?P<body>[\w.-]+)")


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes a chip.

    Attributes:
      arguments: what goes in.
      outputs: what comes out and is not the same buffer.
      temporaries: what is needed in between, as the compiler counts it; on TPU more than what is held at once.
      peak: most that is held at once, arguments included.
    """

    arguments: int
    outputs: int
    temporaries: int
    peak: int


def memory(compiled: Any) -> Memory:
    """Memory of a compiled program (`jax.stages.Compiled`), as the compiler planned it."""
    found = compiled.memory_analysis()
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    sizes = found.argument_size_in_bytes, outputs, found.temp_size_in_bytes
    return Memory(*sizes, found.peak_memory_in_bytes)


def collective_bytes(text: str) -> dict[str, int]:
    """Bytes of each kind of collective in one run of a program: of what it gives a chip, or takes to scatter.

    Args:
      text: the optimised program of one chip (`compiled.as_text()`). A loop runs as often as the largest constant of
        its condition says, else once; all branches of a conditional count.
    """
    own, calls, entry = _read(text)
    totals: dict[str, collections.Counter[str]] = {}

    def total(name: str) -> collections.Counter[str]:
        if name not in totals:
            totals[name] = collections.Counter(own.get(name, {}))
            for called, times in calls.get(name, ()):
                totals[name].update({kind: n * times for kind, n in total(called).items()})
        return totals[name]

    return dict(total(entry))


def _read(text: str) -> tuple[Mapping[str, Mapping[str, int]], Mapping[str, list[tuple[str, int]]], str]:
    """Of each computation its collectives and what it calls how often; and the name of the first one."""
    own: dict[str, collections.Counter[str]] = {}
    spread: dict[str, collections.Counter[str]] = {}  # steps of collectives that go on inside other operations
    calls: dict[str, list[tuple[str, int]]] = {}
    bounds: dict[str, int] = {}  # of a loop's condition: the constant that it counts up to
    name = entry = ""
    loops, started = [], []
    shapes: dict[str, str] = {}  # of the computation's results so far
    for line in text.splitlines():
        if not line.startswith(" ") and (found := _COMPUTATION.match(line)):
            name = found[2]
            shapes.clear()
            own[name], spread[name], calls[name] = collections.Counter(), collections.Counter(), []
            entry = name if found[1] else entry
        elif name:
            if found := _RESULT.match(line):
                shapes[found[1]] = found[2]
            if found := _COLLECTIVE.search(line):
                counts = spread if "chain_id=" in line else own
                counts[name][found[2]] += _collective_bytes(found, shapes)
            if found := _CONSTANT.search(line):
                bounds[name] = max(bounds.get(name, 1), int(found[1]))
            if found := _WHILE.search(line):
                loops.append((name, found["condition"], found["body"]))
            else:
                listed = [one.strip().lstrip("%") for called in _CALLED.findall(line) for one in called.split(",")]
                calls[name] += [(one, 1) for one in listed if one]
                if line.lstrip().startswith("%async-collective-start"):
                    started += listed
    for name, condition, body in loops:
        calls[name].append((body, bounds.get(condition, 1)))
    for name in own.keys() & set(started):  # a spread collective counts where it starts
        own[name].update(spread[name])
    return own, calls, entry


def _collective_bytes(found: re.Match[str], shapes: Mapping[str, str]) -> int:
    result, kind, started, operands = found.groups()
    if kind == "reduce-scatter":
        return sum(_bytes(shapes[operand.strip()]) for operand in operands.split(","))
    if started and kind != "all-reduce":  # (operands, results, ...)
        return _bytes(_elements(result)[1])
    return _bytes(result)


def _elements(shape: str) -> list[str]:
    """Of a tuple's shape such as "((bf16[8]{0}), f32[2,3]{1,0:T(8,128)})"."""
    elements, depth = [""], 0
    for letter in shape[1:-1]:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            elements.append("")
        else:
            elements[-1] += letter
    return elements


def _bytes(shape: str) -> int:
    """Bytes of the arrays in a shape such as "(bf16[8,128]{1,0}, f32[])"."""
    arrays = [(kind, dims) for kind, dims in _ARRAY.findall(shape) if kind in _BITS]
    return sum(_BITS[kind] * math.prod(int(n) for n in dims.split(",") if n) // 8 for kind, dims in arrays)
