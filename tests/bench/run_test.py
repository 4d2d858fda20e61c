import dataclasses
import gzip
import json
import pathlib
import shutil

import polars as pl
import pytest

from tests.models import tiny_bert
from usergpt_jax.bench.run import MODELS, run
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.split import SplitConfig, split_of
from usergpt_jax.schema import Result


@pytest.fixture(scope="module")
def folder(config):
    run(config, "refuse")
    return pathlib.Path(config.run_dir) / "6_bench"


@pytest.fixture(scope="module")
def results(folder):
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return {(r.model, r.task, r.metric, r.scope): r for r in (Result(**line) for line in lines)}


def test_no_item_is_of_a_user_who_trained(folder, config):
    split = SplitConfig(**config.split)
    users = pl.read_parquet(folder / "items.parquet")["user_id"].to_list()
    assert len(users) == len(set(users)) == config.bench.max_users
    assert {split_of(user, split) for user in users} == {"bench"}


def test_items_hold_the_truth(folder, truth):
    items = pl.read_parquet(folder / "items.parquet")
    joined = items.join(truth, on="user_id")
    assert joined["gold_pet"].to_list() == joined["pet"].to_list()


def test_every_model_of_the_run_and_every_baseline_is_measured(results):
    models = {model for model, *_ in results if " - " not in model}
    assert models == {"stage1", "stage3", "majority", "rule", "linear", "linear_mub"}


def test_linear_reads_what_majority_cannot(results, folder):
    gold = pl.read_parquet(folder / "items.parquet")["gold_pet"]
    for model in ("linear", "linear_mub"):
        assert results[model, "tags", "avg@2", "tag:pet"].value == 1.0
    assert results["majority", "tags", "avg@2", "tag:pet"].value == pytest.approx((gold == "cat").mean())


def test_an_untrained_model_is_malformed_and_scores_nothing(results):
    assert results["stage3", "tags", "format_failure", "all"].value == 1.0
    assert results["stage3", "tags", "avg@2", "all"].value == 0.0
    for metric in ("acc_ex", "cov_ex", "acc_attributes", "bleu_2", "judge_conciseness"):
        assert results["stage3", "summary", metric, "all"].value == 0.0


def test_a_tag_that_is_known_of_nobody_has_no_accuracy_on_known_ones(results):
    assert ("linear", "tags", "avg@2_known", "tag:gender") not in results
    assert results["linear", "tags", "avg@2_known", "all"].value == 1.0  # the pet alone


def test_models_are_compared_with_linear_pair_by_pair(results):
    difference = results["stage3 - linear", "tags", "avg@2", "all"]
    ours, theirs = (results[model, "tags", "avg@2", "all"].value for model in ("stage3", "linear"))
    assert difference.value == pytest.approx(ours - theirs)
    assert difference.low <= difference.value <= difference.high


def test_outputs_hold_every_text(folder, config):
    with gzip.open(folder / "outputs.jsonl.gz", "rt") as file:
        lines = [json.loads(line) for line in file]
    assert len(lines) == 6 * config.bench.max_users
    assert {len(texts) for line in lines for texts in line["tags"].values()} == {config.bench.n_samples}


def test_a_second_run_reuses_and_a_fresh_one_gives_the_same_bytes(folder, config, capsys):
    run(config, "refuse")
    assert "reused" in capsys.readouterr().out
    before = {name: (folder / name).read_bytes() for name in ("results.jsonl", "outputs.jsonl.gz", "items.parquet")}
    shutil.rmtree(folder)
    run(config, "refuse")
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_split_without_held_out_users_is_refused(config):
    other = config.copy_and_resolve_references()
    other.split.update({"sft_frac": 1.0, "rl_frac": 0.0, "bench_frac": 0.0})
    with pytest.raises(InputError, match="none of 60 users is in the split 'bench'"):
        run(other, "redo")


@pytest.mark.parametrize(("key", "value"), [("pass_k", (3,)), ("n_samples", 0), ("linear_c", 0.0)])
def test_an_impossible_config_is_refused_by_key(config, key, value):
    other = config.copy_and_resolve_references()
    other.bench[key] = value
    with pytest.raises(InputError, match=rf"config\.bench\.{key}"):
        run(other, "refuse")


def test_an_encoder_compares_open_lists_and_its_content_decides_the_stage(config, tmp_path, capsys):
    other = config.copy_and_resolve_references()
    other.run_dir = str(shutil.copytree(config.run_dir, tmp_path / "run", ignore=shutil.ignore_patterns("6_bench*")))
    other.bench.encoder = str(tiny_bert.write_bert(tmp_path / "one"))
    run(other, "refuse")
    results = pathlib.Path(other.run_dir) / "6_bench" / "results.jsonl"
    first = results.read_bytes()
    other.bench.encoder = str(tiny_bert.write_bert(tmp_path / "same"))
    run(other, "refuse")
    assert "reused" in capsys.readouterr().out
    shutil.rmtree(results.parent)
    run(other, "refuse")
    assert results.read_bytes() == first
    other.bench.encoder = str(tiny_bert.write_bert(tmp_path / "two", weights=tiny_bert.tensors(seed=1)))
    with pytest.raises(InputError, match=r"bench\.encoder"):
        run(other, "refuse")
    other.bench.encoder = str(tmp_path / "none")
    with pytest.raises(InputError, match="no such folder"):
        run(other, "redo")


def test_models_are_in_the_order_of_training():
    assert list(MODELS) == ["stage1", "stage2", "stage3", "df_grpo"]
    assert {field.name for field in dataclasses.fields(Result)} >= {"model", "low", "high"}
