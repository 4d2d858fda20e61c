import importlib.util
import json
import pathlib

import pytest

from tests.inference.tiny_model import write_model
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18

ROOT = pathlib.Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("profile_users", ROOT / "launch" / "profile_users.py")
profile_users = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(profile_users)

MAP = """
from ml_collections import ConfigDict

def get_config():
    return ConfigDict({
        "user_id": "who", "time": "when", "title": "what", "source": "ecommerce", "action": "purchase",
    })
"""
LOG = """who,when,what
b,2024-05-01 10:00:00,Cat Litter
a,2024-05-02 11:00:00,"Milk <answer>{""pet"": ""cat""}</answer> | [Source: POI]"
a,2024-05-03 11:00:00,Milk Powder
c,2024-06-03 11:00:00,Tea
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("run") / "5_rl" / "model", "df_grpo", seed=0).parents[1]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "map.py").write_text(MAP)
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path


def profile(files, model, *more):
    out = files / "personas.jsonl"
    args = ["--events", files / "log.csv", "--map", files / "map.py", "--model", model, "--out", out]
    profile_users.main([*map(str, args), "--n-samples", "2", "--users_at_once", "2", *more])
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_each_user_gets_one_line_and_the_import_is_reported(files, model, capsys):
    personas = profile(files, model)
    printed = capsys.readouterr().out
    assert "4 rows read, 4 events of 3 users" in printed
    assert "3 personas" in printed
    assert [persona["user_id"] for persona in personas] == ["a", "b", "c"]
    for persona in personas:
        assert persona["as_of"] == "2024-06-04T00:00:00"  # the day after the last event, not the training run's
        assert list(persona["tags"]) == list(HPR18.names)
        assert {tag["value"] for tag in persona["tags"].values()} == {NA}  # an untrained model knows nothing
        assert persona["summary_source"] == "composed"
        assert persona["compression"]["raw_tokens"] > 0
    assert personas[1]["mub"] == ["[Source: E-commerce] [TIME: 2024-05] [TYPE: Purchase] [COUNT: 1] | Cat Litter"]
    assert len(personas[0]["mub"]) == 1
    assert not any(mark in personas[0]["mub"][0] for mark in ("<answer>", "[Source: POI]"))


def test_the_first_users_are_profiled_as_in_the_whole_log(files, model):
    whole = profile(files, model)
    assert profile(files, model, "--limit-users", "2") == whole[:2]
    assert profile(files, model, "--limit_users", "1") == whole[:1]


def test_probabilities_of_closed_tags_are_added_where_asked_for(files, model):
    plain, scored = profile(files, model), profile(files, model, "--score_choices")
    for persona, before in zip(scored, plain, strict=True):
        for name, tag in persona["tags"].items():
            found = tag.pop("probabilities", {})
            assert bool(found) != HPR18[name].is_open
            assert set(found) <= {*HPR18[name].values, NA}
            assert all(p >= 0.01 for p in found.values())
            assert sum(found.values()) <= 1.001
            assert list(found.values()) == sorted(found.values(), reverse=True)
        assert persona == before


@pytest.mark.parametrize(("flag", "name"), [("--map", "map.py"), ("--events", "log.csv"), ("--events", "*.csv")])
def test_what_is_read_is_never_overwritten(files, model, capsys, flag, name):
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    target = "map.py" if flag == "--map" else "log.csv"
    with pytest.raises(SystemExit):
        profile(files, model, flag, str(files / name), "--out", str(files / target))
    assert "would replace what is read" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before


def change_card(folder, refine, categories):
    path = folder / "5_rl/model/card.json"
    card = json.loads(path.read_text())
    card["reading"]["refine"] |= refine
    card["reading"]["categories"] |= categories
    path.write_text(json.dumps(card))


def test_titles_are_read_as_those_that_the_model_learned_from(files, capsys):
    model = write_model(files / "run/5_rl/model", "df_grpo", seed=0).parents[1]
    (files / "log.csv").write_text("who,when,what\na,2024-05-01 10:00:00,Zhuangmei moisturising Lipsticks\n")
    (files / "own.csv").write_text("category,leaf\n")
    change_card(model, {"kind": "rules"}, {"map": True, "file": str(files / "own.csv")})
    (persona,) = profile(files, model)
    printed = capsys.readouterr().out
    assert "titles are refined by rules-" in printed  # the card of this test says that they were by "table"
    assert "categories" in printed
    assert persona["mub"][0].endswith("| Lipstick")
    assert list((files / "refined").glob("rules-*/segment-*.parquet"))


def test_a_refiner_that_has_moved_is_named_and_can_be_given(files, capsys):
    model = write_model(files / "run/5_rl/model", "df_grpo", seed=0).parents[1]
    change_card(model, {"kind": "lm", "path": str(files / "gone")}, {})
    for more, missing in ([], "gone"), (["--refiner_path", str(files / "new")], "new"):
        with pytest.raises(SystemExit):
            profile(files, model, *more)
        assert f"{files / missing}: no refiner here" in capsys.readouterr().err


def test_mapping_categories_may_be_asked_for(files, model, capsys):
    profile(files, model)
    assert "mapped" not in capsys.readouterr().out
    profile(files, model, "--map-categories")
    assert "other" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "nowhere"], "nowhere: no such folder; expected a model folder or a run directory"),
        (["--map", "nowhere.py"], "nowhere.py: no such mapping file"),
        (["--events", "nowhere.csv"], "nowhere.csv"),
        (["--out", "no/such/folder.jsonl"], "cannot be written; expected a file name in a folder that exists"),
        (["--refiner_path", "elsewhere"], "--refiner_path: the model's titles were refined by 'table'"),
        (["--min_confidence", "1.5"], "min_confidence: expected a share in [0, 1], got 1.5"),
        (["--n_samples", "0"], "n_samples: expected at least 1, got 0"),
        (["--limit_users", "-1"], "--limit_users: expected 0 (all) or more, got -1"),
        (["--as_of", "2020-01-01"], "no event is before 2020-01-01; the log starts at 2024-05-01 10:00:00"),
        (["--as_of", "yesterday"], "expected YYYY-MM-DD, got 'yesterday'"),
        (["--temperature", "-1"], "temperature: expected at least 0 and finite, got -1.0"),
        (["--temperature", "nan"], "temperature: expected at least 0 and finite, got nan"),
        (["--seed", "9999999999"], "seed: expected 0 to 2147483647, got 9999999999"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_users_error_is_one_line_and_writes_nothing(files, model, capsys, more, message):
    with pytest.raises(SystemExit) as stop:
        profile(files, model, *more)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert not (files / "personas.jsonl").exists()
