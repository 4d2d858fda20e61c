import pytest

from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import evidence, rules
from usergpt_jax.tasks.evidence import Citation

MUB = "\n".join(
    [
        "[Source: E-commerce] [TIME: 2025-06] [TYPE: Purchase] [COUNT: 3] | Cat Litter (premium), Cat Food, Lipstick",
        "[Source: Delivery] [TIME: 2025] [TYPE: Purchase] [COUNT: 9] | Bubble Tea, Hangzhou",
        "[Source: Travel] [TIME: 2024] [TYPE: Purchase] [COUNT: 2] | Train Ticket, Chengdu",
    ]
)


def test_an_empty_log_tells_nothing():
    assert set(rules.predict("", HPR18).values()) == {NA}


def test_the_lexicon_reads_goods_and_the_gazetteer_reads_places():
    values = rules.predict(MUB, HPR18)
    assert values["pet"] == "cat"
    assert (values["resident_city"], values["resident_province"], values["city_tier"]) == (
        "Hangzhou",
        "Zhejiang",
        "new_T1",
    )
    assert values["hometown_province"] == "Sichuan"
    assert values["mobility_status"] == "settled_migrant"


def test_support_cites_the_lines_that_speak_for_a_value():
    cited = rules.support(MUB, HPR18)["pet"]["cat"].cited
    assert Citation(1, "Cat Litter (premium)") in cited
    assert evidence.grounded(evidence.cite(cited), MUB) == [1]


@pytest.mark.parametrize(("band", "level"), [("premium", "high"), ("", "mid_high"), ("budget", "low")])
def test_what_ten_purchases_cost_says_the_consumption_level_whatever_the_goods(band: str, level: str):
    goods = ", ".join(f"Anti-Aging Serum{f' ({band})' if band else ''}" for _ in range(rules.MIN_BOUGHT))
    line = f"[Source: E-commerce] [TIME: 2025] [TYPE: Purchase] [COUNT: 10] | {goods}"
    assert rules.predict(line, HPR18)["consumption_level"] == level
    assert rules.predict(line.replace("E-commerce", "Travel"), HPR18)["consumption_level"] != "low"


def test_few_purchases_say_nothing_about_the_consumption_level():
    assert rules.dearness(rules.sightings(MUB)) is None
    assert rules.predict(MUB, HPR18)["consumption_level"] == NA


def test_every_entry_of_the_lexicon_names_a_tag_and_a_value():
    for entries in rules.lexicon().values():
        for tag, value, weight in entries:
            assert weight > 0
            assert HPR18[tag].is_open or value in HPR18[tag].values, (tag, value)


def test_a_citation_is_grounded_in_a_line_that_holds_its_item():
    assert evidence.grounded("Cat Food (L1), Hangzhou (L2)", MUB) == [1, 2]
    assert evidence.grounded("pet: Cat Litter (L1)", MUB) == [1]


def test_a_wrong_line_of_a_true_item_is_put_right():
    assert evidence.grounded("Cat Food (L2)", MUB) == [1]
    assert evidence.grounded("Chengdu (L9), Chengdu (L0)", MUB) == [3]


def test_an_item_that_stands_nowhere_grounds_nothing():
    assert evidence.grounded("Dog Food (L1)", MUB) == []
    assert evidence.grounded("Cat (L1)", MUB) == []
    assert evidence.grounded("No line tells", MUB) == []


def test_a_line_is_listed_once_however_often_it_is_cited():
    assert evidence.grounded("Cat Food (L1), Lipstick (L1)", MUB) == [1]
