import numpy as np
import pytest

from usergpt_jax.curriculum import stages
from usergpt_jax.curriculum.voting import CONTROVERSIAL, DROPPED, STANDARD, Vote, VotingConfig, agrees, vote
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary, tag_prediction

CONFIG = VotingConfig(outputs_per_teacher=(3, 2), standard_votes=4, expert_outputs=1, list_agreement=0.6)
PET = HPR18["pet"]


class Scripted:
    """A teacher that says the same of every user, each time the next of its values."""

    def __init__(self, name, *values, users=1):
        self.name, self.values, self.users = name, list(values), users

    def sample(self, rng):
        return [self.values.pop(0)] * self.users

    def think(self, user, value):
        return f"{self.name} (L1)"


def outcome(first, second, expert, label="cat"):
    teachers = (Scripted("A", *first), Scripted("B", *second))
    return vote(PET, [label], teachers, Scripted("E", expert), np.random.default_rng(0), CONFIG)[0]


def test_four_of_five_are_standard_and_one_of_the_agreeing_is_kept():
    kept = outcome(("cat", "cat", "dog"), ("cat", "cat"), "dog")
    assert (kept.votes, kept.outcome) == (4, STANDARD)
    assert kept.think in ("A (L1)", "B (L1)")


def test_one_to_three_are_controversial_and_the_expert_words_them_anew():
    assert outcome(("cat", "dog", "dog"), ("dog", "dog"), "cat") == Vote(1, CONTROVERSIAL, "E (L1)")


def test_a_controversial_question_the_expert_does_not_confirm_is_dropped():
    assert outcome(("cat", "cat", "dog"), ("cat", "dog"), "dog") == Vote(3, DROPPED, None)


def test_what_no_teacher_answers_like_the_label_is_dropped_whatever_the_expert_says():
    assert outcome(("dog",) * 3, ("dog",) * 2, "cat") == Vote(0, DROPPED, None)


def test_an_agreed_na_cites_nothing():
    assert outcome((NA,) * 3, (NA,) * 2, NA, label=NA) == Vote(5, STANDARD, "")


def test_lists_agree_when_similar_enough_and_closed_values_only_when_equal():
    interests = HPR18["interests"]
    assert agrees(interests, "cycling, fishing", "cycling", CONFIG)  # F1 2/3
    assert not agrees(interests, "cycling, fishing, anime", "cycling", CONFIG)  # F1 1/2
    assert not agrees(PET, "dog", "cat", CONFIG)


LABELS = dict.fromkeys(HPR18.names, NA) | {"pet": "cat", "gender": "male"}


def votes_of(**outcomes):
    return {name: Vote(5, outcomes.get(name, STANDARD), "Cat Food (L1)") for name in HPR18.names}


def test_questions_of_a_stage_are_those_of_its_outcome_with_the_label_as_target():
    questions = stages.tag_questions(HPR18, LABELS, votes_of(pet=CONTROVERSIAL, gender=DROPPED), CONTROVERSIAL)
    assert [question.tag for question in questions] == ["pet"]
    assert tag_prediction.parse(PET, questions[0].output) == ("cat", "pet: Cat Food (L1)")


def test_a_composite_target_holds_every_label():
    question = stages.summary_question(HPR18, LABELS, votes_of(), min_supported_frac=0.6)
    persona = summary.parse(HPR18, question.output)
    assert persona.attributes == LABELS
    assert summary.extract(HPR18, persona.summary) == {"pet": "cat", "gender": "male"}


def test_an_inconsistent_or_unsupported_user_is_no_seed():
    broken = LABELS | {"resident_city": "Hangzhou", "resident_province": "Sichuan"}
    assert stages.summary_question(HPR18, broken, votes_of(), 0.6) is None
    dropped = votes_of(**dict.fromkeys(HPR18.names[:8], DROPPED))  # 10 of 18 supported
    assert stages.summary_question(HPR18, LABELS, dropped, 0.6) is None
    assert stages.summary_question(HPR18, LABELS, dropped, 0.5) is not None


@pytest.mark.parametrize("per_cell", [1, 2, 5])
def test_stratified_sampling_bounds_every_cell_and_keeps_order(per_cell):
    cells = ["a"] * 10 + ["b"] * 3
    chosen = stages.stratified(cells, per_cell, np.random.default_rng(0))
    assert chosen == sorted(chosen)
    assert sum(i < 10 for i in chosen) == per_cell
    assert sum(i >= 10 for i in chosen) == min(per_cell, 3)
