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
