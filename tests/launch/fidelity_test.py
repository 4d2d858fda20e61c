import pathlib
import subprocess
import sys

from tests.simulate.fidelity_run_test import write_run

ROOT = pathlib.Path(__file__).parents[2]


def launch(*args):
    command = [sys.executable, str(ROOT / "launch" / "fidelity.py"), *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_table_is_printed_and_the_page_written_where_asked(tmp_path):
    out = tmp_path / "deep" / "page.html"
    result = launch("--run", write_run(tmp_path / "run", n_days=20), "--out", out)
    assert result.returncode == 0, result.stderr
    assert "statistics with a target are within tolerance" in result.stdout
    assert out.is_file()
    assert out.with_suffix(".json").is_file()


def test_a_missing_run_is_one_line_without_a_traceback(tmp_path):
    result = launch("--run", tmp_path / "absent")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
