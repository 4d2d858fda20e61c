import polars as pl
import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.gold_titles import SPLITS, read_gold, split_gold
from usergpt_jax.semantize import lexicon
from usergpt_jax.sft import refiner
from usergpt_jax.sft.title_augment import Augmenter
from usergpt_jax.simulate import catalog
from usergpt_jax.tasks.refinement import plain


@pytest.fixture(scope="module")
def gold():
    table = pl.from_arrow(catalog.gold_table())
    assert isinstance(table, pl.DataFrame)
    return split_gold(table)


def test_every_split_is_filled(gold):
    share = dict(gold["split"].value_counts(normalize=True).iter_rows())
    assert set(share) == set(SPLITS)
    assert share["train"] > 0.7


def test_the_split_depends_on_the_row_alone(gold):
    shuffled = split_gold(gold.drop("split").sample(fraction=0.3, shuffle=True, seed=3))
    joined = shuffled.join(gold.select("item_id", "split"), on="item_id")
    assert (joined["split"] == joined["split_right"]).all()


def test_whole_leaves_and_whole_brands_are_held_out(gold):
    train, held = gold.filter(pl.col("split") == "train"), gold.filter(pl.col("split") != "train")
    for split, column in (("leaf", "category"), ("brand", "brand")):
        names = set(held.filter(pl.col("split") == split)[column])
        assert names
        assert not names & set(train[column])


def test_both_listings_of_a_product_go_together(gold):
    goods = gold.filter(pl.col("split").is_in(["train", "item"]) & pl.col("brand").is_not_null())
    number = pl.col("item_id").str.extract(r"-(\d+)$").cast(pl.Int64) // 2
    per_product = goods.group_by("category", number.alias("product")).agg(pl.col("split").n_unique())
    assert (per_product["split"] == 1).all()


def test_nothing_of_held_out_rows_reaches_training(gold):
    train, held = gold.filter(pl.col("split") == "train"), gold.filter(pl.col("split") != "train")
    augmenter = Augmenter(refiner.training_titles(gold), refiner.marketing_phrases(gold))
    assert not set(held["title"]) & {title for title, *_ in augmenter._gold}
    seen_brands = set(train["brand"].drop_nulls())
    unseen = {plain(brand) for brand in held.filter(pl.col("split") == "brand")["brand"] if brand not in seen_brands}
    kinds = {(answer.entity, brand) for _, _, answer, brand in augmenter._gold}
    assert {brand for _, brand in kinds} <= {*seen_brands, ""}
    unseen_words = {word for brand in unseen for word in brand.split()}
    unseen_words -= {word for title in train["title"] for word in plain(title).split()}
    assert unseen_words  # so the next line tests something
    texts = list(refiner.tokenizer_texts(augmenter, seed=0))
    made_up = {word for text in texts for word in text.split()}
    assert not {word for word in unseen_words if len(word) > 5} & made_up  # a made-up short word may be one by chance


def test_no_word_list_knows_a_held_out_brand(gold):
    names = ("marketing_words", "modifiers", "nouns", "stop_words", "materials", "colours")
    listed = {entry for name in names for entry in lexicon.entries(name)} | set(lexicon.audiences())
    held = {brand.lower() for brand in gold.filter(pl.col("split") == "brand")["brand"]}
    assert not held & listed


def test_a_run_without_gold_is_named(tmp_path):
    with pytest.raises(InputError, match=r"items\.parquet is missing"):
        read_gold(tmp_path)
    (tmp_path / "1_events").mkdir()
    pl.DataFrame({"title": ["a"]}).write_parquet(tmp_path / "1_events/items.parquet")
    with pytest.raises(InputError, match="no column 'item_id'"):
        read_gold(tmp_path)
