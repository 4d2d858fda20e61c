import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import catalog, part_file, tools
from usergpt_jax.simulate import run as run_lib
from usergpt_jax.tags import HPR18

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = {
    "locale": "cn",
    "n_users": 30,
    "start": "2024-09-02",
    "as_of": "2024-12-31",
    "users_per_part": 12,
    "users_per_batch": 8,
    "workers": 2,
}


def config_at(folder, **changes) -> ConfigDict:
    schema_name = "hpr18" if changes.get("locale", "cn") == "cn" else "hpr18_us"
    return ConfigDict(
        {"run_dir": str(folder), "seed": 2, "tag_schema": schema_name, "simulate": ConfigDict(SETTINGS | changes)}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    run_lib.run(config_at(run_dir), "refuse")
    return run_dir / "1_events"


def contents(folder) -> dict[str, bytes]:
    """Bytes of every file; of the manifest all but the time it took."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    return files | {"manifest": json.dumps({k: v for k, v in manifest.items() if k != "wall_seconds"}).encode()}


def test_files_have_the_declared_columns(folder):
    for name, expected in (("part", schema.EVENT_SCHEMA), ("provenance", schema.PROVENANCE_SCHEMA)):
        paths = sorted(folder.glob(f"{name}-*.parquet"))
        assert len(paths) == 3  # 30 users, 12 a part
        for path in paths:
            schema.check_columns(pq.read_schema(path), expected, str(path))
    schema.check_columns(pq.read_schema(folder / "users.parquet"), schema.truth_schema(HPR18.names), "users")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{name}-{part:05d}.parquet" for name in ("part", "provenance") for part in range(3)]
        + ["users.parquet", "items.parquet", "quality.json", "manifest.json"]
    )


def test_text_is_dictionary_encoded(folder):
    group = pq.ParquetFile(folder / "part-00000.parquet").metadata.row_group(0)
    for column in map(group.column, range(group.num_columns)):
        if column.path_in_schema in ("user_id", "source", "action", "title", "category", "item_id", "place"):
            assert "RLE_DICTIONARY" in column.encodings
            assert "PLAIN" not in column.encodings[1:]


def test_a_user_never_spans_parts(folder):
    parts = [set(pl.read_parquet(path)["user_id"]) for path in sorted(folder.glob("part-*.parquet"))]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert max(parts[0]) < min(parts[1])


def test_provenance_covers_every_event_and_stays_out_of_the_log(folder):
    events = pl.read_parquet(folder / "part-*.parquet")
    provenance = pl.read_parquet(folder / "provenance-*.parquet")
    assert events["user_id"].to_list() == provenance["user_id"].to_list()
    for _, index in provenance.group_by("user_id", maintain_order=True).agg("event_index").iter_rows():
        assert index == list(range(len(index)))
    assert set(provenance["cause"]) <= set(schema.CAUSES)
    assert set(provenance["outcome"]) <= set(schema.OUTCOMES)
    assert events.columns == schema.EVENT_SCHEMA.names
    assert not {"cause", "need", "event_index", "session", "tool", "outcome"} & set(events.columns)


def test_the_tool_of_an_event_leaves_its_action_on_its_platform(folder):
    graph = tools.load("cn")
    log = pl.concat(
        [pl.read_parquet(folder / "part-*.parquet"), pl.read_parquet(folder / "provenance-*.parquet").drop("user_id")],
        how="horizontal",
    )
    for tool, source, action in log.select("tool", "source", "action").unique().rows():
        number = graph.number(tool)
        assert schema.SOURCES[graph.sources[number]] == source
        assert schema.ACTIONS[graph.emits[number]] == action


def test_truth_is_a_tag_value_or_na_and_hidden_values_agree(folder):
    users = pl.read_parquet(folder / "users.parquet")
    assert users["user_id"].to_list() == [f"u{number:07d}" for number in range(30)]
    for row in users.iter_rows(named=True):
        hidden = json.loads(row["persona"])
        assert HPR18.violations({name: hidden[name] for name in HPR18.names}) == []
        assert row["observable"] == [tag.name for tag in HPR18.tags if row[tag.name] != schema.NA]
        for tag in HPR18.tags:
            assert row[tag.name] != ""
            if tag.values:
                assert row[tag.name] in (*tag.values, schema.NA)
            if tag.name == "interests":
                kept = [] if row[tag.name] == schema.NA else row[tag.name].split(", ")
                assert [word for word in hidden["interests"].split(", ") if word in kept] == kept
            else:
                assert row[tag.name] in (hidden[tag.name], schema.NA)


def test_search_events_carry_no_item_and_visits_a_place(folder):
    events = pl.read_parquet(folder / "part-*.parquet")
    assert events.filter(pl.col("action") == "search")["item_id"].null_count() == (events["action"] == "search").sum()
    assert events.filter(pl.col("action") == "visit")["place"].null_count() == 0
    assert (events["title"].str.len_chars() > 0).all()
    assert set(events["source"]) <= set(schema.SOURCES)


def test_items_are_those_of_the_catalogue(folder):
    items = pl.read_parquet(folder / "items.parquet")
    assert len(items) > 20_000
    assert items["item_id"].is_unique().all()
    bought = pl.read_parquet(folder / "part-*.parquet")["item_id"].drop_nulls()
    assert set(bought) <= set(items["item_id"])
    assert set(pl.read_parquet(folder / "part-*.parquet")["title"].unique()) <= set(catalog.load("cn").titles)


def test_a_finished_folder_is_reused(folder, capsys):
    run_lib.run(config_at(folder.parent, workers=1, users_per_batch=5), "refuse")
    assert "reused" in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{"users_per_batch": 24}, {"workers": 1, "users_per_batch": 5}])
def test_files_do_not_depend_on_batches_and_workers(folder, tmp_path, changes):
    run_lib.run(config_at(tmp_path, **changes), "refuse")
    assert contents(tmp_path / "1_events") == contents(folder)


def test_row_groups_do_not_depend_on_batches(folder, tmp_path, monkeypatch):
    """Here groups of 5 users, in batches of 8 and of 3."""
    monkeypatch.setattr(part_file, "ROW_GROUP_USERS", 5)
    for name, size in (("a", 8), ("b", 3)):
        run_lib.run(config_at(tmp_path / name, users_per_batch=size), "refuse")
    assert contents(tmp_path / "a" / "1_events") == contents(tmp_path / "b" / "1_events")
    assert pq.ParquetFile(tmp_path / "a" / "1_events" / "part-00000.parquet").num_row_groups == 3
    both = (pl.read_parquet(path / "part-*.parquet") for path in (folder, tmp_path / "a" / "1_events"))
    assert next(both).equals(next(both))


def test_more_users_leave_the_first_ones_as_they_were(folder, tmp_path):
    run_lib.run(config_at(tmp_path, n_users=36), "refuse")
    for name in ("part-00000.parquet", "part-00001.parquet", "provenance-00001.parquet"):
        assert (tmp_path / "1_events" / name).read_bytes() == (folder / name).read_bytes()


def test_a_stopped_run_goes_on_with_the_missing_parts(folder, tmp_path, monkeypatch):
    made = []
    close = part_file.PartWriter.close

    def fail_after_two(self):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(self)
        close(self)

    monkeypatch.setattr(part_file.PartWriter, "close", fail_after_two)
    with pytest.raises(KeyboardInterrupt):
        run_lib.run(config_at(tmp_path, workers=1), "refuse")
    assert not (tmp_path / "1_events").exists()
    kept = (tmp_path / "1_events.partial" / "part-00000.parquet").stat().st_mtime_ns
    monkeypatch.setattr(part_file.PartWriter, "close", close)
    run_lib.run(config_at(tmp_path, workers=1), "refuse")
    assert (tmp_path / "1_events" / "part-00000.parquet").stat().st_mtime_ns == kept
    assert contents(tmp_path / "1_events") == contents(folder)


def test_two_processes_make_the_same_files(folder, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    path = tmp_path / "config.py"
    path.write_text(
        "from ml_collections import ConfigDict\n\ndef get_config():\n"
        f"    return ConfigDict({{'run_dir': {str(tmp_path)!r}, 'seed': 2, 'tag_schema': 'hpr18',\n"
        f"        'simulate': ConfigDict({SETTINGS!r})}})\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    command = [sys.executable, str(ROOT / "launch" / "simulate.py"), f"--config={path}"]
    command += [f"--coordinator=localhost:{port}", "--n_processes=2"]
    processes = [
        subprocess.Popen([*command, f"--process_id={n}"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for n in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert contents(tmp_path / "1_events") == contents(folder)


def test_another_locale_needs_data_files_only(tmp_path):
    run_lib.run(config_at(tmp_path, locale="us", n_users=8), "refuse")
    users = pl.read_parquet(tmp_path / "1_events" / "users.parquet")
    home = json.loads(users["persona"][0])
    assert home["resident_province"] not in HPR18["resident_province"].values
    events = pl.read_parquet(tmp_path / "1_events" / "part-00000.parquet")
    assert len(events) > 200
    assert not np.isnan(events["price"].drop_nulls().to_numpy()).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_users": 0}, "n_users"),
        ({"users_per_batch": 0}, "users_per_batch"),
        ({"workers": 0}, "workers"),
        ({"locale": "fr"}, "'fr' is not one of cn, us"),
        ({"as_of": "2024-08-31"}, "after start 2024-09-02"),
        ({"as_of": "2024-09-02"}, "after start 2024-09-02"),
        ({"start": "01.09.2024"}, "'01.09.2024'"),
        ({"start": "1999-09-01"}, "2015-2027"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        run_lib.run(config_at(tmp_path, **changes), "refuse")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "1_events").exists()


def test_a_locale_needs_its_own_tags(tmp_path):
    config = config_at(tmp_path, locale="us")
    config.tag_schema = "hpr18"
    with pytest.raises(InputError, match="locale 'us' needs 'hpr18_us', got 'hpr18'"):
        run_lib.run(config, "refuse")
