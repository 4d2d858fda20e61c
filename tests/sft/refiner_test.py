import functools
import importlib.util
import pathlib

import jax
import numpy as np
import optax
import polars as pl
import pytest
from ml_collections import ConfigDict

from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.optimizer import init_state, jit_step
from usergpt_jax.corpus.trees import TreeShape, tree_of
from usergpt_jax.corpus.word_pieces import train_word_pieces
from usergpt_jax.inference import refiner as inference
from usergpt_jax.models import qwen3
from usergpt_jax.semantize.refiners import lm
from usergpt_jax.sft import refiner
from usergpt_jax.sft.title_augment import Augmenter, Example
from usergpt_jax.sft.train import train_step
from usergpt_jax.simulate import catalog
from usergpt_jax.tasks import pointing, refinement
from usergpt_jax.tasks.refinement import Refined

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "refiner.py"
WORDS = (
    ("[Hot Sale] Woodrow Display Shelf Four Tier", "Shelves", "Display Shelf | Woodrow; Four Tier", "Woodrow"),
    ("Urban Thread Women's Wool Coat Trench", "Coat", "Wool Coat | Urban Thread; Trench; women's", "Urban Thread"),
    ("Blue Door Oat Latte", "Coffee", "Latte | Blue Door; Oat", "Blue Door"),
    ("City Library", "Library", "City Library", ""),
    ("Deep Clean Housekeeping Yulong", "Housekeeping", "Housekeeping | Yulong; Deep Clean", "Yulong"),
    ("Museum Ticket in Xining, Regular", "Museum", "Museum Ticket | Xining; Regular", ""),
    ("Semir Way Bra Set Free Shipping", "Lingerie", "Bra Set | Semir Way", "Semir Way"),
    ("Mattress 1.8 m [7 Day Returns] JURAN LIFE", "Mattress", "Mattress | Juran Life; 1.8 m", "Juran Life"),
)
GOLD = [(title, category, refinement.parse(answer), brand) for title, category, answer, brand in WORDS]


def tiny_config(run_dir) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("refiner_config", CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.run_dir = str(run_dir)
    config.model.update({"n_layers": 2, "d_model": 32, "d_ff": 48, "n_heads": 2, "n_kv_heads": 1, "head_dim": 16})
    config.refiner.update(
        {"n_steps": 2, "batch_titles": 4, "vocab_size": 500, "save_every_steps": 1, "log_every_steps": 1}
    )
    return config


@pytest.fixture(scope="module")
def gold_run(tmp_path_factory):
    """A run whose 1_events holds the gold of every twentieth item, and no event."""
    run = tmp_path_factory.mktemp("run")
    stage = run_dir.open_stage(run, "1_events", config={})
    assert stage is not None
    gold = pl.from_arrow(catalog.gold_table())
    assert isinstance(gold, pl.DataFrame)
    gold.gather_every(20).write_parquet(stage.path / "items.parquet")
    stage.finish({})
    return run


def test_the_config_trains_two_steps_and_its_model_refines(gold_run, capsys, monkeypatch):
    monkeypatch.setattr(inference, "_SHORTER", ())
    refiner.run(tiny_config(gold_run), "refuse")
    folder = gold_run / "refiner"
    assert sorted(path.name for path in (folder / "model").iterdir()) == ["card.json", "params", "tokenizer"]
    assert not (folder / "state").exists()
    counts = run_dir.read_manifest(gold_run, "refiner").counts
    assert set(counts["rows"]) == {"train", "leaf", "brand", "item"}
    refiner.run(tiny_config(gold_run), "refuse")
    assert "reused" in capsys.readouterr().out
    made = lm.load(gold_run, rows_per_batch=4)
    pairs = pl.DataFrame(
        {"title": ["Urban Thread Wool Coat", "", "!!!", "小米"], "category": ["Coat", None, None, None]}
    )
    answers = made.answers(pairs)  # an untrained model answers badly, so the rules do
    assert answers["entity"].null_count() == 0
    assert lm.load(gold_run).identity == made.identity


def test_a_run_without_events_is_refused(tmp_path):
    with pytest.raises(InputError, match="1_events"):
        refiner.run(tiny_config(tmp_path), "refuse")


def test_titles_that_never_fit_are_the_configs_fault(gold_run, tmp_path):
    gold = refiner.read_gold(gold_run)
    augmenter = Augmenter(refiner.training_titles(gold), [])
    tokenizer = train_word_pieces(refiner.tokenizer_texts(augmenter, 0), tmp_path, vocab_size=500, seed=0)
    with pytest.raises(InputError, match="title_tokens = 3"):
        refiner.fitting(augmenter, tokenizer, TreeShape(3, 1, 24), np.random.default_rng(0))


def test_batches_resume_where_they_stopped(gold_run, tmp_path):
    gold = refiner.read_gold(gold_run)
    augmenter = Augmenter(refiner.training_titles(gold), refiner.marketing_phrases(gold))
    tokenizer = train_word_pieces(refiner.tokenizer_texts(augmenter, 0), tmp_path, vocab_size=500, seed=0)
    cfg = refiner.to_dataclass(refiner.RefinerConfig, tiny_config(gold_run).refiner, "refiner")
    batches = refiner.batches(augmenter, tokenizer, cfg, seed=0)
    next(batches)
    state = batches.get_state()
    second = next(batches)
    again = refiner.batches(augmenter, tokenizer, cfg, seed=0)
    again.set_state(state)
    for one, two in zip(second, next(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (second.output_mask.sum(axis=(1, 2)) > 1).all()
    assert not (second.output_mask[:, :, : refiner.first_output(tokenizer)]).any()


def test_made_up_titles_hold_their_answers():
    augmenter = Augmenter(GOLD, ["Flash Sale"])
    rng = np.random.default_rng(0)
    examples = [augmenter.example(int(rng.integers(len(GOLD))), rng) for _ in range(400)]
    dropped = [refinement.grounded(one.answer, one.title, None).n_dropped for one in examples]
    assert np.mean(dropped) < 0.02  # a made-up brand may hold the noun that is then swapped; training skips such
    assert len({one.answer.attributes[:1] for one in examples}) > 100  # names that never were
    assert any("Flash Sale" in one.title for one in examples)


def test_a_tiny_model_learns_eight_titles_by_heart(tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "_SHORTER", (0.5,))  # each bucket is a compilation
    examples = [
        Example(title, category if i % 2 else None, answer) for i, (title, category, answer, _) in enumerate(GOLD)
    ]
    texts = [text for one in examples for text in (refinement.plain(one.title), refinement.plain(one.category or ""))]
    tokenizer = train_word_pieces(texts * 10, tmp_path, vocab_size=420, seed=0)
    config = qwen3.Qwen3Config(2, 48, 96, 2, 1, 24, 10_000.0, 1e-6, True, "float32", "float32", "none")
    shape = TreeShape(40, 1, 20)
    encoded = [refiner.encode(tokenizer, one, 40) for one in examples]
    batch = refiner.stack([tree_of(tokenizer, title, [branch], shape) for title, branch in encoded])
    params = qwen3.init(config, tokenizer.vocab_size, jax.random.key(0))
    optimizer = optax.adam(8e-3)
    state = init_state(optimizer, params)
    step = functools.partial(train_step, config=config, optimizer=optimizer, first_output=2, chunk_tokens=512)
    step = jit_step(step, params, state)
    for _ in range(60):
        params, state, parts, _ = step(params, state, batch)
    assert float(parts.loss) < 0.2
    model = inference.LoadedRefiner(config, params, tokenizer, 40, "x")
    titles, categories = [one.title for one in examples], [one.category for one in examples]
    texts = inference.answers(model, titles, categories, rows_per_batch=4)
    for (text, probability), example in zip(texts, examples, strict=True):
        assert 0.0 < probability <= 1.0
        refined = refinement.grounded(refinement.parse(text), example.title, example.category).refined
        assert refinement.score(refined, example.answer).exact == 1.0
    # what a title gets depends neither on its batch nor on its company, and the second round compiles nothing
    compiled = inference._sample._cache_size()
    again = inference.answers(model, titles[::-1], categories[::-1], rows_per_batch=4)[::-1]
    assert [one.text for one in again] == [one.text for one in texts]
    assert inference.answers(model, titles[:1], categories[:1], rows_per_batch=4)[0].text == texts[0].text
    assert inference._sample._cache_size() == compiled
    assert inference.answers(model, [], [], rows_per_batch=4) == []
    long = inference.answers(model, ["Display Shelf " * 200], ["Shelves " * 50], rows_per_batch=4)
    assert len(long) == 1


def test_a_folder_without_a_refiner_is_named(tmp_path):
    with pytest.raises(InputError, match="no refiner here"):
        inference.load_refiner(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(InputError, match="not a card of a refiner"):
        inference.load_refiner(tmp_path)


def test_numbers_point_at_words_only(tmp_path):
    tokenizer = train_word_pieces([" tea shop"] * 20, tmp_path, vocab_size=360, seed=0)
    assert pointing.answer_ids(tokenizer, Refined("!!!", ()), "!!!", None) in (None, [tokenizer.end_id])
