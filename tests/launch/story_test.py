import importlib.util
import pathlib

import pytest

from tests.simulate.story_test import write_run

ROOT = pathlib.Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("story_script", ROOT / "launch" / "story.py")
assert _SPEC is not None
assert _SPEC.loader is not None
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)


@pytest.fixture
def run(tmp_path):
    return str(write_run(tmp_path / "run"))


def test_the_story_is_printed_or_written(run, tmp_path, capsys):
    script.main(["--run", run, "--user", "u0000001"])
    printed = capsys.readouterr().out
    assert printed.startswith("# u0000001")
    script.main(["--run", run, "--user", "u0000001", "--out", str(tmp_path / "story.md")])
    assert (tmp_path / "story.md").read_text() == printed


def test_pick_chooses_a_user(run, capsys):
    script.main(["--run", run, "--pick"])
    assert capsys.readouterr().out.startswith("# u0000000")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--user", "u9"], "no user 'u9'"),
        (["--run", "nowhere", "--pick"], "nowhere: no such run directory"),
        (["--pick", "--out", "no/such/file.md"], "--out no/such/file.md: cannot be written"),
    ],
)
def test_bad_input_ends_in_one_line(run, capsys, more, message):
    with pytest.raises(SystemExit):
        script.main(["--run", run, *more])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
