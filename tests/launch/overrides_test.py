import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--config.simulate.foo=1"], "--config.simulate.foo: unknown config key; expected one that the config file"),
        (["--config.simulate.n_user=1"], 'Did you mean "n_users" instead of "n_user"?'),
        (["--config.seed=1", "--config.simulate.seed=1"], "--config.simulate.seed: unknown config key"),
        (["--config.seed=1", "--config.nothing.at.all=1"], "--config.nothing.at.all: unknown config key"),
        (["--config.simulate.n_users.most=1"], "--config.simulate.n_users.most: unknown config key"),
    ],
)
def test_an_unknown_key_is_one_line_with_the_whole_key(overrides, message, tmp_path):
    command = [sys.executable, str(ROOT / "launch" / "simulate.py"), "--config=configs/quickstart.py"]
    command += [f"--config.run_dir={tmp_path}", *overrides]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
