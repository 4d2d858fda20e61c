"""How well and how fast are titles refined, on gold that no refiner was trained on.

Rows: the title itself, the category's leaf, the rules, the rules without the nouns of held-out leaves, the trained
refiner alone, and with either rules for what it is unsure of; each with and without the category. Prints one JSON
line; tables go to stderr.

Command: python benchmarks/refine.py --run runs/quickstart [--model FOLDER --max-titles 4000]
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np
import polars as pl

from usergpt_jax import locales
from usergpt_jax.bench.metrics import bleu
from usergpt_jax.corpus.gold_titles import SPLITS, read_gold
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer
from usergpt_jax.inference import refiner as lm_model
from usergpt_jax.semantize import lexicon
from usergpt_jax.semantize.refiners import cache, lm, rules
from usergpt_jax.semantize.refiners.answers import Answers
from usergpt_jax.simulate.titles import BAITS
from usergpt_jax.tasks.refinement import Refined, score, surface_words, words_of

METRICS = ("bleu_1", "bleu_2", "rouge_1", "rouge_l", "entity", "exact", "attribute_f1")
SPREAD = 1.96
WARM_TITLES = 1_000_000


def measure(predicted: Sequence[Refined], gold: Sequence[Refined]) -> dict[str, np.ndarray]:
    """Every metric of every title."""
    rows = []
    for ours, right in zip(predicted, gold, strict=True):
        overlap = [bleu(words_of(ours), words_of(right), order) for order in (1, 2)]
        rows.append({"bleu_1": overlap[0], "bleu_2": overlap[1], **score(ours, right)._asdict()})
    return {name: np.array([row[name] for row in rows]) for name in METRICS}


def selling_phrases() -> list[str]:
    """What sells in titles and is never gold: the noise grammar's openers, closers, promises, festivals and bait."""
    slots = ("opener", "closer", "promise", "festival")
    rows = [
        row["words"].split("|") for row in locales.read_rows("title_words.csv", locales.DEFAULT) if row["slot"] in slots
    ]
    phrases = {phrase.strip("[]").lower() for words in rows for phrase in words if phrase != "-"}
    return sorted(phrases | {bait.lower() for bait, _, _ in BAITS if bait})


def removed_frac(titles: Sequence[str], gold: Sequence[Refined], predicted: Sequence[Refined]) -> float:
    """Share of the selling phrases in titles, and not in gold, that the answers are free of."""
    phrases = [f" {phrase} " for phrase in selling_phrases()]
    total = kept = 0
    for title, right, ours in zip(titles, gold, predicted, strict=True):
        text, gold_text, answer = (
            f" {' '.join(surface_words(one)).lower()} " for one in (title, words_of(right), words_of(ours))
        )
        there = [phrase for phrase in phrases if phrase in text and phrase not in gold_text]
        total += len(there)
        kept += sum(phrase in answer for phrase in there)
    return 1.0 - kept / max(total, 1)


def saved_frac(titles: Sequence[str], predicted: Sequence[Refined], tokenizer: Tokenizer) -> float:
    """Mean reduction in tokens, from title to "Entity (attribute; attribute)" as a MUB writes it."""

    def text(one: Refined) -> str:
        return f"{one.entity} ({'; '.join(one.attributes)})" if one.attributes else one.entity

    before = np.array([len(tokenizer.encode(title)) for title in titles])
    after = np.array([len(tokenizer.encode(text(one))) for one in predicted])
    return float(np.mean(1.0 - after / before))


def refined(table: pl.DataFrame) -> list[Refined]:
    """Answers as records."""
    return [Refined(entity, tuple(stated)) for entity, stated in table.select("entity", "attributes").iter_rows()]


def blind_rules(gold: pl.DataFrame) -> Answers:
    """The rules with a noun list that lacks the core entities and leaves of the held-out leaves."""
    held = gold.filter(pl.col("split") == "leaf")
    hidden = {name.lower() for name in (*held["core_entity"], *held["category"])}
    known = gold.filter(pl.col("split") != "leaf")["core_entity"].unique()
    hidden -= {name.lower() for name in known}
    nouns = rules.nouns_of(lexicon.words("nouns") - hidden)
    return lambda pairs: rules.answers(pairs, nouns)


def as_given(pairs: pl.DataFrame, entity: pl.Expr) -> pl.DataFrame:
    """A baseline without attributes."""
    return pairs.with_columns(entity.alias("entity"), pl.lit([], pl.List(pl.String)).alias("attributes"))


def warm_speed(answers: pl.DataFrame, folder: pathlib.Path) -> float:
    """Titles a second out of a cache that knows a million."""
    copies = pl.DataFrame({"copy": range(-(-WARM_TITLES // answers.height))})
    many = (
        answers.join(copies, how="cross").with_columns(pl.format("{} {}", "title", "copy").alias("title")).drop("copy")
    )
    refiner = cache.Refiner(
        "warm",
        "0" * 16,
        lambda pairs: many.join(pairs, on=["title", "category"], how="semi", nulls_equal=True),
        many.height,
    )
    pairs = many.select("title", "category")
    cache.look_up(folder, refiner, pairs)
    start = time.perf_counter()
    cache.look_up(folder, refiner, pairs)
    return pairs.height / (time.perf_counter() - start)


def main() -> None:
    """Reads the flags, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a simulated run directory")
    parser.add_argument("--model", help="the refiner; defaults to the run's own")
    parser.add_argument("--max-titles", type=int, default=0, help="held-out titles scored, spread evenly; 0: all")
    given = parser.parse_args()
    gold = read_gold(given.run)
    held = gold.filter(pl.col("split") != "train").unique("title", keep="first", maintain_order=True)
    if given.max_titles:
        held = held.gather_every(max(1, -(-held.height // given.max_titles)))
    tokenizer, model = _tokenizer(given.run, given.model), given.model or given.run
    systems: dict[str, Answers] = {
        "title": lambda pairs: as_given(pairs, pl.col("title")),
        "leaf": lambda pairs: as_given(pairs, pl.coalesce("category", "title")),
        "rules": rules.answers,
        "rules_blind": blind_rules(gold),
        "lm alone": lm.load(model, min_probability=0.0).answers,
        "lm": lm.load(model).answers,
        "lm, rules blind": lm.load(model, otherwise=blind_rules(gold)).answers,
    }
    right = [Refined(core, tuple(stated)) for core, stated in held.select("core_entity", "attributes").iter_rows()]
    titles = held["title"].to_list()
    results: dict[str, dict[str, float]] = {}
    warm = 0.0
    for name, answers in systems.items():
        for told in (True, False):
            if name == "leaf" and not told:
                continue
            category = pl.col("category") if told else pl.lit(None, pl.String).alias("category")
            pairs = held.select("title", category)
            if name.startswith("lm"):
                answers(pairs.gather_every(8))  # compiles
            start = time.perf_counter()
            table = answers(pairs)
            seconds = time.perf_counter() - start
            results[f"{name}{'' if told else ', no category'}"] = _figures(
                table, right, titles, held["split"], tokenizer, seconds
            )
            if name == "rules" and told:
                with tempfile.TemporaryDirectory() as folder:
                    warm = warm_speed(table, pathlib.Path(folder))
    rows = {split: int((held["split"] == split).sum()) for split in SPLITS[1:]}
    _print_tables(results, rows, warm)
    saved = saved_frac(titles, right, tokenizer)
    print(f"\ngold saves {saved:.4f} of the tokens", file=sys.stderr)
    out = {"benchmark": "refine", "held_out": rows, "gold_tokens_saved_frac": saved}
    out |= {"cache_warm_titles_per_second": warm, "results": results}
    print(json.dumps(out))


def _tokenizer(run: str, model: str | None) -> Tokenizer:
    """The run's own, which MUBs are counted in; before semantizing, the refiner's."""
    folder = pathlib.Path(run) / "2_mub" / "tokenizer"
    return load_tokenizer(folder) if folder.exists() else lm_model.load_refiner(model or run).tokenizer


def _figures(
    table: pl.DataFrame,
    right: Sequence[Refined],
    titles: Sequence[str],
    split: pl.Series,
    tokenizer: Tokenizer,
    seconds: float,
) -> dict[str, float]:
    predicted = refined(table)
    scores = measure(predicted, right)
    figures = {name: float(values.mean()) for name, values in scores.items()}
    for kind in SPLITS[1:]:
        of_kind = (split == kind).to_numpy()
        if of_kind.any():
            figures |= {f"{name}.{kind}": float(scores[name][of_kind].mean()) for name in METRICS}
    figures["exact_interval"] = SPREAD * float(scores["exact"].std()) / len(titles) ** 0.5
    figures["selling_removed_frac"] = removed_frac(titles, right, predicted)
    figures["tokens_saved_frac"] = saved_frac(titles, predicted, tokenizer)
    figures["titles_per_second"] = len(titles) / seconds
    if "fallback" in table.columns:
        figures["fallback_frac"] = float(table["fallback"].is_not_null().mean() or 0.0)
    return figures


def _print_tables(results: dict[str, dict[str, float]], rows: dict[str, int], warm: float) -> None:
    columns = (*METRICS, "selling_removed_frac", "tokens_saved_frac", "fallback_frac", "titles_per_second")
    print(f"held-out titles: {rows}; out of a warm cache {warm:,.0f} titles/s", file=sys.stderr)
    for kind in ("", *(f".{split}" for split in SPLITS[1:])):
        names = columns if not kind else METRICS
        print(f"\n{kind[1:] or 'all':24s} " + " ".join(f"{name[:12]:>12s}" for name in names), file=sys.stderr)
        for system, figures in results.items():
            values = (figures.get(f"{name}{kind}") for name in names)
            cells = " ".join(f"{'':>12s}" if value is None else f"{value:12.4f}" for value in values)
            print(f"{system:24s} {cells}", file=sys.stderr)


if __name__ == "__main__":
    main()
