import errno
import os
import subprocess
import sys

import pytest

from usergpt_jax.core import launch
from usergpt_jax.core.errors import InputError


def test_an_error_cannot_move_the_terminals_cursor(capsys):
    def work():
        raise InputError("columns \x1b[2J\x07 and Größe, 名")

    with pytest.raises(SystemExit) as stop:
        launch.exit_on_input_error(work)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: columns \\x1b[2J\\x07 and Größe, 名\n"


CONFIG = """
from ml_collections import ConfigDict

def get_config():
    return ConfigDict({"run_dir": "r", "seed": 0})
"""


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config=nowhere.py", "error: --config=nowhere.py: no such file\n"),
        ("--config=config.py", "error: config: key 'refine' is missing, and this stage needs it\n"),
    ],
)
def test_a_config_that_lacks_something_says_what(tmp_path, flag, message):
    (tmp_path / "config.py").write_text(CONFIG)
    code = "from usergpt_jax.core import launch; launch.main(lambda config, on_change: print(config.refine.kind))"
    result = subprocess.run([sys.executable, "-c", code, flag], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (2, message)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "Error writing bytes", "run/2_mub/a.parquet"), "run/2_mub/a.parquet"),
        (OSError(errno.EROFS, "Error writing bytes"), "run"),
        (OSError("No space left on device (os error 28)"), "run"),  # as Polars raises it
    ],
)
def test_a_disk_that_cannot_be_written_is_told_in_one_line(capsys, error, line):
    def work():
        raise error

    with pytest.raises(SystemExit) as stop:
        launch.exit_on_input_error(work, "run")
    assert stop.value.code == 2
    reason = os.strerror(error.errno or errno.ENOSPC)
    assert capsys.readouterr().err == f"error: {line}: cannot be written: {reason}\n"


def test_another_error_of_the_system_keeps_its_traceback():
    def work():
        raise FileNotFoundError(errno.ENOENT, "No such file", "a.parquet")

    with pytest.raises(FileNotFoundError):
        launch.exit_on_input_error(work)
