"""What semantization keeps of the truth, against the tokens it costs: raw events, refined events, MUBs of many sizes.

Usage: python -m benchmarks.information RUN [--out=docs/images] [--processes=2]

RUN is a run folder with `1_events` (simulated: its truth is what is recovered) and `2_mub` (its tokenizer). Everything
else is the quickstart's config: windows, Top-K, the split; users outside the split "sft" are predicted. Two readers: a
linear model on bags of items, its strength chosen by cross-validation on the training users, and the evidence rules.
Takes about 12 minutes for 3,000 users on two cores. Writes information.json and two plots; prints the JSON as a line.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import datetime
import json
import multiprocessing
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from tqdm import tqdm

from benchmarks import information_plot
from configs import quickstart
from usergpt_jax import schema
from usergpt_jax.bench import baselines, features, information, metrics
from usergpt_jax.bench.features import Bag
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.corpus.split import SplitConfig, split_of
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.semantize import budget, coded, mub, names, pipeline, run, salience, survey
from usergpt_jax.semantize.coded import NONE
from usergpt_jax.semantize.config import SemantizeConfig
from usergpt_jax.semantize.names import BANDS, PRICE_BAND
from usergpt_jax.semantize.pipeline import Prepared
from usergpt_jax.semantize.token_count import Counter
from usergpt_jax.tags import tag_schema
from usergpt_jax.tasks import rules

TAGS = tag_schema("hpr18")
GRID = (0.0003, 0.001, 0.003, 0.01)  # strengths of the linear model
N_FOLDS = 2
MIN_USERS = 5  # training users that must have a word for it to count
DRAWS = 1000
BUDGETS = (64, 128, 230, 512, 1024, 4096)
WINDOWS = {  # name -> what differs from the quickstart's config
    "": {},
    "longer": {"recent_days": 30, "monthly_months": 12},
    "every action": {"recent_days": 30, "monthly_months": 12, "distant_actions": schema.ACTIONS},
}
SHOPS = tuple(map(schema.SOURCES.index, ("ecommerce", "delivery")))
STEPS = ("raw", "refined", "aggregated", "top_k", "mub")
Guess = dict[str, str]  # tag name -> value


class Seen(NamedTuple):
    """One representation: bags of all users and what the rules read of the test users."""

    tokens: float  # a user
    bags: Mapping[str, Bag]
    read: dict[str, Guess]


def main() -> None:
    """Measures, writes and prints."""
    parser = argparse.ArgumentParser(description="What semantization keeps of the truth.")
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/images"))
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    found = measure(given.run, given.processes)
    found["command"] = f"python -m benchmarks.information RUN --processes={given.processes}"
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "information.json").write_text(json.dumps(found, indent=1) + "\n")
    information_plot.draw(found, given.out)
    for row in found["representations"]:
        print(
            f"{row['name']:24} {row['tokens']:>9,.0f} {row['linear']['mean']:.3f} {row['rules']['mean']:.3f}",
            file=sys.stderr,
        )
    print(json.dumps(found))


def measure(folder: pathlib.Path, processes: int) -> dict[str, Any]:
    """All representations of a run's users, and how well both readers recover the tags."""
    config: Any = quickstart.get_config()
    split = to_dataclass(SplitConfig, config.split, "split")
    truth = pl.read_parquet(folder / run.EVENTS / "users.parquet").sort("user_id")
    gold = {row["user_id"]: {name: row[name] for name in TAGS.names} for row in truth.iter_rows(named=True)}
    train = [user for user in gold if split_of(user, split) == "sft"]
    test = [user for user in gold if split_of(user, split) != "sft"]
    steps: dict[str, dict[str, float]] = {}
    with concurrent.futures.ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting = {}
        for name, seen in representations(folder, config.semantize, truth, test, steps):
            bags = [[seen.bags.get(user, {}) for user in users] for users in (train, test)]
            labels = [[gold[user] for user in users] for users in (train, test)]
            waiting[name] = (seen, pool.submit(recover, bags, labels))
        draws = metrics.draw_weights(len(test), DRAWS, seed=0)
        right = [gold[user] for user in test]
        empty = rules.predict("", TAGS)
        rows = []
        for name, (seen, future) in tqdm(waiting.items(), desc="linear", unit="representation"):
            linear = future.result()
            read = information.credit(TAGS, [seen.read.get(user, empty) for user in test], right)
            rows.append(
                {
                    "name": name,
                    "tokens": round(seen.tokens, 1),
                    "linear": figures(linear.credit, right, draws) | {"c": linear.c, "words": linear.n_words},
                    "rules": figures(read, right, draws),
                }
            )
    majority = baselines.majority(TAGS, [gold[user] for user in train], len(test))
    return {
        "version": run_dir.code_version(),
        "date": datetime.date.today().isoformat(),
        "users": {"train": len(train), "test": len(test)},
        "config": {"semantize": config.semantize.to_dict(), "windows": WINDOWS, "grid": GRID, "folds": N_FOLDS},
        "majority": figures(information.credit(TAGS, majority, right), right, draws),
        "tokens_a_user_by_step": steps,
        "representations": rows,
    }


def recover(bags: Sequence[Sequence[Bag]], labels: Sequence[Sequence[Guess]]) -> information.Recovered:
    """The linear model's part, in a process of its own."""
    train, test = zip(bags, labels, strict=True)
    return information.recover(TAGS, train, test, grid=GRID, n_folds=N_FOLDS, min_users=MIN_USERS)


def figures(credit: np.ndarray, gold: Sequence[Mapping[str, str]], draws: np.ndarray) -> dict[str, Any]:
    """Means over tags with their interval: of all users, and of those whose tag is known; and each tag's."""
    mean = information.mean_over_tags(credit, np.ones_like(credit, bool), draws)
    known = information.mean_over_tags(credit, information.known(TAGS, gold), draws)
    return {
        "mean": round(mean.value, 4),
        "interval": [round(mean.low, 4), round(mean.high, 4)],
        "mean_of_known": round(known.value, 4),
        "interval_of_known": [round(known.low, 4), round(known.high, 4)],
        "tags": {name: round(float(value), 4) for name, value in zip(TAGS.names, credit.mean(0), strict=True)},
    }


def representations(
    folder: pathlib.Path, section: Any, truth: pl.DataFrame, test: Sequence[str], steps: dict[str, dict[str, float]]
) -> Iterator[tuple[str, Seen]]:
    """The raw log, the refined log, and MUBs by windows and budget; leaves tokens a user by step in `steps`."""
    parts = run.event_parts(folder / run.EVENTS)
    counter = Counter(load_tokenizer(folder / run.MUB / "tokenizer"))
    plain = to_dataclass(SemantizeConfig, section, "semantize")
    texts = survey.merge_texts(survey.texts_of(coded.read(part, survey.TEXT_COLUMNS)) for part in parts)
    lexicon = survey.lexicon_of(texts)
    logs = (coded.code(coded.read(part)) for part in parts)
    counted = survey.merge_tallies(survey.tally(log, names.names_of(log, lexicon)) for log in logs)
    known = survey.survey_of(lexicon, counted, min_band_purchases=plain.min_band_purchases)
    for window, changed in WINDOWS.items():
        section = dataclasses.replace(plain, **changed)
        prepared = [
            pipeline.prepare(coded.read(part), section, known, truth.select("user_id", "as_of"))
            for part in tqdm(parts, desc=f"windows {window}", unit="part")
        ]
        sizes = sum_counts(pipeline.finish(one, section, counter).counts for one in prepared)
        steps[window] = {step: sizes[f"{step}_tokens"] / sizes["users"] for step in STEPS}
        if not window:
            size = steps[window]
            yield "raw", Seen(size["raw"], bags_of(prepared, raw_words), read_events(prepared, test, raw_items))
            bags, read = bags_of(prepared, refined_words), read_events(prepared, test, refined_items)
            yield "refined", Seen(size["refined"], bags, read)
        before: dict[str, str] = {}
        for max_tokens in BUDGETS:
            made = pl.concat([mubs(one, section, max_tokens, counter) for one in prepared])
            text = dict(made.select("user_id", "mub").iter_rows())
            if text == before:
                break
            before = text
            bags = {user: features.mub_bag(one) for user, one in text.items()}
            read = {user: rules.predict(text[user], TAGS) for user in test if user in text}
            yield f"{window} {max_tokens}".strip(), Seen(float(made["mub_tokens"].sum()) / sizes["users"], bags, read)


def mubs(prepared: Prepared, section: SemantizeConfig, max_tokens: int, counter: Counter) -> pl.DataFrame:
    """`user_id`, `mub`, `mub_tokens` within a budget."""
    top = salience.top_k(prepared.slices, section.top_k, section.top_places)
    made = budget.fit(top, max_tokens, counter)
    return made.select(prepared.log.users.gather(made["user"]).alias("user_id"), "mub", "mub_tokens")


def bags_of(parts: Iterable[Prepared], words: Callable[[Prepared], Iterator[pl.DataFrame]]) -> Mapping[str, Bag]:
    """Bags of all users from tables `user`, `word`, `n` of each part."""
    bags: dict[str, dict[str, float]] = {}
    for part in parts:
        users = part.log.users.to_list()
        for user, word, n in pl.concat(words(part)).iter_rows():
            bags.setdefault(users[user], {})[sys.intern(word)] = n
    return bags


def raw_words(part: Prepared) -> Iterator[pl.DataFrame]:
    """Words of titles; categories by source and action; words of places by source."""
    log = part.log
    titles = log.titles.with_row_index("title_row").select(pl.col("title_row").cast(pl.Int32), "title", "category")
    text = pl.col("title").str.to_lowercase().str.extract_all(r"[\p{L}\d]+").alias("word")
    words = titles.select("title_row", text).explode("word", empty_as_null=True).drop_nulls()
    seen = pl.DataFrame({"user": log.user, "source": log.source, "action": log.action, "title_row": log.title})
    seen = seen.group_by(pl.all()).len("n")
    yield counted(seen.join(words, on="title_row"), "word")
    yield counted(seen.join(titles.drop_nulls("category"), on="title_row"), "category", "source", "action")
    text = pl.lit(log.places).str.extract_all(r"[\p{L}\d]+").alias("word")
    words = pl.select(pl.int_range(len(log.places), dtype=pl.Int32).alias("place"), text).explode("word").drop_nulls()
    seen = pl.DataFrame({"user": log.user, "source": log.source, "place": log.place}).group_by(pl.all()).len("n")
    yield counted(seen.join(words, on="place").with_columns(pl.lit("place").alias("kind")), "word", "source", "kind")


def refined_words(part: Prepared) -> Iterator[pl.DataFrame]:
    """Entities by source and action, and their attributes; cities and areas by source; how dear the user buys."""
    log, found = part.log, part.names
    events = pl.DataFrame({"user": log.user, "source": log.source, "action": log.action, "n": np.ones(len(log))})

    def stated(texts: pl.Series, number: np.ndarray) -> pl.DataFrame:
        frame = events.filter(pl.Series(number != NONE))
        return frame.with_columns(texts.gather(number[number != NONE]).alias("text"))

    yield counted(stated(found.texts, found.entity[log.title]), "text", "source", "action")
    for place in (found.city_of(log), found.area_of(log)):
        yield counted(stated(found.texts, place).with_columns(pl.lit("place").alias("kind")), "text", "source", "kind")
    for kind, (texts, number) in attribute_numbers(part).items():
        yield counted(stated(texts, number).with_columns(pl.lit(kind).alias("kind")), "text", "kind")
    yield dearness_words(part)


def dearness_words(part: Prepared) -> pl.DataFrame:
    """The words of `features.mub_bag` for prices, from purchases instead of items."""
    log = part.log
    bought = (log.action == schema.ACTIONS.index("purchase")) & np.isin(log.source, SHOPS)
    sign = np.where(part.band == NONE, 0, np.where(part.band == BANDS.index("premium"), 1, -1))
    frame = pl.DataFrame({"user": log.user, "sign": sign}).filter(pl.Series(bought))
    means = frame.group_by("user").agg(pl.col("sign").mean(), pl.len().alias("n"))
    rows = [
        (user, word, 1.0)
        for user, mean, n in means.iter_rows()
        if n >= rules.MIN_BOUGHT
        for word in features.dearness_words(mean)
    ]
    return pl.DataFrame(rows, schema={"user": pl.Int32, "word": pl.String, "n": pl.Float64}, orient="row")


def attribute_numbers(part: Prepared) -> dict[str, tuple[pl.Series, np.ndarray]]:
    """For each kind its words and the word of each event."""
    found = {kind: (words, number[part.log.title]) for kind, (words, number) in part.names.attributes.items()}
    found[PRICE_BAND] = (pl.Series(BANDS), part.band)
    config: Any = quickstart.get_config()
    return {kind: found[kind] for kind in config.semantize.attribute_kinds}


def counted(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """`user`, `word` (the columns together), `n` summed over a user's rows."""
    word = pl.concat_str([pl.lit(columns[0]), *(pl.col(name).cast(pl.String) for name in columns)], separator=" ")
    summed = frame.group_by("user", *columns).agg(pl.col("n").sum().cast(pl.Float64))
    return summed.select(pl.col("user").cast(pl.Int32), word.alias("word"), "n")


def read_events(
    parts: Iterable[Prepared], users: Sequence[str], items: Callable[[Prepared], pl.Expr]
) -> dict[str, Guess]:
    """What the rules read of the users' events, each written as a line of one event."""
    source, action = (
        pl.lit(pl.Series([labels[name] for name in names])).gather(pl.col(column))
        for column, names, labels in (
            ("source", schema.SOURCES, mub.SOURCE_LABELS),
            ("action", schema.ACTIONS, mub.ACTION_LABELS),
        )
    )
    read = {}
    for part in parts:
        log = part.log
        events = pl.DataFrame({"user": log.user, "source": log.source, "action": log.action})
        wanted = pl.Series(log.users.is_in(users).to_numpy()[log.user])
        line = pl.format("[Source: {}] [TIME: 2025] [TYPE: {}] [COUNT: 1] | {}", source, action, "items")
        texts = events.with_columns(items(part).alias("items")).filter(wanted).select("user", line.alias("line"))
        for user, text in texts.group_by("user").agg(pl.col("line").str.join("\n")).iter_rows():
            read[log.users[user]] = rules.predict(text, TAGS)
    return read


def raw_items(part: Prepared) -> pl.Expr:
    """Title, category and place of each event."""
    log = part.log
    columns = ((log.titles["title"], log.title), (log.titles["category"], log.title), (log.places, log.place))
    return pl.concat_str([escaped(texts, number) for texts, number in columns], separator=", ", ignore_nulls=True)


def refined_items(part: Prepared) -> pl.Expr:
    """Entity with its attributes, city and area of each event."""
    log, found = part.log, part.names
    attributes = [gathered(texts, number) for texts, number in attribute_numbers(part).values()]
    listed = pl.concat_str(attributes, separator="; ", ignore_nulls=True)
    entity = gathered(found.texts, found.entity[log.title])
    entity = pl.when(listed == "").then(entity).otherwise(pl.format("{} ({})", entity, listed))
    places = [gathered(found.texts, number) for number in (found.city_of(log), found.area_of(log))]
    return pl.concat_str([entity, *places], separator=", ", ignore_nulls=True)


def escaped(texts: pl.Series, number: np.ndarray) -> pl.Expr:
    """Texts by number, as an item may hold them."""
    plain = pl.Series([mub.escape(text) if text else None for text in texts], dtype=pl.String)
    return gathered(plain, number)


def gathered(texts: pl.Series, number: np.ndarray) -> pl.Expr:
    """Texts by number, null for NONE."""
    return pl.lit(texts.gather(pl.Series(number).cast(pl.Int64).set(pl.Series(number == NONE), None)))


def sum_counts(counts: Iterable[Mapping[str, int]]) -> collections.Counter[str]:
    """Sums of the counts of several parts."""
    total: collections.Counter[str] = collections.Counter()
    for one in counts:
        total.update(one)
    return total


if __name__ == "__main__":
    main()
