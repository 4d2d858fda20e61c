"""The stage against plain pandas, which shares no code with it."""

import datetime

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from benchmarks import semantize
from configs import quickstart
from usergpt_jax import schema
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.semantize import budget, pipeline, salience
from usergpt_jax.semantize.config import SemantizeConfig

AS_OF = datetime.datetime(2025, 3, 31)
TITLES = [
    ("ecommerce", "Women's Dress Size M", "Womens Dress"),
    ("ecommerce", "Women's Dress Size L", "Womens Dress"),
    ("ecommerce", "Kids Dress", "Womens Dress"),
    ("ecommerce", "Kids Dress", "Kids > Dress"),
    ("ecommerce", "METAL T-LIGHT HOLDER", None),
    ("ecommerce", "!!!", None),
    ("delivery", "Bubble Tea, large | [hot]", "Bubble Tea"),
    ("travel", "Train G1 to Beijing", "Train Ticket"),
    ("travel", "Beijing", None),
    ("poi", "Library", "Library"),
    ("other", "news", "News"),
]
PLACES = ["Beijing", "Xihu District, Hangzhou", "12 Nowhere Road", None, None]


def random_log(seed, n_users=12, n_events=150, seconds=6):
    """Few titles at few times: ties, repeats, robots and returns abound; some events are not before `as_of`."""
    rng = np.random.default_rng(seed)
    ages = [*rng.integers(-5, 800, 12), 0, 0, 1, 3, 31, 34]
    rows = []
    for user in range(n_users):
        for _ in range(n_events):
            source, title, category = TITLES[rng.integers(len(TITLES))]
            action = str(rng.choice([*schema.ACTIONS, "purchase", "purchase"]))
            second = -int(rng.choice(ages)) * 86400 + int(rng.integers(-seconds, seconds))
            rows.append(
                {
                    "user_id": f"u{user:03d}",
                    "time": AS_OF + datetime.timedelta(seconds=second),
                    "source": source,
                    "action": action,
                    "title": title,
                    "category": category,
                    "item_id": rng.choice(["1", "2", None]),
                    "place": PLACES[rng.integers(len(PLACES))],
                    "price": rng.choice([1.0, 2.5, 3.0, 9.99, None]),
                    "quantity": rng.choice([1.0, 1.0, 0.0, -1.0, None]),
                }
            )
    rows.sort(key=lambda row: (row["user_id"], row["time"]))
    return pl.DataFrame(rows, schema_overrides={"price": pl.Float32, "quantity": pl.Float32})


def text_of_both(log, **changed):
    pd = pytest.importorskip("pandas")
    from benchmarks import pandas_semantize

    config = quickstart.get_config().semantize
    config.update(changed)
    section = to_dataclass(SemantizeConfig, config, "semantize")
    table = log.to_arrow()
    known = pipeline.survey_table(table, section, AS_OF)
    prepared = pipeline.prepare(table, section, known, AS_OF)
    top = salience.top_k(prepared.slices, section.top_k, section.top_places)
    made = budget.write_all(top)
    ours = dict(zip(prepared.log.users.gather(made["user"]), made["mub"], strict=True))
    as_of = pd.DataFrame({"user_id": log["user_id"].unique().to_list(), "as_of": AS_OF})
    lexicon = [pd.DataFrame(frame.to_dict(as_series=False)) for frame in known.lexicon]
    theirs = pandas_semantize.semantize(pd.DataFrame(log.to_dict(as_series=False)), as_of, *lexicon, config)
    return ours, dict(zip(theirs["user_id"], theirs["mub"], strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_the_stage_and_plain_pandas_write_the_same_lines(seed):
    damping = {"max_repeats_a_day": 2, "max_browsing_a_day": 12, "min_band_purchases": 3}
    kinds = ("price_band", "size", "audience", "brand")
    ours, theirs = text_of_both(
        random_log(seed), attribute_kinds=kinds, max_attributes=2, top_k=3 + seed, top_places=seed % 3, **damping
    )
    assert len(ours) == 12
    assert ours == theirs


def test_a_repeated_log_has_the_same_events_under_new_user_ids(tmp_path):
    log = random_log(0, n_users=3, n_events=20)
    truth = pl.DataFrame({"user_id": log["user_id"].unique().sort(), "as_of": AS_OF})
    few = tmp_path / "few"
    few.mkdir()
    pq.write_table(truth.to_arrow(), few / "users.parquet")
    pq.write_table(log.select(schema.EVENT_SCHEMA.names).to_arrow(), few / "part-00000.parquet")
    semantize.repeat(few, tmp_path / "many", 100)
    parts = [pl.read_parquet(path) for path in sorted((tmp_path / "many" / "1_events").glob("part-*.parquet"))]
    assert [part.height for part in parts] == [60, 60]
    assert pl.concat(parts)["user_id"].n_unique() == 6
    assert parts[1].drop("user_id", "time").equals(log.select(parts[1].columns).drop("user_id", "time"))
    assert pl.read_parquet(tmp_path / "many" / "1_events" / "users.parquet").height == 6


def test_some_users_of_a_log_are_taken_with_all_their_events(tmp_path):
    log = random_log(0, n_users=5, n_events=8).select(schema.EVENT_SCHEMA.names)
    truth = pl.DataFrame({"user_id": log["user_id"].unique().sort(), "as_of": AS_OF})
    pq.write_table(truth.to_arrow(), tmp_path / "users.parquet")
    pq.write_table(log.to_arrow(), tmp_path / "part-00000.parquet")
    semantize.take_users(tmp_path, tmp_path / "some", 3)
    taken = pl.read_parquet(tmp_path / "some" / "1_events" / "part-*.parquet")
    assert sorted(taken["user_id"].unique()) == ["u000", "u001", "u002"]
    assert taken.height == 24
