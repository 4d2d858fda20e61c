import json
import math

import pytest

from benchmarks import aot_table
from benchmarks.aot_table import BRANCHES, SIZES, TOKENS, TOPOLOGIES

CELLS = aot_table.cells()


def test_there_is_a_cell_for_every_pod_size_length_and_step():
    assert len({str(cell) for cell in CELLS}) == len(CELLS) == 3 * 4 * 2 * 2


@pytest.mark.parametrize("cell", CELLS[::2], ids=str)
def test_a_cell_uses_every_chip_and_divides_the_model(cell):
    split = aot_table.mesh(cell)
    assert math.prod(split.values()) == TOPOLOGIES[cell.topology]
    assert SIZES[cell.size]["d_model"] % split["fsdp"] == 0
    assert BRANCHES["tag_branches"] % split["context"] == 0


@pytest.mark.parametrize("tokens", TOKENS)
def test_trunk_and_branches_make_a_users_tokens(tokens):
    assert TOKENS[tokens]["trunk_tokens"] + BRANCHES["tag_branches"] * BRANCHES["tag_branch_tokens"] == tokens


def test_finished_cells_are_not_compiled_again_and_the_table_says_what_does_not_fit(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(cell):
        asked.append(cell)
        fits = {"arguments_gib": 1.5, "temporaries_gib": 2.5, "peak_gib": 3.5, "fits": True, "collective_gib": {}}
        times = {"model_pflops": 87.0, "compute_seconds": 1.0, "network_seconds": 0.5, "mfu_without_overlap": 0.667}
        figures = {**fits, **times} if cell.step == "sft" else {"fits": False, "reason": "out of memory"}
        return {"cell": str(cell), "mesh": aot_table.mesh(cell), "compile_seconds": 7.0, **figures}

    monkeypatch.setattr(aot_table, "measure", measure)
    for _ in range(2):
        monkeypatch.setattr("sys.argv", ["aot_table", f"--out={tmp_path / 'cells'}", "--only", "v6e.* 8B 36864"])
        aot_table.main()
    assert [cell.step for cell in asked] == ["sft", "df_grpo"]
    assert len([json.loads(line) for line in (tmp_path / "cells").read_text().splitlines()]) == 2
    *_, sft, grpo = capsys.readouterr().out.splitlines()
    assert "| 3.5 | 87.0 |" in sft
    assert "| does not fit |" in grpo
