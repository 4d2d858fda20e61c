import json

import pytest

from usergpt_jax.core import run_dir
from usergpt_jax.core.run_dir import RunDirError


def make(run, name="1_a", config=None, inputs=(), **kwargs):
    stage = run_dir.open_stage(run, name, config=config or {"n": 1}, inputs=inputs, **kwargs)
    if stage is not None:
        stage.clear()
        (stage.path / "data.txt").write_text("x")
        stage.finish({"rows": 1})
    return stage


def test_a_complete_stage_of_the_same_config_is_reused(tmp_path):
    assert make(tmp_path) is not None
    assert make(tmp_path) is None
    assert run_dir.read_manifest(tmp_path, "1_a").counts == {"rows": 1}


def test_another_config_is_refused_by_the_name_of_the_key(tmp_path):
    make(tmp_path, config={"section": {"lr": 1, "same": 2}})
    with pytest.raises(RunDirError, match=r"section\.lr: 1 there, 3 here"):
        make(tmp_path, config={"section": {"lr": 3, "same": 2}})


def test_another_config_is_redone_on_request(tmp_path):
    make(tmp_path)
    assert make(tmp_path, config={"n": 2}, on_change="redo") is not None
    assert run_dir.read_manifest(tmp_path, "1_a").config == {"n": 2}


def test_a_finished_stage_stays_until_its_successor_is_finished(tmp_path):
    make(tmp_path)
    stage = run_dir.open_stage(tmp_path, "1_a", config={"n": 2}, on_change="redo")
    assert stage is not None
    assert run_dir.read_manifest(tmp_path, "1_a").config == {"n": 1}
    stage.finish({})
    assert run_dir.read_manifest(tmp_path, "1_a").config == {"n": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1_a"]


def test_a_kill_between_the_old_folder_and_the_new_one_loses_neither_for_good(tmp_path, monkeypatch):
    make(tmp_path)
    stage = run_dir.open_stage(tmp_path, "1_a", config={"n": 2}, on_change="redo")
    renames = iter((run_dir.os.rename, None))
    monkeypatch.setattr(run_dir.os, "rename", lambda *paths: next(renames)(*paths))
    with pytest.raises(TypeError):
        stage.finish({})
    monkeypatch.undo()
    assert not (tmp_path / "1_a").exists()
    assert make(tmp_path) is None  # the old one is there again
    assert make(tmp_path, config={"n": 2}, on_change="redo") is not None
    assert run_dir.read_manifest(tmp_path, "1_a").config == {"n": 2}


def test_a_changed_input_makes_the_next_stage_stale(tmp_path):
    make(tmp_path)
    make(tmp_path, "2_b", inputs=("1_a",))
    make(tmp_path, config={"n": 2}, on_change="redo")
    with pytest.raises(RunDirError, match="input 1_a has changed"):
        make(tmp_path, "2_b", inputs=("1_a",))


def test_a_stage_without_its_input_says_what_to_run(tmp_path):
    with pytest.raises(RunDirError, match="run the stage that makes 1_a first"):
        make(tmp_path, "2_b", inputs=("1_a",))


def test_a_killed_stage_leaves_nothing_that_looks_complete_and_is_resumed(tmp_path):
    stage = run_dir.open_stage(tmp_path, "1_a", config={"n": 1})
    (stage.path / "half.txt").write_text("half")
    assert not (tmp_path / "1_a").exists()
    again = run_dir.open_stage(tmp_path, "1_a", config={"n": 1})
    assert (again.path / "half.txt").exists()


def test_what_a_killed_stage_of_another_config_left_is_thrown_away(tmp_path):
    stage = run_dir.open_stage(tmp_path, "1_a", config={"n": 1})
    (stage.path / "half.txt").write_text("half")
    again = run_dir.open_stage(tmp_path, "1_a", config={"n": 2})
    assert not (again.path / "half.txt").exists()


def test_a_foreign_folder_is_never_overwritten(tmp_path):
    (tmp_path / "1_a").mkdir()
    with pytest.raises(RunDirError, match="move it away"):
        make(tmp_path)


def test_a_broken_manifest_is_named(tmp_path):
    make(tmp_path)
    (tmp_path / "1_a" / "manifest.json").write_text("{")
    with pytest.raises(RunDirError, match=r"manifest\.json is not valid JSON"):
        make(tmp_path)
    (tmp_path / "1_a" / "manifest.json").write_text(json.dumps({"stage": "1_a"}))
    with pytest.raises(RunDirError, match="not a manifest"):
        make(tmp_path)


def test_lists_and_tuples_of_a_config_hash_alike(tmp_path):
    make(tmp_path, config={"n": (1, 2)})
    assert make(tmp_path, config={"n": [1, 2]}) is None


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(run_dir.RunDirError, match="run: expected a run directory, found a file"):
        run_dir.open_stage(tmp_path / "run", "1_events", config={})
