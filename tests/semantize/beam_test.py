"""The pipeline on Apache Beam gives what a run on one machine gives."""

import sys

import polars as pl
import pytest

from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import beam_executor, run
from usergpt_jax.semantize.ingest.run import write_parts


def test_without_beam_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install 'usergpt_jax\[beam\]'"):
        beam_executor.executor([], tmp_path)


@pytest.mark.filterwarnings("ignore")  # of Beam's own making
def test_beam_equals_the_run_on_one_machine(tmp_path, events, run_config):
    pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")
    made = {}
    for name in ("here", "beam"):
        stage = run_dir.open_stage(tmp_path / name, "1_events", config={})
        write_parts(events, stage.path, 150)
        stage.finish({})
        config = run_config(tmp_path / name)
        scratch = tmp_path / name / "scratch"
        executor = beam_executor.executor(["--runner=DirectRunner"], scratch) if name == "beam" else None
        run.run(config, "refuse", executor)
        assert not scratch.exists()
        paths = sorted((tmp_path / name / "2_mub").glob("part-*.parquet"))
        made[name] = [pl.read_parquet(path) for path in paths], run_dir.read_manifest(tmp_path / name, "2_mub").counts
    assert len(made["here"][0]) > 2
    assert all(here.equals(there) for here, there in zip(made["here"][0], made["beam"][0], strict=True))
    assert made["here"][1] == made["beam"][1]
