import itertools
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize import refine
from usergpt_jax.semantize.categories import (
    calibrate,
    category_map,
    coverage,
    hashing,
    leaves,
    mapping,
    nearest,
    phrases,
)
from usergpt_jax.semantize.categories.words import words_of


@pytest.fixture(scope="module")
def known():
    return leaves.load()


@pytest.fixture(scope="module")
def mapper(known):
    return mapping.Mapper(known, nearest.prototypes(known))


def pairs_of(*rows):
    return pl.DataFrame(rows, schema={"title": pl.String, "category": pl.String}, orient="row")


def leaf_of(mapper, title, category=None):
    row = mapping.map_pairs(pairs_of((title, category)), mapper).row(0, named=True)
    return row["leaf"], row["step"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ladies' T-Shirts", ["women", "t", "shirt"]),
        ("COLOURING PENCILS", ["colouring", "pencil"]),
        ("Jewellery/Tyres", ["jewelry", "tire"]),
        ("Silk ties in two sizes", ["silk", "tie", "in", "two", "size"]),
        ("Ｔｅａ", ["tea"]),  # full width
        ("雨傘", ["雨傘"]),
        ("", []),
    ],
)
def test_words_are_lower_case_singular_and_in_one_spelling(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("title", "leaf"),
    [
        ("JIGSAW PUZZLES 500", "Jigsaw Puzzle"),  # plural
        ("Blue umbrellas", "Umbrella"),
        ("Women's Slim Fit Silk Blouse", "Womens Blouse"),
        ("Gentlemen's Slim Fit Shirt", "Mens Shirt"),  # the buyer stands apart from the goods
        ("SET OF 3 HAND TOWELS", "Towels"),
        ("APRON APPLE DELIGHT", "Apron"),  # the apple is a pattern
        ("Red Apples", "Fresh Fruit"),
        ("Deluxe Sewing Kit", "Craft Kit"),
    ],
)
def test_a_leaf_named_as_whole_words_is_found(mapper, title, leaf):
    assert leaf_of(mapper, title) == (leaf, "title")


@pytest.mark.parametrize(
    "title",
    [
        "BLUE UMBRELLA STAND",  # the head is the stand
        "PAINTED EASTER EGG",
        "FELT EGG COSY RABBIT",
        "Teapot with umbrella",
        "JUMBO BAG APPLES",
        "Umbrellastand",  # no whole word
        "SHELF FOR PAPER AND PERFUME",
        "雨傘",
        "зонт складной",
        "",
        "   ",
        "12345 !!!",
    ],
)
def test_what_no_leaf_holds_is_other(mapper, title):
    assert leaf_of(mapper, title) == (None, "other")


def test_a_longer_phrase_wins_over_a_later_noun(known):
    found = phrases.find("wooden jigsaw puzzle tin", known)
    assert found is not None
    assert known.names[found.leaf] == "Jigsaw Puzzle"
    assert found.confidence == phrases.CONFIDENCE["more", "inner"]


@pytest.mark.parametrize(
    "category",
    ["Jigsaw Puzzle", "jigsaw puzzles", "Toys & Games > Jigsaw-Puzzles", "toys/jigsaw_puzzle", "toys.jigsaw_puzzle"],
)
def test_a_category_with_the_name_of_a_leaf_wins_over_the_title(mapper, category):
    assert leaf_of(mapper, "Mystery thing with umbrella", category) == ("Jigsaw Puzzle", "category")


def test_leaves_of_sources_that_the_log_lacks_are_not_found():
    shop = mapping.Mapper(leaves.load(locales.DEFAULT, ("ecommerce",)))
    assert leaf_of(shop, "Wooden toy zoo") == (None, "other")
    assert "Zoo" not in shop.leaves.names


@pytest.mark.parametrize("locale", locales.names())
def test_every_leaf_is_found_by_its_own_name(locale):
    known = leaves.load(locale)
    names = pl.DataFrame({"title": "thing", "category": known.names})
    mapped = mapping.map_pairs(names, mapping.Mapper(known))
    assert mapped.filter(pl.col("leaf").is_null() | (pl.col("leaf") != pl.col("category"))).is_empty()


def test_the_users_map_decides_first(known, mapper):
    given = {"Misc > Odds": "Umbrella", "Sale": "", "Play": "Toys > Games", "Drills": "Workwear > Service"}
    rows = [(row, *pair) for row, pair in enumerate(given.items(), start=1)]
    mine = mapping.Mapper(known, mapper.prototypes, category_map.parse_map(rows, known, "map.csv"))
    assert leaf_of(mine, "Lipstick", "misc » odds") == ("Umbrella", "map")
    assert leaf_of(mine, "Lipstick", "misc.odds") == ("Umbrella", "map")
    assert leaf_of(mine, "Lipstick", "shop.home.sale") == (None, "other")
    assert leaf_of(mine, "Lipstick", "Shop > Sale") == (None, "other")  # by the last part of a path
    assert leaf_of(mine, "Jigsaw", "Play") == ("Jigsaw Puzzle", "title")  # the title chooses in the level2
    assert leaf_of(mine, "Lipstick", "Play") == (None, "other")
    assert leaf_of(mine, "Lipstick", "Drills") == ("Shop Uniform", "map")  # the only leaf there


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("category,leaf\nMugs,Umbrella\nHats,Hatz\n", "row 3: leaf 'Hatz' is neither a leaf nor a level2"),
        ("category,leaf\n,Umbrella\n", "row 2: category is empty"),
        ("category,leaf\nMugs,Umbrella\nmugs,Apron\n", "row 3: category 'mugs' stands twice"),
        ("category,target\nMugs,Umbrella\n", "no column 'leaf'"),
    ],
)
def test_a_bad_map_is_one_line_that_names_file_and_row(tmp_path, known, text, message):
    path = tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        category_map.read_map(path, known)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_map_is_named(tmp_path, known):
    with pytest.raises(InputError, match="no such file"):
        category_map.read_map(tmp_path / "none.csv", known)


def test_a_map_is_read_from_a_file(tmp_path, known):
    path = tmp_path / "map.csv"
    path.write_text("category,leaf,note\nMugs & Cups,,none of ours\nBrollies,umbrella,\n", encoding="utf-8-sig")
    targets = category_map.read_map(path, known)
    assert targets["mugs & cups"].leaves == ()
    assert [known.names[leaf] for leaf in targets["brollies"].leaves] == ["Umbrella"]


def test_a_higher_threshold_maps_a_subset(known, mapper):
    pairs = pairs_of(*((title, None) for title in ("Jigsaw Puzzle", "Umbrella", "Jigsaw Puzzle Tin", "Umbrella Stand")))
    taken = []
    for threshold in (0.0, 0.6, 0.95, 1.0):
        mapped = mapping.map_pairs(pairs, mapping.Mapper(known, mapper.prototypes, threshold=threshold))
        taken.append(set(mapped.filter(pl.col("leaf").is_not_null())["title"]))
        assert (mapped.filter(pl.col("leaf").is_not_null())["confidence"] >= threshold).all()
    assert taken[0] == set(pairs["title"])
    assert all(more > fewer for more, fewer in itertools.pairwise(taken[:3]))


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_outside_of_0_to_1_is_refused(known, threshold):
    with pytest.raises(InputError, match="expected 0 to 1"):
        mapping.Mapper(known, threshold=threshold)


def test_each_distinct_pair_is_mapped_once_and_by_itself(mapper):
    rows = [("Umbrella", None), ("Odd Thing", "Apron"), ("Bathrom decoraton", None), ("Umbrella", "Shop")]
    together = mapping.map_pairs(pairs_of(*rows, *rows), mapper)
    assert together.height == len(rows)
    alone = pl.concat([mapping.map_pairs(pairs_of(row), mapper) for row in rows]).sort("title", "category")
    assert together.equals(alone)


def test_chunks_do_not_change_the_result(mapper, monkeypatch):
    pairs = pairs_of(*((f"{noun} {n}", None) for n in range(5) for noun in ("Apron", "Gizmo", "Umbrela")))
    whole = mapping.candidates(pairs, mapper)
    monkeypatch.setattr(mapping, "_CHUNK", 4)
    assert mapping.candidates(pairs, mapper).equals(whole)


def test_no_pairs_give_an_empty_table(mapper):
    mapped = mapping.map_pairs(pairs_of(), mapper)
    assert mapped.columns == ["title", "category", "leaf", "step", "confidence"]
    assert mapped.is_empty()
    assert set(coverage.coverage(mapped).pairs.values()) == {0}


def test_hashed_vectors_are_unit_signed_and_zero_without_letters():
    vectors = hashing.hashing_embedder(["folding umbrella", "wall art"])(
        ["umbrella", "umbrellas", "wall art", "", "雨傘"]
    )
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 1], atol=1e-5)
    assert (vectors < 0).any()
    assert vectors[0] @ vectors[1] > 0.4 > 0.2 > abs(vectors[0] @ vectors[2])


def test_a_text_is_hashed_alike_in_any_company_and_process():
    embed = hashing.hashing_embedder(["folding umbrella", "wall art"])
    alone, among = embed(["wall art"])[0], embed(["some", "other words", "wall art"])[2]
    np.testing.assert_array_equal(alone, among)
    code = (
        "from usergpt_jax.semantize.categories import hashing\n"
        "print(hashing.hashing_embedder(['folding umbrella', 'wall art'])(['wall art'])[0].tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == alone.tobytes().hex()


def test_an_embedder_of_the_users_own_finds_synonyms_that_hashing_cannot():
    rows = [
        {"leaf": leaf, "level1": "Home", "level2": "Any", "noun": leaf, "variants": ""}
        for leaf in ("Umbrella", "Apron")
    ]
    known = leaves.build(rows, {"": ["kettle"]})
    axes = {"brolly": 0, "umbrella": 0, "apron": 1, "kettle": 2}

    def embed(texts):
        vectors = np.zeros((len(texts), 3), np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                if word in axes:
                    vectors[row, axes[word]] = 1.0
        return vectors

    sure = nearest.Calibration(bias=-8.0, similarity=10.0, margin=2.0)
    mine = mapping.Mapper(known, nearest.prototypes(known, embed, sure))
    assert leaf_of(mine, "Brolly") == ("Umbrella", "nearest")
    assert leaf_of(mine, "Gizmo") == (None, "other")
    assert leaf_of(mapping.Mapper(known, nearest.prototypes(known)), "Brolly") == (None, "other")


def test_a_fitted_confidence_of_the_default_embedder_is_near_the_one_fitted_on_titles(known, mapper):
    found = calibrate.fit(known, mapper.prototypes)
    assert found == calibrate.fit(known, mapper.prototypes)
    similarity, margin = np.meshgrid(np.linspace(0.1, 0.9, 9), np.linspace(0.0, 0.3, 4))
    gap = found.confidence(similarity, margin) - nearest.HASHING_CALIBRATION.confidence(similarity, margin)
    assert np.abs(gap).max() < 0.25
    assert np.abs(gap).mean() < 0.1


def test_an_embedder_without_knowledge_gets_a_low_confidence(known):
    def blind(texts):
        return np.tile(np.eye(1, 4, dtype=np.float32), (len(texts), 1))

    mine = mapping.with_embedder(mapping.Mapper(known), blind)
    assert mine.prototypes.calibration.confidence(np.array([1.0]), np.array([0.0]))[0] < 0.1
    assert leaf_of(mine, "Gizmo") == (None, "other")


def test_an_embedder_is_fitted_when_a_mapper_is_loaded(known):
    embed = hashing.hashing_embedder([text for one in nearest.prototype_texts(known) for text in one])
    loaded = mapping.load_mapper(embed=embed)
    assert loaded.prototypes.calibration == calibrate.fit(known, loaded.prototypes)
    assert mapping.load_mapper().prototypes.calibration == nearest.HASHING_CALIBRATION


def test_goods_that_no_leaf_holds_take_the_margin():
    rows = [{"leaf": "Wall Art", "level1": "Home", "level2": "Any", "noun": "wall art", "variants": ""}]
    lone = nearest.prototypes(leaves.build(rows, {})).nearest(["wall clock"], ["wall clock"])
    beside = nearest.prototypes(leaves.build(rows, {"": ["wall clock"]})).nearest(["wall clock"], ["wall clock"])
    assert beside.margin[0] < 0 < lone.margin[0]


def test_confidence_rises_with_similarity_and_margin():
    likely = nearest.HASHING_CALIBRATION.confidence(np.array([0.2, 0.9, 0.9]), np.array([0.0, 0.0, 0.5]))
    assert 0 < likely[0] < likely[1] < likely[2] < 1


def test_coverage_counts_pairs_and_events_once_each(mapper):
    events = pl.DataFrame(
        {
            "title": ["Umbrella", "Gizmo", "Gizmo", "Odd"],
            "category": [None, None, "Widgets", "Apron"],
            "n": [5, 2, 4, 1],
        }
    )
    found = coverage.coverage(mapping.map_pairs(events, mapper), events)
    assert found.pairs == {"map": 0, "category": 1, "title": 1, "nearest": 0, "other": 2}
    assert found.events == {"map": 0, "category": 1, "title": 5, "nearest": 0, "other": 6}
    assert found.unmapped == {"gizmo": 6}
    assert found.unmapped_categories == {"Widgets": 4}
    assert json.loads(found.to_json())["events"] == found.events
    shares = [float(line.split("%")[0].split()[-1]) for line in found.lines()[:5]]
    assert sum(shares) == pytest.approx(100)


def test_a_refiner_sees_the_leaf_and_answers_for_the_logs_category(mapper):
    pairs = pairs_of(("BLUE UMBRELLA size M", "Misc"), ("BLUE UMBRELLA size M", None), ("Gizmo", "Widgets"))
    mapped = mapping.map_pairs(pairs, mapper)
    refined = mapping.mapped_refiner(refine.refine_table, mapped)(pairs)
    assert refined.select("title", "category").equals(pairs)
    assert refined["entity"].to_list() == ["Umbrella", "Umbrella", "Widgets"]
    assert refined.columns == refine.refine_table(pairs).columns


def test_a_synonym_of_an_unknown_leaf_is_named(monkeypatch):
    read_rows = locales.read_rows

    def with_unknown(name, locale, columns=()):
        rows = read_rows(name, locale, columns)
        return [*rows, {"leaf": "Nonsuch", "phrases": "nothing"}] if name == leaves.SYNONYMS else rows

    monkeypatch.setattr(locales, "read_rows", with_unknown)
    with pytest.raises(InputError, match="'Nonsuch' is no leaf"):
        leaves.load.__wrapped__(locales.DEFAULT)


def test_a_mapper_is_loaded_with_map_sources_and_threshold(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("category,leaf\nBrollies,Umbrella\n", encoding="utf-8")
    loaded = mapping.load_mapper(sources=("ecommerce",), map_file=str(path), threshold=0.95)
    assert leaf_of(loaded, "Thing", "Brollies") == ("Umbrella", "map")
    assert leaf_of(loaded, "Blue Umbrella") == (None, "other")  # one word: 0.92
    assert leaf_of(loaded, "Blue Folding Umbrella") == ("Umbrella", "title")
