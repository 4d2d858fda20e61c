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
