import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import run as run_lib
from usergpt_jax.tags import HPR18


def config_at(folder, **changes) -> ConfigDict:
    simulate = {
        "n_users": 30,
        "start": "2024-09-02",
        "as_of": "2024-12-31",
        "users_per_batch": 8,
        "users_per_part": 12,
    }
    return ConfigDict(
        {"run_dir": str(folder), "seed": 2, "tag_schema": "hpr18", "simulate": ConfigDict(simulate | changes)}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run")
    run_lib.run(config_at(run_dir), "refuse")
    return run_dir / "1_events"


def test_files_have_the_declared_columns(folder):
    for name, expected in (("part", schema.EVENT_SCHEMA), ("provenance", schema.PROVENANCE_SCHEMA)):
        paths = sorted(folder.glob(f"{name}-*.parquet"))
        assert len(paths) == 3  # 30 users, 12 a part
        for path in paths:
            schema.check_columns(pq.read_schema(path), expected, str(path))
    schema.check_columns(pq.read_schema(folder / "users.parquet"), schema.truth_schema(HPR18.names), "users")


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
    assert events.columns == schema.EVENT_SCHEMA.names
    assert not {"cause", "need", "event_index"} & set(events.columns)


def test_truth_is_a_tag_value_or_na_and_hidden_values_agree(folder):
    users = pl.read_parquet(folder / "users.parquet")
    assert users["user_id"].to_list() == [f"u{number:07d}" for number in range(30)]
    for row in users.iter_rows(named=True):
        hidden = json.loads(row["persona"])
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
    assert events["title"].str.len_chars().min() > 0
    assert set(events["source"]) <= set(schema.SOURCES)


def test_a_finished_folder_is_reused(folder, capsys):
    run_lib.run(config_at(folder.parent), "refuse")
    assert "reused" in capsys.readouterr().out


def test_files_do_not_depend_on_the_batch_size(folder, tmp_path):
    run_lib.run(config_at(tmp_path, users_per_batch=24), "refuse")
    one, other = (pl.read_parquet(path / "part-*.parquet") for path in (folder, tmp_path / "1_events"))
    assert one.equals(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_users": 0}, "n_users"),
        ({"users_per_batch": 0}, "users_per_batch"),
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


def test_na_is_sane_over_two_years(batch, days):
    from usergpt_jax.simulate import truth

    table = truth.truth_table(batch, *days)
    shares = [np.mean(np.array(table[tag].to_pylist()) == schema.NA) for tag in HPR18.names]
    assert min(shares) > 0.03
    assert max(shares) < 0.4
    assert 0.08 < np.mean(shares) < 0.28
