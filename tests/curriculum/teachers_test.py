import numpy as np
import pytest

from usergpt_jax.curriculum.teachers import Analyst, Features, Learner
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import evidence

PET, INTERESTS = HPR18["pet"], HPR18["interests"]
USERS = 1200  # enough that the ridge hardly shrinks


def mub_of(item):
    return f"[Source: E-commerce] [TIME: 2025-06] [TYPE: Purchase] [COUNT: 2] | Milk, {item}"


ITEMS = [("Cat Litter", "Dog Leash", "Toothpaste")[i % 3] for i in range(USERS)]
LABELS = [("cat", "dog", "none")[i % 3] for i in range(USERS)]
MUBS = [mub_of(item) for item in ITEMS]


def learner(model, labels=LABELS, folds=None):
    folds = np.arange(USERS) % 2 if folds is None else folds
    return Learner(model, Features(MUBS), folds, 2).answers(PET, labels)


@pytest.mark.parametrize("model", ["bayes", "ridge"])
def test_a_learner_answers_from_other_users_and_cites_what_told_it(model):
    answers = learner(model)
    drawn = answers.sample(np.random.default_rng(0))
    assert np.mean([value == label for value, label in zip(drawn, LABELS, strict=True)]) > 0.9
    assert answers.think(0, "cat") == "Cat Litter (L1)"
    assert answers.think(0, NA) == ""


@pytest.mark.parametrize("model", ["bayes", "ridge"])
def test_a_learner_never_sees_the_label_of_the_user_it_answers_for(model):
    # User 0 alone is mislabelled: answers for it come from the other fold, so they must not change.
    mislabelled = ["dog", *LABELS[1:]]
    folds = np.r_[0, np.ones(USERS - 1, int)]  # user 0 is a fold of its own
    drawn = [learner(model, labels, folds).sample(np.random.default_rng(0))[0] for labels in (LABELS, mislabelled)]
    assert drawn[0] == drawn[1]


def test_a_learner_draws_lists_item_by_item():
    labels = [("fishing", "fishing, camping", NA)[i % 3] for i in range(USERS)]
    answers = Learner("ridge", Features(MUBS), np.arange(USERS) % 2, 2).answers(INTERESTS, labels)
    drawn = answers.sample(np.random.default_rng(0))
    right = [set(value.split(", ")) == set(label.split(", ")) for value, label in zip(drawn, labels, strict=True)]
    assert np.mean(right) > 0.9


def test_the_analyst_reads_the_lexicon_and_cites_true_lines():
    answers = Analyst(MUBS, HPR18, temperature=0.2).answers(PET)
    assert answers.sample(np.random.default_rng(0))[0] == "cat"
    assert evidence.grounded(answers.think(0, "cat"), MUBS[0]) == [1]


def test_the_analyst_says_na_where_the_lexicon_knows_nothing():
    answers = Analyst([mub_of("Toothpaste")], HPR18, temperature=0.2).answers(PET)
    assert answers.sample(np.random.default_rng(0)) == [NA]
