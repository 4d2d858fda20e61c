import dataclasses
import json
import pathlib
import shutil

import pytest

from tests.inference.tiny_model import TINY
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig
from usergpt_jax.inference import generate
from usergpt_jax.inference.generate import Question, UserLog
from usergpt_jax.models.sampling import Drawing
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18
from usergpt_jax.tasks import summary, tag_prediction
from usergpt_jax.tasks.wording import PromptConfig

LINES = [f"[Source: E-commerce] [TIME: 2025-0{i}] [TYPE: Purchase] [COUNT: {i}] | Cat Litter" for i in range(1, 6)]
USERS = [UserLog(f"user {i}", "\n".join(LINES[:i])) for i in range(5)]


TAGS = [tag_prediction.prompt(tag, PromptConfig(list_options=False)) for tag in HPR18.tags[:2]]
QUESTIONS = [*(Question(prompt, 3, 24) for prompt in TAGS), Question(summary.prompt(), 2, 40)]
DRAWING = Drawing(temperature=1.0, top_k=0, top_p=1.0)


def ask(model, users, questions=QUESTIONS, users_at_once=2, samples_at_once=0, seed=0):
    return generate.ask(
        model, users, questions, DRAWING,
        users_at_once=users_at_once, samples_at_once=samples_at_once, seed=seed, label="test",
    )  # fmt: skip


def test_every_user_question_and_sample_gets_a_text(model):
    texts = ask(model, USERS)
    assert [[len(samples) for samples in user] for user in texts] == [[3, 3, 2]] * 5


def test_answers_do_not_depend_on_the_company_in_the_batch(model):
    together = ask(model, USERS)
    assert ask(model, USERS[::-1]) == together[::-1]
    assert ask(model, USERS[3:4]) == together[3:4]


@pytest.mark.parametrize(("users_at_once", "samples_at_once"), [(1, 0), (3, 0), (2, 1), (5, 3)])
def test_answers_do_not_depend_on_how_many_are_drawn_at_once(model, users_at_once, samples_at_once):
    assert ask(model, USERS, users_at_once=users_at_once, samples_at_once=samples_at_once) == ask(model, USERS)


def test_in_the_form_of_the_tasks_even_an_untrained_model_answers_well(model):
    questions = [dataclasses.replace(one, branch_tokens=400) for one in generate.task_questions(model, 2, 1)]
    drawn = generate.ask(
        model, USERS[:2], questions, DRAWING, users_at_once=2, samples_at_once=0, seed=0, label="test",
        grammar=generate.task_grammar(model),
    )  # fmt: skip
    for *by_tag, (portrait,) in drawn:
        for tag, samples in zip(HPR18.tags, by_tag, strict=True):
            assert len(samples) == 2
            for text in samples:
                value, _ = tag_prediction.parse(tag, text)  # raises where the form is broken
                assert tag.is_open or value in (*tag.values, NA)
        assert summary.parse(HPR18, portrait).attributes.keys() == set(HPR18.names)


def test_a_form_that_does_not_fit_is_refused(model):
    questions = generate.task_questions(model, 2, 1)  # the tiny model's branches are short
    with pytest.raises(InputError, match="the form of an answer takes at least"):
        generate.ask(
            model, USERS, questions, DRAWING, users_at_once=2, samples_at_once=0, seed=0, label="test",
            grammar=generate.task_grammar(model),
        )  # fmt: skip


def test_samples_users_and_seeds_differ(model):
    twins = [UserLog("a", LINES[0]), UserLog("b", LINES[0])]
    first, second = ask(model, twins)
    assert first != second
    assert len(set(first[0])) > 1
    assert ask(model, twins, seed=1) != [first, second]


def test_a_run_directory_gives_its_furthest_model(model_folder, tmp_path):
    for name in ("4_sft/stage1/model", "4_sft/stage3/model"):
        shutil.copytree(model_folder, tmp_path / name)
    assert generate.model_folder(tmp_path) == tmp_path / "4_sft/stage3/model"
    shutil.copytree(model_folder, tmp_path / "5_rl/model")
    assert generate.model_folder(tmp_path) == tmp_path / "5_rl/model"
    assert generate.load_model(tmp_path).stage == "stage3"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no model here; expected card\.json"):
        generate.load_model(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        generate.load_model(tmp_path / "absent")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tag_schema", "hpr99", "'hpr99' is not one of hpr18"),
        ("vocab_size", 10, "the tokenizer has .* ids, the model 10"),
        ("prompt", {"colour": 1}, "not a card of this program"),
        (
            "model",
            {**TINY, "attention": "flash"},
            r"attention: expected one of blockwise, splash, reference, got 'flash'",
        ),
        ("model", {**TINY, "rope_theta": 1.0}, r"rope_theta: expected above 1 and finite"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(model_folder: pathlib.Path, tmp_path, key, value, message):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, key: value}))
    with pytest.raises(InputError, match=message):
        generate.load_model(folder)


@pytest.mark.parametrize(
    ("question", "message"),
    [(Question(TAGS[0], 3, 1), "leave no room"), (Question(TAGS[0], 0, 24), "n_samples: expected at least 1, got 0")],
)
def test_a_question_that_cannot_be_answered_is_refused(model, question, message):
    with pytest.raises(InputError, match=message):
        ask(model, USERS, [question])


def test_a_mesh_that_does_not_divide_the_users_is_refused(model_folder):
    split = generate.load_model(model_folder, MeshConfig(data=2, fsdp=1, tensor=1, context=1))
    with pytest.raises(InputError, match=r"users held at once: .* of size 3 is not divisible"):
        ask(split, USERS, users_at_once=3)


def test_a_mesh_gives_the_same_answers(model, model_folder):
    split = generate.load_model(model_folder, MeshConfig(data=2, fsdp=1, tensor=1, context=1))
    assert ask(split, USERS, users_at_once=4) == ask(model, USERS)


def test_a_model_trained_with_the_tpu_kernel_answers_anywhere(model, model_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    card = json.loads((folder / "card.json").read_text())
    card["model"]["attention"] = "splash"
    (folder / "card.json").write_text(json.dumps(card))
    assert ask(generate.load_model(folder), USERS[:1]) == ask(model, USERS[:1])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("card.json", "card.json: not JSON"),
        ("tokenizer/sentencepiece.model", "not a tokenizer of this program"),
        ("tokenizer/tokenizer_kind.json", "not a tokenizer of this program"),
    ],
)
def test_a_damaged_file_is_refused(model_folder, tmp_path, file, message):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / file).write_text("{")
    with pytest.raises(InputError, match=message):
        generate.load_model(folder)
