"""A day added to the state of the days before equals the whole log semantized again."""

import datetime

import polars as pl
import pytest

from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.semantize import day_run, increment, pipeline, run
from usergpt_jax.semantize.ingest.run import write_parts

FIRST, SECOND, THIRD = (datetime.datetime(2025, 6, day) for day in (1, 2, 20))


@pytest.fixture
def make_config(run_config):
    def make(folder, as_of, **changes):
        return run_config(folder, **{"as_of": f"{as_of:%Y-%m-%d}", "keep_state": True, **changes})

    return make


def save(events, folder, events_per_part=250):
    stage = run_dir.open_stage(folder, "1_events", config={"rows": events.height})
    write_parts(events, stage.path, events_per_part)
    stage.finish({})


def mubs(folder):
    return pl.read_parquet(folder / "2_mub" / "part-*.parquet").sort("user_id")


@pytest.fixture
def log(more_events, event_rows):
    """Two years of some users; a user who comes on the last day alone; purchases returned days later."""
    events = more_events(n_users=5, n_events=150).filter(pl.col("time") < THIRD)
    row = {"source": "ecommerce", "action": "purchase", "title": "Pampers Diapers Size L 44 pcs", "category": "Diapers"}
    at = datetime.datetime(2025, 5, 3, 9)
    returned = [
        {**row, "user_id": "u001", "time": at, "item_id": "gone", "quantity": 1.0, "price": 9.0},
        {**row, "user_id": "u001", "time": FIRST, "item_id": "gone", "quantity": -1.0, "price": 9.0},
        {**row, "user_id": "u002", "time": at, "item_id": "gone", "quantity": 2.0, "price": 9.0},
        {**row, "user_id": "u002", "time": SECOND, "item_id": "gone", "quantity": -2.0, "price": 9.0},
        {**row, "user_id": "a new one", "time": SECOND, "item_id": "fresh", "quantity": 1.0, "price": 3.0},
        {**row, "user_id": "u003", "time": SECOND, "title": "Kite", "category": "Kites", "place": "Beijing"},
    ]
    loop = [{**row, "user_id": "u004", "time": SECOND, "action": "click", "price": 2.0}] * 30
    return pl.concat([events, event_rows(returned + loop)]).sort("user_id", "time", maintain_order=True)


def test_days_one_by_one_equal_the_whole_log(tmp_path, log, make_config, semantize_config):
    first = log.filter(pl.col("time") < FIRST)
    save(first, tmp_path / "first")
    run.run(make_config(tmp_path / "first", FIRST), "refuse")
    before, low = tmp_path / "first", FIRST
    for name, as_of in (("second", SECOND), ("third", THIRD)):
        save(log.filter(pl.col("time").is_between(low, as_of, closed="left")), tmp_path / name)
        day_run.run_day(make_config(tmp_path / name, as_of), str(before), "refuse")
        before, low = tmp_path / name, as_of
    # The whole log again, counted with the tokenizer of the first day.
    tokenizer = load_tokenizer(tmp_path / "first/2_mub/tokenizer")
    config = semantize_config(as_of=f"{THIRD:%Y-%m-%d}", max_mub_tokens=200)
    whole = pipeline.semantize_events(log, config, tokenizer).mub
    assert mubs(tmp_path / "third").equals(whole)
    counts = run_dir.read_manifest(tmp_path / "third", "2_mub").counts
    assert counts["events"] == whole["n_events"].sum()
    assert counts["raw_chars"] == whole["raw_chars"].sum()
    assert "Kites" in whole.filter(pl.col("user_id") == "u003")["mub"].item()


def test_the_state_forgets_what_no_window_will_show_again(tmp_path, log, make_config):
    save(log, tmp_path)
    run.run(make_config(tmp_path, THIRD), "refuse")
    folder = tmp_path / "2_mub" / increment.FOLDER
    kept = pl.concat([increment.read_part(folder, i).events for i in range(increment.read_log(folder).n_parts)])
    old = kept.filter(pl.col("time") < THIRD - datetime.timedelta(days=7))
    assert set(old["action"]) <= {"purchase", "visit"}
    assert kept.height < log.height / 2


@pytest.mark.parametrize(
    ("time", "message"),
    [
        (FIRST - datetime.timedelta(seconds=1), "is before 2025-06-01, which the state already covers"),
        (SECOND, "is not before as_of 2025-06-02"),
    ],
)
def test_an_event_outside_the_day_is_refused(tmp_path, log, make_config, time, message):
    save(log.filter(pl.col("time") < FIRST), tmp_path / "first")
    run.run(make_config(tmp_path / "first", FIRST), "refuse")
    save(log.head(1).with_columns(pl.lit(time).cast(pl.Datetime("ms")).alias("time")), tmp_path / "second")
    config = make_config(tmp_path / "second", SECOND)
    with pytest.raises(InputError, match=message):
        day_run.run_day(config, str(tmp_path / "first"), "refuse")
    assert not (tmp_path / "second/2_mub").exists()


def test_a_run_without_state_and_another_config_are_refused(tmp_path, log, make_config):
    save(log.filter(pl.col("time") < FIRST), tmp_path / "first")
    run.run(make_config(tmp_path / "first", FIRST, keep_state=False), "refuse")
    save(log.filter(pl.col("time") >= FIRST), tmp_path / "second")
    config = make_config(tmp_path / "second", THIRD)
    with pytest.raises(InputError, match="keep_state: False in the run before, True here"):
        day_run.run_day(config, str(tmp_path / "first"), "refuse")
    run.run(make_config(tmp_path / "first", FIRST), "redo")
    config = make_config(tmp_path / "second", THIRD, top_k=9)
    with pytest.raises(InputError, match=r"top_k: 8 in the run before, 9 here"):
        day_run.run_day(config, str(tmp_path / "first"), "refuse")


def test_a_day_cannot_follow_itself(tmp_path, log, make_config):
    save(log.filter(pl.col("time") < FIRST), tmp_path)
    run.run(make_config(tmp_path, FIRST), "refuse")
    before = mubs(tmp_path)
    with pytest.raises(InputError, match="got the run of the new day itself"):
        day_run.run_day(make_config(tmp_path, SECOND), f"{tmp_path}/../{tmp_path.name}", "redo")
    assert mubs(tmp_path).equals(before)


def test_event_columns_of_the_state_are_those_of_a_log():
    assert increment.empty_part().events.columns == [*schema.EVENT_SCHEMA.names, "event_index"]
