"""How well are titles mapped to the catalogue's leaves where the log hides or lacks its categories.

Three measures, each with the leaf hidden: simulated titles with all leaves known; with a third of the leaves unknown,
where `other` is right, and up to a third known by name only, so that the title's noun is new (`blind`); and a real log,
whose accepted mappings are listed for reading. Prints one JSON line; tables go to stderr.

Commands:
  python benchmarks/categories.py                       accuracy, coverage and speed on simulated titles
  python benchmarks/categories.py --fit --every 1       fits HASHING_CALIBRATION and prints its reliability
  python benchmarks/categories.py --fit --encoder FOLDER    the same for a text encoder
  python benchmarks/categories.py --log LOG.parquet --title Description --read 100
"""

import argparse
import json
import sys
import time
import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from usergpt_jax import locales
from usergpt_jax.corpus.gold_titles import split_gold
from usergpt_jax.models.text_encoder import load_encoder
from usergpt_jax.semantize import lexicon, refine
from usergpt_jax.semantize.categories import calibrate, coverage, leaves, mapping, nearest, phrases
from usergpt_jax.semantize.categories.hashing import Embedder
from usergpt_jax.semantize.title_entity import title_entity
from usergpt_jax.simulate import catalog

FIT_SEEDS, TEST_SEEDS = range(6), range(100, 103)
KNOWN, BLIND, UNKNOWN = "known", "blind", "unknown"
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)


def gold_titles(every: int) -> pl.DataFrame:
    """Simulated titles with their leaf as `gold` and how they are held out (`split`)."""
    gold = split_gold(pl.DataFrame(pl.from_arrow(catalog.gold_table(locales.DEFAULT))))
    return gold.gather_every(every).unique("title", keep="first", maintain_order=True).rename({"category": "gold"})


def hidden(titles: pl.DataFrame) -> pl.DataFrame:
    """The pairs without their category."""
    return titles.select("title", pl.lit(None, pl.String).alias("category"))


def roles_of(seed: int) -> dict[str, str]:
    """Draws what is known of each leaf; only one whose noun differs from its name can be blind."""
    found = {}
    for row in locales.read_rows("catalog.csv", locales.DEFAULT):
        drawn = zlib.crc32(f"{seed}:{row['leaf']}".encode()) % 3
        differs = not set(nearest.plain(row["noun"]).split()) <= set(nearest.plain(row["leaf"]).split())
        found[row["leaf"]] = (KNOWN, UNKNOWN, BLIND if differs else KNOWN)[drawn]
    return found


def leaves_by_role(roles: dict[str, str], seed: int) -> leaves.Leaves:
    """The leaves that are not unknown; blind ones by name, levels and variants; half of the nouns of no leaf."""
    rows = locales.read_rows("catalog.csv", locales.DEFAULT)
    synonyms = {
        row["leaf"]: row["phrases"].split("|")
        for row in locales.read_rows(leaves.SYNONYMS, locales.DEFAULT)
        if roles.get(row["leaf"], KNOWN) == KNOWN
    }
    hide = {nearest.plain(text) for row in rows if roles[row["leaf"]] != KNOWN for text in (row["leaf"], row["noun"])}
    nouns = [
        noun
        for noun in lexicon.entries("nouns")
        if nearest.plain(noun) not in hide and zlib.crc32(f"{seed}:{noun}".encode()) % 2
    ]
    shown = [
        {**row, "noun": row["leaf"]} if roles[row["leaf"]] == BLIND else row
        for row in rows
        if roles[row["leaf"]] != UNKNOWN
    ]
    return leaves.build(shown, synonyms, nouns)


def foreign_titles(titles: pl.DataFrame, seed: int) -> list[str]:
    """Simulated titles whose goods are replaced by a noun of the word list that no leaf has."""
    known = leaves.load()
    nouns = [noun for noun in lexicon.entries("nouns") if known.phrases.get(nearest.plain(noun)) == leaves.NO_LEAF]
    pick = np.random.default_rng(seed)
    made = []
    for title, noun in titles.select("title", "core_entity").iter_rows():
        other = nouns[pick.integers(len(nouns))].title()
        if noun.lower() in title.lower():
            start = title.lower().index(noun.lower())
            made.append(f"{title[:start]}{other}{title[start + len(noun) :]}")
    return made


def unresolved(titles: pl.DataFrame, seed: int, embed: Embedder | None) -> pl.DataFrame:
    """Titles that the phrases leave open under a draw of roles: `similarity`, `margin`, `right`, `role`."""
    roles = roles_of(seed)
    known = leaves_by_role(roles, seed)
    sample = titles.gather_every(7, offset=seed % 7)
    rows = [(title, gold, roles[gold]) for title, gold in sample.select("title", "gold").iter_rows()]
    rows += [(title, "", "foreign") for title in foreign_titles(sample, seed)]
    texts = pl.DataFrame(rows, schema=["title", "gold", "role"], orient="row").with_columns(
        refine.without_marketing(pl.col("title")).alias("text")
    )
    open_rows = [
        row
        for row in texts.iter_rows(named=True)
        if (found := phrases.find(row["text"], known)) is None or found.confidence < mapping.THRESHOLD
    ]
    heads = [title_entity(row["text"].replace(refine.HYPHEN, "-")) for row in open_rows]
    found = nearest.prototypes(known, embed).nearest(heads, [row["text"] for row in open_rows])
    right = [known.names[leaf] == row["gold"] for leaf, row in zip(found.leaf, open_rows, strict=True)]
    return pl.DataFrame(
        {
            "similarity": found.similarity,
            "margin": found.margin,
            "right": right,
            "role": [row["role"] for row in open_rows],
        }
    )


def fit(titles: pl.DataFrame, embed: Embedder | None) -> dict[str, object]:
    """Fits the calibration on some draws of roles; prints its reliability on others, and that of the catalogue's."""
    train, test = (pl.concat([unresolved(titles, seed, embed) for seed in seeds]) for seeds in (FIT_SEEDS, TEST_SEEDS))
    features = ["similarity", "margin"]
    model = LogisticRegression(C=1e6).fit(train.select(features).to_numpy(), train["right"].to_numpy())
    found = nearest.Calibration(float(model.intercept_[0]), *(float(one) for one in model.coef_[0]))
    print(f"{train.height:,} titles to fit, {test.height:,} to test", file=sys.stderr)
    known = leaves.load()
    of_catalogue = calibrate.fit(known, nearest.prototypes(known, embed))
    return {"by_titles": _reliability(test, found), "by_catalogue": _reliability(test, of_catalogue)}


def _reliability(test: pl.DataFrame, found: nearest.Calibration) -> dict[str, object]:
    """Prints how often titles of a confidence are right."""
    sure = found.confidence(test["similarity"].to_numpy(), test["margin"].to_numpy())
    test = test.with_columns(pl.Series("confidence", sure))
    print(found, file=sys.stderr)
    bins = test.with_columns((pl.col("confidence") * 10).floor().clip(0, 9).cast(pl.Int8).alias("bin"))
    table = bins.group_by("bin").agg(pl.len().alias("titles"), pl.col("confidence").mean(), pl.col("right").mean())
    for low, n, mean, share in table.sort("bin").iter_rows():
        print(f"  {low / 10:.1f}-{low / 10 + 0.1:.1f} {n:7,d} confidence {mean:.3f} right {share:.3f}", file=sys.stderr)
    return {"calibration": [round(one, 2) for one in found], "by_threshold": _by_threshold(test)}


def _by_threshold(test: pl.DataFrame) -> dict[str, dict[str, float]]:
    blind = test.filter(pl.col("role") == BLIND)
    return {
        str(threshold): {
            "precision": _share(test.filter(pl.col("confidence") >= threshold)["right"]),
            "blind_recall": _share(blind["right"] & (blind["confidence"] >= threshold)),
        }
        for threshold in THRESHOLDS
    }


def simulated(titles: pl.DataFrame) -> dict[str, object]:
    """Accuracy and coverage with all leaves known, by split, and with leaves unknown or blind."""
    results: dict[str, object] = {}
    known = leaves.load()
    full = mapping.Mapper(known, nearest.prototypes(known))
    start = time.perf_counter()
    mapped = titles.join(mapping.map_pairs(hidden(titles), full), on="title")
    seconds = time.perf_counter() - start
    for name, part in (("all leaves known", mapped), *((f"split {k[0]}", v) for k, v in mapped.group_by("split"))):
        results[name] = _figures(part, right_is_other=False)
    for seed in TEST_SEEDS:
        roles = roles_of(seed)
        some = leaves_by_role(roles, seed)
        part = titles.join(
            mapping.map_pairs(hidden(titles), mapping.Mapper(some, nearest.prototypes(some))), on="title"
        )
        part = part.with_columns(pl.col("gold").replace_strict(roles).alias("role"))
        for role in (KNOWN, BLIND, UNKNOWN):
            of_role = part.filter(pl.col("role") == role)
            results[f"draw {seed}, {role}"] = _figures(of_role, right_is_other=role == UNKNOWN)
    for name, figures in results.items():
        print(f"{name:24s} {figures}", file=sys.stderr)
    results["titles_per_second"] = titles.height / seconds
    return results


def _share(flags: pl.Series) -> float:
    return float(np.mean(flags.to_numpy())) if len(flags) else 0.0


def _figures(part: pl.DataFrame, right_is_other: bool) -> dict[str, float]:
    taken = part.filter(pl.col("leaf").is_not_null())
    covered = round(taken.height / max(part.height, 1), 4)
    if right_is_other:
        return {"titles": part.height, "wrongly_mapped": covered}
    right = _share(taken["leaf"] == taken["gold"])
    steps = {step: taken.filter(pl.col("step") == step).height / max(part.height, 1) for step in ("title", "nearest")}
    return {
        "titles": part.height,
        "coverage": covered,
        "precision": round(right, 4),
        **{f"by_{step}": round(share, 4) for step, share in steps.items()},
    }


def speed(n: int) -> float:
    """Distinct titles a second, half of them of goods that no leaf holds, which go through all steps."""
    titles = gold_titles(1)
    base = [*titles["title"], *foreign_titles(titles, 0)]
    made = pl.DataFrame({"title": [f"{base[i % len(base)]} K{i // len(base)}" for i in range(n)]})
    known = leaves.load()
    mapper = mapping.Mapper(known, nearest.prototypes(known))
    start = time.perf_counter()
    mapping.map_pairs(hidden(made), mapper)
    return n / (time.perf_counter() - start)


def real_log(path: str, column: str, sources: Sequence[str], read: int) -> dict[str, object]:
    """Coverage of a log without categories, and accepted mappings to read."""
    log = pl.read_parquet(path, columns=[column]).rename({column: "title"}).drop_nulls()
    events = log.group_by("title").agg(pl.len().alias("n")).with_columns(pl.lit(None, pl.String).alias("category"))
    known = leaves.load(locales.DEFAULT, tuple(sources))
    mapped = mapping.map_pairs(events, mapping.Mapper(known, nearest.prototypes(known)))
    found = coverage.coverage(mapped, events)
    print("\n".join(found.lines()), file=sys.stderr)
    accepted = mapped.filter(pl.col("leaf").is_not_null()).sort("title")
    for row in accepted.sample(min(read, accepted.height), seed=7).sort("leaf", "title").iter_rows(named=True):
        print(f"  {row['confidence']:.2f} {row['step']:8s} {row['leaf']} <- {row['title']}", file=sys.stderr)
    return {"coverage": found._asdict()}


def main() -> None:
    """Reads the flags, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit the calibration")
    parser.add_argument("--encoder", default="", help="with --fit: folder of a text encoder, in place of n-grams")
    parser.add_argument("--log", help="a Parquet file with a column of titles")
    parser.add_argument("--title", default="title", help="that column")
    parser.add_argument("--sources", nargs="*", default=["ecommerce"], help="of schema.SOURCES: what the log sells")
    parser.add_argument("--read", type=int, default=0, help="accepted mappings listed")
    parser.add_argument("--every", type=int, default=3, help="every n-th simulated title is used")
    parser.add_argument("--speed", type=int, default=0, help="distinct titles to time")
    given = parser.parse_args()
    out: dict[str, object] = {"benchmark": "categories"}
    if given.fit:
        out |= fit(gold_titles(given.every), load_encoder(given.encoder).unit_vectors if given.encoder else None)
    elif given.log:
        out |= real_log(given.log, given.title, given.sources, given.read)
    elif given.speed:
        out["titles_per_second"] = speed(given.speed)
    else:
        out |= simulated(gold_titles(given.every))
    print(json.dumps(out))


if __name__ == "__main__":
    main()
