"""What training steps of Qwen3 would need on TPU pods that are not here: a table made by launch/aot.py.

Command: python -m benchmarks.aot_table --out=FILE [--only=REGEX ...] [--list]

A cell is a topology, a size, the tokens of a user's history and a step; its name is e.g. "v5p:2x4x4 8B 36864 sft".
Each chip has one user, or the chips of a `context` axis share one. Each finished cell is a JSON line in FILE, so that a
run that was stopped goes on where it was; all of them are printed as a Markdown table. Seconds are a roofline's, not
measured: peak FLOP/s and link bandwidth, both reached, no overlap. Needs libtpu; a cell takes minutes.
"""

import argparse
import itertools
import json
import math
import pathlib
import re
import subprocess
import sys
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
TOPOLOGIES = {"v5e:16x16": 256, "v5p:2x4x4": 32, "v6e:8x8": 64}  # name -> chips
SIZES = {
    "0.6B": {"n_layers": 28, "d_model": 1024, "d_ff": 3072, "n_heads": 16, "tie_embeddings": True},
    "4B": {"n_layers": 36, "d_model": 2560, "d_ff": 9728, "n_heads": 32, "tie_embeddings": True},
    "8B": {"n_layers": 36, "d_model": 4096, "d_ff": 12_288, "n_heads": 32, "tie_embeddings": False},
    "32B": {"n_layers": 64, "d_model": 5120, "d_ff": 25_600, "n_heads": 64, "tie_embeddings": False},
}  # 8 key heads of 128 each
BRANCHES = {"tag_branches": 8, "tag_branch_tokens": 768}
TOKENS = {16_384: {"trunk_tokens": 10_240}, 36_864: {"trunk_tokens": 30_720}}  # of a user, branches included
CONTEXT = {
    ("v5e:16x16", 16_384): {"0.6B": 1, "4B": 1, "8B": 2, "32B": 4},
    ("v5e:16x16", 36_864): {"0.6B": 1, "4B": 2, "8B": 4, "32B": 8},
    ("v6e:8x8", 36_864): {"0.6B": 1, "4B": 1, "8B": 1, "32B": 2},
}  # chips that share a user's tokens; 1 where nothing is said
CHUNK_TOKENS = 1024  # a chip, of those whose logits exist at once
STEPS = ("sft", "df_grpo")
COLUMNS = (
    *("topology", "model", "tokens", "step", "mesh", "arguments GiB", "temporaries GiB", "peak GiB", "PFLOP"),
    *("collectives GiB", "compute s", "network s", "MFU", "compile s"),
)


class Cell(NamedTuple):
    """One compilation."""

    topology: str
    size: str
    tokens: int
    step: str

    def __str__(self) -> str:
        return " ".join(map(str, self))


def cells() -> list[Cell]:
    """All cells, steps of one model beside each other."""
    return [Cell(*parts) for parts in itertools.product(TOPOLOGIES, SIZES, TOKENS, STEPS)]


def mesh(cell: Cell) -> dict[str, int]:
    """Chips along each axis: parameters over all that are not one user's."""
    chips = TOPOLOGIES[cell.topology]
    context = CONTEXT.get((cell.topology, cell.tokens), {}).get(cell.size, 1)
    fsdp = math.gcd(chips // context, SIZES[cell.size]["d_model"])
    return {"data": chips // context // fsdp, "fsdp": fsdp, "tensor": 1, "context": context}


def command(cell: Cell) -> list[str]:
    """The compilation of one cell."""
    split = mesh(cell)
    users = split["data"] * split["fsdp"]
    sft = {
        **BRANCHES,
        **TOKENS[cell.tokens],
        "tag_batch_users": users,
        "chunk_tokens": CHUNK_TOKENS * math.prod(split.values()),
    }
    sections = {"model": SIZES[cell.size], "mesh": split, "sft": sft}
    overrides = [f"--config.{name}.{key}={value}" for name, part in sections.items() for key, value in part.items()]
    flags = ["--config=configs/qwen3_8b.py", f"--topology={cell.topology}", f"--steps={cell.step}"]
    return [sys.executable, str(ROOT / "launch" / "aot.py"), *flags, *overrides]


def measure(cell: Cell) -> dict[str, Any]:
    """The figures of one cell.

    Raises:
      SystemExit: the compilation failed for another reason than the chip's memory.
    """
    done = subprocess.run(command(cell), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{cell}: {done.stderr.strip().splitlines()[-1]}")
    return {"cell": str(cell), **json.loads(done.stdout.splitlines()[-1])}


def table(found: dict[str, dict[str, Any]]) -> str:
    """The finished cells in Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [_row(cell, found[str(cell)]) for cell in cells() if str(cell) in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(cell: Cell, one: dict[str, Any]) -> tuple[str, ...]:
    split = " x ".join(f"{axis} {size}" for axis, size in one["mesh"].items() if size > 1)
    start = (cell.topology, cell.size, f"{cell.tokens:,}", cell.step, split)
    if not one["fits"]:
        return (*start, "does not fit", *("",) * 7, str(one["compile_seconds"]))
    sizes = (one["arguments_gib"], one["temporaries_gib"], one["peak_gib"], one["model_pflops"])
    moved = ", ".join(f"{kind} {size:.0f}" for kind, size in one["collective_gib"].items() if size >= 1)
    times = (one["compute_seconds"], one["network_seconds"], one["mfu_without_overlap"], one["compile_seconds"])
    return (*start, *map(str, sizes), moved, *map(str, times))


def main() -> None:
    """Compiles what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="file of JSON lines")
    parser.add_argument("--only", nargs="*", default=[".*"], help="patterns of names of cells")
    parser.add_argument("--list", action="store_true", help="print names and commands, and compile nothing")
    given = parser.parse_args()
    wanted = [cell for cell in cells() if any(re.search(pattern, str(cell)) for pattern in given.only)]
    if given.list:
        print("\n".join(f"{cell}: {' '.join(command(cell))}" for cell in wanted))
        return
    lines = given.out.read_text(encoding="utf-8").splitlines() if given.out.exists() else []
    found = {one["cell"]: one for one in map(json.loads, lines)}
    for cell in wanted:
        if str(cell) not in found:
            found[str(cell)] = measure(cell)
            with given.out.open("a", encoding="utf-8") as file:
                print(json.dumps(found[str(cell)]), file=file)
            print(f"{cell}: {found[str(cell)]['compile_seconds']} s", file=sys.stderr, flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
