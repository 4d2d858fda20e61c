import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import catalog, needs, quality_rules

FILE = "renames.csv of locale 'us'"
SHARED = {
    "catalog.csv": [
        {"leaf": "Mooncakes", "noun": "mooncakes", "variants": "Lotus|Mini", "price": "129"},
        {"leaf": "Candy", "noun": "candy", "variants": "Mint|Mini", "price": "9"},
    ],
    "needs.csv": [{"name": "moon festival", "leaves": "Mooncakes:1|Candy:2", "weights": "topic:Mooncakes=1"}],
}


def renamed(*rows):
    return locales.parse_renames([{"from": old, "to": new} for old, new in rows], SHARED, FILE)


def test_a_leaf_a_whole_field_or_a_part_of_one_is_renamed():
    rows = (("Mooncakes", "Fudge"), ("Lotus|Mini", "Nut|Mini"), ("Mint", "Lemon"), ("moon festival", "halloween"))
    assert renamed(*rows) == dict(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("Tee", "Tea")], "'Tee' is in none of catalog.csv, needs.csv; expected a leaf or a word of theirs"),
        ([("topic", "news")], "'topic' is in none of catalog.csv, needs.csv; expected a leaf or a word of theirs"),
        ([("Mint", "Lemon"), ("Mint", "Lime")], "'Mint' stands twice, expected each word once"),
        ([("Mooncakes", "Candy")], "'Mooncakes' becomes 'Candy', expected a name that no other leaf has"),
        ([("Mooncakes", "Nut"), ("Candy", "Nut")], "'Candy' becomes 'Nut', expected a name that no other leaf has"),
        ([("Mooncakes", "")], "'Mooncakes' becomes '', expected a name that no other leaf has"),
    ],
)  # fmt: skip
def test_what_cannot_be_renamed_is_refused_in_one_line(rows, message):
    with pytest.raises(InputError) as error:
        renamed(*rows)
    assert str(error.value) == f"{FILE}: {message}"


def test_the_home_market_reads_shared_files_as_they_stand():
    assert locales.renames("cn") == {}


def test_another_market_knows_its_leaves_by_one_name_in_every_file():
    words, here, there = locales.renames("us"), catalog.load("cn"), catalog.load("us")
    assert there.leaves == tuple(words.get(leaf, leaf) for leaf in here.leaves)
    assert there.n_variants.tolist() == here.n_variants.tolist()
    assert needs.load("us").leaves.tolist() == needs.load("cn").leaves.tolist()
    for ours, theirs in zip(quality_rules.load("cn"), quality_rules.load("us"), strict=True):
        assert ours.leaves.tolist() == theirs.leaves.tolist()
    assert {row["item"] for row in locales.read_rows("evidence.csv", "us")} <= set(there.leaves)


def test_another_market_does_not_sell_what_only_the_home_market_knows():
    titles = "\n".join(catalog.load("us").titles).lower()
    for word in ("gaokao", "cet english", "baijiu", "hotpot", "mooncake", "double 11", "dumpling", "festival"):
        assert word not in titles, word
