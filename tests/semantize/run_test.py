import datetime
import errno
import json
import pathlib
import subprocess
import sys

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.models import tiny_bert
from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.semantize import run
from usergpt_jax.semantize.ingest import run as ingest_run
from usergpt_jax.semantize.ingest.event_map import default_map
from usergpt_jax.tasks.wording import number_lines

INGEST = pathlib.Path(__file__).parents[2] / "launch/ingest.py"
MAP = """
from ml_collections import ConfigDict


def get_config():
    return ConfigDict({"user_id": "uid", "time": "ts", "source": "ecommerce", "action": "purchase", "title": "name"})
"""


def save_events(events, folder, events_per_part):
    stage = run_dir.open_stage(folder, "1_events", config={"rows": events.height})
    ingest_run.write_parts(events, stage.path, events_per_part)
    stage.finish({})


def read(folder):
    return pl.read_parquet(folder / "2_mub" / "part-*.parquet")


def test_stage_writes_mub_with_a_tokenizer_and_reuses_it(tmp_path, events, run_config, capsys):
    save_events(events, tmp_path, events_per_part=250)
    config = run_config(tmp_path)
    run.run(config, "refuse")
    parts = sorted((tmp_path / "2_mub").glob("part-*.parquet"))
    assert len(parts) == len(sorted((tmp_path / "1_events").glob("part-*.parquet"))) == 3
    for part in parts:
        schema.check_columns(pq.read_schema(part), schema.MUB_SCHEMA, str(part))
    tokenizer = load_tokenizer(tmp_path / "2_mub/tokenizer")
    for row in read(tmp_path).iter_rows(named=True):
        assert row["mub_tokens"] == sum(len(tokenizer.encode(line)) for line in number_lines(row["mub"])) <= 200
    counts = run_dir.read_manifest(tmp_path, "2_mub").counts
    assert counts["users"] == 6
    assert counts["raw_tokens"] > counts["refined_tokens"] > counts["aggregated_tokens"] >= counts["mub_tokens"]
    run.run(config, "refuse")
    assert capsys.readouterr().out.endswith("2_mub: reused\n")


def test_two_runs_give_equal_files(tmp_path, events, run_config):
    for name in ("a", "b"):
        save_events(events, tmp_path / name, events_per_part=400)
        run.run(run_config(tmp_path / name), "refuse")
    assert read(tmp_path / "a").equals(read(tmp_path / "b"))


def test_a_disk_full_half_way_leaves_nothing_that_looks_complete_and_is_done_again(
    tmp_path, events, run_config, monkeypatch
):
    def full(table, where, **options):
        if pathlib.Path(where).name.startswith("part-00001.parquet"):
            pathlib.Path(where).write_bytes(b"PAR1 and half a part")
            raise OSError(errno.ENOSPC, "Error writing bytes to file")
        write_table(table, where, **options)

    for name in ("whole", "full"):
        save_events(events, tmp_path / name, events_per_part=250)
    run.run(run_config(tmp_path / "whole"), "refuse")
    write_table = pq.write_table
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="Error writing bytes") as stop:
        run.run(run_config(tmp_path / "full"), "refuse")
    partial = tmp_path / "full/2_mub.partial"
    assert (stop.value.errno, stop.value.filename) == (errno.ENOSPC, f"{partial}/part-00001.parquet")
    assert sorted(one.name for one in (tmp_path / "full").iterdir()) == ["1_events", "2_mub.partial"]
    assert not (partial / "manifest.json").exists()
    assert not (partial / "part-00001.parquet").exists()
    assert len(list(partial.glob("part-00001.parquet.*.tmp"))) == 1
    monkeypatch.undo()
    run.run(run_config(tmp_path / "full"), "refuse")
    made, expected = (files_of(tmp_path / name / "2_mub") for name in ("full", "whole"))
    assert made == expected


def files_of(folder):
    """Every file, with the bytes of the tables; the tokenizer holds the folder's name, the manifest times."""
    files = (one for one in folder.rglob("*") if one.is_file())
    return {str(one.relative_to(folder)): one.suffix == ".parquet" and one.read_bytes() for one in files}


def test_how_the_log_is_cut_changes_neither_mubs_nor_tokenizer(tmp_path, more_events, run_config):
    made = []
    for name, events_per_part in (("one", 10_000), ("many", 60)):
        save_events(more_events(n_users=9, n_events=40), tmp_path / name, events_per_part=events_per_part)
        run.run(run_config(tmp_path / name), on_change="refuse")
        tokenizer = load_tokenizer(tmp_path / name / "2_mub/tokenizer")
        pieces = [tokenizer.decode([number]) for number in range(tokenizer.vocab_size)]
        made.append((read(tmp_path / name).sort("user_id").to_dicts(), pieces))
    assert made[0] == made[1]


def test_a_vocabulary_too_small_for_the_text_is_refused_and_the_old_result_stays(tmp_path, events, run_config):
    save_events(events, tmp_path, events_per_part=1000)
    config = run_config(tmp_path)
    run.run(config, on_change="refuse")
    before = files_of(tmp_path / "2_mub")
    config.tokenizer.vocab_size = 20
    with pytest.raises(InputError, match="tokenizer of 20 ids: Vocabulary size is smaller"):
        run.run(config, on_change="redo")
    assert files_of(tmp_path / "2_mub") == before


def test_another_tokenizer_section_is_another_stage(tmp_path, events, run_config):
    save_events(events, tmp_path, events_per_part=1000)
    config = run_config(tmp_path)
    run.run(config, "refuse")
    config.tokenizer.vocab_size = 600
    with pytest.raises(run_dir.RunDirError, match=r"tokenizer.vocab_size: 700 there, 600 here"):
        run.run(config, "refuse")


def test_truth_sets_as_of_per_user(tmp_path, events, run_config):
    save_events(events, tmp_path, events_per_part=1000)
    users = events["user_id"].unique().sort()
    times = [f"2024-0{i + 1}-01" for i in range(len(users))]
    truth = pl.DataFrame({"user_id": users, "as_of": pl.Series(times).str.to_datetime("%Y-%m-%d", time_unit="ms")})
    truth.write_parquet(tmp_path / "1_events/users.parquet")
    run.run(run_config(tmp_path, as_of=""), "refuse")
    assert read(tmp_path).sort("user_id").select("user_id", "as_of").equals(truth)


def test_a_user_without_truth_is_refused_by_name(tmp_path, events, run_config):
    save_events(events, tmp_path, events_per_part=1000)
    truth = pl.DataFrame({"user_id": ["u000"], "as_of": events["time"].max()})
    truth.write_parquet(tmp_path / "1_events/users.parquet")
    with pytest.raises(InputError, match="user 'u001' has events but no as_of in the truth"):
        run.run(run_config(tmp_path, as_of=""), "refuse")
    assert not (tmp_path / "2_mub").exists()


def test_an_unknown_tag_schema_is_refused(tmp_path, events, run_config):
    save_events(events, tmp_path, events_per_part=1000)
    config = run_config(tmp_path)
    config.tag_schema = "hpr99"
    with pytest.raises(InputError, match="hpr99"):
        run.run(config, "refuse")


def test_a_folder_without_events_is_refused(tmp_path, run_config):
    run_dir.open_stage(tmp_path, "1_events", config={}).finish({})
    with pytest.raises(InputError, match="no part-"):
        run.run(run_config(tmp_path), "refuse")


def test_an_imported_log_runs_through_semantize(tmp_path, run_config, capsys):
    (tmp_path / "map.py").write_text(MAP)
    (tmp_path / "log.csv").write_text(
        "uid,ts,name\n" + "".join(f"u{i % 9},2025-01-{i % 28 + 1},RED LUNCH BAG {i}\n" for i in range(90))
    )
    ingest_run.run(str(tmp_path / "log.csv"), str(tmp_path / "map.py"), str(tmp_path / "run"), "refuse")
    assert "90 rows read, 90 events of 9 users" in capsys.readouterr().out
    assert json.loads((tmp_path / "run/1_events/import_report.json").read_text())["events"] == 90
    config = run_config(tmp_path / "run", as_of="")
    run.run(config, "refuse")
    assert all("Lunch Bag" in text for text in read(tmp_path / "run")["mub"])


def test_a_broken_log_leaves_nothing_that_looks_complete(tmp_path):
    (tmp_path / "map.py").write_text(MAP)
    (tmp_path / "log.csv").write_text("uid,ts,name\na,never,Tea\n")
    with pytest.raises(InputError):
        ingest_run.run(str(tmp_path / "log.csv"), str(tmp_path / "map.py"), str(tmp_path / "run"), "refuse")
    assert not (tmp_path / "run/1_events").exists()


def test_a_map_file_with_an_unknown_key_names_file_and_key(tmp_path):
    (tmp_path / "map.py").write_text(MAP.replace('"title"', '"tittle"'))
    with pytest.raises(InputError, match=r"map.py: config.map: unknown key 'tittle'"):
        ingest_run.run(str(tmp_path / "log.csv"), str(tmp_path / "map.py"), str(tmp_path / "run"), "refuse")


def test_parts_never_split_a_user(tmp_path, more_events):
    ingest_run.write_parts(more_events(n_users=7, n_events=30), tmp_path, events_per_part=50)
    users = [set(pl.read_parquet(part)["user_id"]) for part in sorted(tmp_path.glob("part-*.parquet"))]
    assert len(users) > 1
    assert sum(map(len, users)) == len(set().union(*users)) == 7


def test_default_map_declares_every_key():
    assert default_map().negative_quantity == "drop"


def test_launch_script_prints_one_line_on_bad_input(tmp_path):
    (tmp_path / "map.py").write_text(MAP)
    flags = ["--events", str(tmp_path / "no.csv"), "--map", str(tmp_path / "map.py"), "--run", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, str(INGEST), *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'no.csv'}: no such log file\n"


def test_titles_without_category_are_mapped_where_sure(tmp_path, event_rows, run_config, capsys):
    row = {"user_id": "a", "time": datetime.datetime(2025, 6, 30), "source": "ecommerce", "action": "purchase"}
    titles = ["Royal Fur premium dog food 5 kg", "RETRO ZINC QUIBBLE", "Yoga mats, pack of 2"]
    save_events(event_rows([{**row, "title": title} for title in titles * 9]), tmp_path, events_per_part=1000)
    config = run_config(tmp_path)
    config.categories.map = True
    run.run(config, "refuse")
    text = read(tmp_path)["mub"].item()
    assert "Dog Food" in text
    assert "Yoga Mat" in text
    assert "Quibble" in text
    counts = run_dir.read_manifest(tmp_path, "2_mub").counts
    assert (counts["mapped_title"], counts["mapped_other"]) == (2, 1)
    assert "unmapped words: " in capsys.readouterr().out


def test_an_encoder_finds_nearest_leaves_and_its_content_decides_the_stage(tmp_path, event_rows, run_config, capsys):
    row = {"user_id": "a", "time": datetime.datetime(2025, 6, 30), "source": "ecommerce", "action": "purchase"}
    titles = ["Royal Fur premium dog food 5 kg", "RETRO ZINC QUIBBLE", "red wooden cup of music"]
    save_events(event_rows([{**row, "title": title} for title in titles * 9]), tmp_path, events_per_part=1000)
    config = run_config(tmp_path)
    config.categories.map = True
    config.categories.sources = ("travel",)  # few leaves, quickly read
    config.categories.threshold = 0.0
    made = []
    for name in ("one", "same", "two"):
        weights = tiny_bert.tensors(seed=int(name == "two"))
        config.categories.encoder = str(tiny_bert.write_bert(tmp_path / name, weights=weights))
        if name == "two":
            with pytest.raises(run_dir.RunDirError, match=r"categories\.encoder"):
                run.run(config, "refuse")
        run.run(config, "redo")
        made.append(read(tmp_path)["mub"].item())
        out = capsys.readouterr().out
        assert ("reused" in out) == (name == "same")
        assert name == "same" or "config.categories.encoder: confidence fitted on the catalogue's names: bias" in out
    assert run_dir.read_manifest(tmp_path, "2_mub").counts["mapped_nearest"] > 0
    run_dir_two = tmp_path / "again"
    save_events(pl.concat(map(pl.read_parquet, sorted((tmp_path / "1_events").glob("part-*")))), run_dir_two, 1000)
    config.run_dir = str(run_dir_two)
    run.run(config, "refuse")
    assert read(run_dir_two)["mub"].item() == made[2]
    config.categories.encoder = str(tmp_path / "none")
    with pytest.raises(InputError, match="none: no such folder"):
        run.run(config, "redo")


def test_another_refiner_has_a_cache_and_is_another_stage(tmp_path, events, run_config):
    save_events(events, tmp_path, events_per_part=1000)
    config = run_config(tmp_path)
    run.run(config, "refuse")
    config.refine.kind = "rules"
    with pytest.raises(run_dir.RunDirError, match="refiner: "):
        run.run(config, "refuse")
    run.run(config, "redo")
    first = run_dir.read_manifest(tmp_path, "2_mub").counts
    assert first["refined_made"] == first["titles"]
    config.semantize.top_k = 3
    run.run(config, "redo")
    assert run_dir.read_manifest(tmp_path, "2_mub").counts["refined_known"] == first["titles"]
