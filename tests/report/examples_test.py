import gzip

import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.report.examples import MALFORMED, answer, choose
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import tag_prediction

GENDER = HPR18["gender"]
MUB = "[Source: E-commerce] [TIME: 2024] [TYPE: Purchase] | Lipstick, Tea"


def said(value: str, think: str = "Lipstick (L1)") -> str:
    return tag_prediction.target(GENDER, value, think)


def test_most_frequent_value_wins_and_keeps_only_evidence_that_holds():
    samples = [said("female"), said("male", "Tea (L1)"), said("female", "Razor (L1), Tea (L9)"), "nonsense"]
    found = answer(GENDER, MUB, "female", samples)
    assert (found.value, found.votes, found.n_samples, found.credit, found.lines) == ("female", 2, 4, 1.0, (1,))


def test_malformed_answers_count_as_wrong():
    found = answer(GENDER, MUB, "male", ["nonsense"])
    assert (found.value, found.credit, found.lines) == (MALFORMED, 0.0, ())


def test_users_are_chosen_by_rank_not_by_hand(make_run):
    # user number u of 12 has u tags right, so ranks are user numbers: int(0.5 * 11) = 5, int(0.25 * 11) = 2
    examples = choose(make_run(), HPR18, "df_grpo")
    assert [example.user_id for example in examples] == ["u00005", "u00002"]
    assert [sum(reply.credit for reply in example.answers) for example in examples] == [5.0, 2.0]


def test_rows_are_in_order_and_name_their_line(make_run):
    example = choose(make_run(), HPR18, "df_grpo")[0]
    times = [row.event["time"] for row in example.rows]
    assert times == sorted(times)
    assert [row.line for row in example.rows if row.line] == [2, 2]  # all answers cite L2, which holds events 2 and 3


def test_model_without_outputs_has_no_examples(make_run):
    assert choose(make_run(), HPR18, "stranger") == []


def test_broken_outputs_are_named_by_line(make_run):
    run = make_run()
    with gzip.open(run / "6_bench" / "outputs.jsonl.gz", "at") as file:
        file.write('{"model": "df_grpo"}\n')
    with pytest.raises(InputError, match=r"outputs\.jsonl\.gz:97: not a record of outputs"):
        choose(run, HPR18, "df_grpo")
