import polars as pl
import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.refiners.answers import SCHEMA, UNREACHABLE, as_columns
from usergpt_jax.semantize.refiners.cache import Refiner, look_up, refiner_folder


class Upper:
    """Answers with the title in capitals, and remembers what it was asked."""

    def __init__(self, unreachable=()):
        self.asked: list[str] = []
        self.unreachable = set(unreachable)

    def __call__(self, pairs):
        self.asked += pairs["title"].to_list()
        fallback = [UNREACHABLE if title in self.unreachable else None for title in pairs["title"]]
        return pairs.with_columns(
            pl.col("title").str.to_uppercase().alias("entity"),
            pl.lit(["x"], pl.List(pl.String)).alias("attributes"),
            pl.Series("fallback", fallback, dtype=pl.String),
        )

    def refiner(self, identity="1", batch_titles=2):
        return Refiner("upper", identity, self, batch_titles)


def pairs(*titles, category=None):
    schema = {"title": pl.String, "category": pl.String}
    return pl.DataFrame([(title, category) for title in titles], schema=schema, orient="row")


def test_a_pair_is_asked_once(tmp_path):
    upper = Upper()
    first = look_up(tmp_path, upper.refiner(), pairs("a", "b", "c"))
    assert first.counts == {"known": 0, "made": 3}
    again = look_up(tmp_path, upper.refiner(), pairs("c", "d", "a"))
    assert again.counts == {"known": 2, "made": 1}
    assert again.answers["entity"].to_list() == ["C", "D", "A"]
    assert upper.asked == ["a", "b", "c", "d"]
    assert again.answers.schema == pl.Schema(SCHEMA)


def test_a_category_makes_another_pair_and_null_is_one_too(tmp_path):
    upper = Upper()
    look_up(tmp_path, upper.refiner(), pairs("a"))
    assert look_up(tmp_path, upper.refiner(), pairs("a", category="Tea")).counts["made"] == 1
    assert look_up(tmp_path, upper.refiner(), pairs("a")).counts["made"] == 0


def test_two_refiners_never_mix(tmp_path):
    one, two = Upper(), Upper()
    look_up(tmp_path, one.refiner("1"), pairs("a"))
    look_up(tmp_path, two.refiner("2"), pairs("a"))
    assert two.asked == ["a"]
    assert refiner_folder(tmp_path, one.refiner("1")) != refiner_folder(tmp_path, two.refiner("2"))


def test_a_kill_loses_at_most_the_batch_in_work(tmp_path):
    upper = Upper()

    def killed(batch):
        if "e" in batch["title"].to_list():
            raise KeyboardInterrupt
        return upper(batch)

    with pytest.raises(KeyboardInterrupt):
        look_up(tmp_path, Refiner("upper", "1", killed, 2), pairs("a", "b", "c", "d", "e"))
    own = refiner_folder(tmp_path, upper.refiner())
    (own / "0123.partial").write_bytes(b"half a segm")  # what a kill within a write leaves
    assert look_up(tmp_path, upper.refiner(), pairs("a", "b", "c", "d", "e")).counts == {"known": 4, "made": 1}


def test_segments_are_merged_and_doubles_do_no_harm(tmp_path):
    upper = Upper()
    titles = [f"t{i}" for i in range(80)]
    made = look_up(tmp_path, upper.refiner(), pairs(*titles))
    own = refiner_folder(tmp_path, upper.refiner())
    assert len(list(own.glob("segment-*.parquet"))) == 1
    made.answers.head(5).write_parquet(own / "segment-again.parquet")  # a merge that was killed before it cleaned up
    again = look_up(tmp_path, upper.refiner(), pairs(*titles))
    assert again.counts == {"known": 80, "made": 0}
    assert again.answers.equals(made.answers)


def test_what_a_server_did_not_answer_is_asked_again(tmp_path):
    upper = Upper(unreachable=["b"])
    assert look_up(tmp_path, upper.refiner(), pairs("a", "b")).counts["fallback_unreachable"] == 1
    assert look_up(tmp_path, upper.refiner(), pairs("a", "b")).counts["made"] == 1


def test_a_broken_segment_is_named(tmp_path):
    upper = Upper()
    own = refiner_folder(tmp_path, upper.refiner())
    own.mkdir(parents=True)
    (own / "segment-0.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"segment-0\.parquet"):
        look_up(tmp_path, upper.refiner(), pairs("a"))


def test_answers_of_the_cache_keep_the_contract_of_the_table(tmp_path):
    table = as_columns(look_up(tmp_path, Upper().refiner(), pairs("a", "b")).answers)
    assert table.columns == ["title", "category", "entity", "size", "audience", "brand"]
    assert table["entity"].to_list() == ["A", "B"]
    empty = as_columns(look_up(tmp_path, Upper().refiner(), pairs()).answers)
    assert empty.is_empty()
