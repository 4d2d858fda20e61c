"""The stage `bench`: HPR-Bench on the held-out users for every trained model of the run and the baselines."""

import contextlib
import dataclasses
import gzip
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from usergpt_jax.bench import baselines, features, items, measure, metrics, score, tables
from usergpt_jax.bench.items import Item
from usergpt_jax.core.config import run_config, to_dataclass, to_plain
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import MeshConfig
from usergpt_jax.core.run_dir import MANIFEST, open_stage
from usergpt_jax.corpus.split import SplitConfig
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer
from usergpt_jax.inference import generate
from usergpt_jax.inference.generate import LoadedModel, UserLog
from usergpt_jax.models.sampling import Drawing
from usergpt_jax.models.text_encoder import load_encoder
from usergpt_jax.schema import Result, TagSchema
from usergpt_jax.tags import tag_schema
from usergpt_jax.tasks import tag_prediction
from usergpt_jax.tasks.output import MalformedOutput
from usergpt_jax.tasks.similarity import EncoderSimilarity, Similarity, similarity

FOLDER = "6_bench"
# Model name to its folder in a run, in the order of training.
MODELS = {
    "stage1": "4_sft/stage1/model",
    "stage2": "4_sft/stage2/model",
    "stage3": "4_sft/stage3/model",
    "df_grpo": "5_rl/model",
}
BASELINES = ("majority", "rule", "linear", "linear_mub")
_MIN_USERS_A_WORD = 3


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """How the benchmark is run.

    Attributes:
      max_users: items are at most so many held-out users.
      n_samples: outputs a tag question; the n of Avg@n.
      n_summaries: outputs of the summary task a user.
      pass_k: the ks of Pass@k, each at most `n_samples`.
      temperature: of sampling; 0 is greedy.
      top_k: tokens kept; 0 keeps all.
      top_p: probability mass kept, in (0, 1].
      max_summary_chars: up to where a portrait counts as concise.
      users_at_once: users held at once.
      samples_at_once: samples a user drawn at once; 0: as many as are busy until the longest ends.
      constrained: whether only tokens that lead to a well-formed output are drawn.
      bootstrap_draws: resamplings of the users behind each interval.
      linear_c: inverse L2 strength of the linear baselines, above 0.
      encoder: folder of a BERT-type text encoder that compares items of open lists, "" for letter n-grams.
    """

    max_users: int
    n_samples: int
    n_summaries: int
    pass_k: tuple[int, ...]
    temperature: float
    top_k: int
    top_p: float
    max_summary_chars: int
    users_at_once: int
    samples_at_once: int
    constrained: bool
    bootstrap_draws: int
    linear_c: float
    encoder: str

    def __post_init__(self) -> None:
        for key in ("max_users", "n_samples", "n_summaries", "users_at_once", "bootstrap_draws", "linear_c"):
            if getattr(self, key) <= 0:
                raise InputError(f"config.bench.{key}: expected above 0, got {getattr(self, key)}")
        if self.samples_at_once < 0:
            raise InputError(f"config.bench.samples_at_once: expected at least 0, got {self.samples_at_once}")
        for k in self.pass_k:
            if not 1 <= k <= self.n_samples:
                raise InputError(f"config.bench.pass_k: expected 1 to n_samples={self.n_samples}, got {k}")


class Outputs(NamedTuple):
    """Sampled texts of one model: tags[user][tag][sample], summaries[user][sample]."""

    tags: list[list[list[str]]]
    summaries: list[list[str]]


def run(config: ConfigDict, on_change: str) -> None:
    """Runs the benchmark of a run directory.

    Raises:
      InputError: config or run directory do not fit.
    """
    top = run_config(config)
    section = to_dataclass(BenchConfig, config.bench, "bench")
    split = to_dataclass(SplitConfig, config.split, "split")
    mesh = to_dataclass(MeshConfig, config.mesh, "mesh")
    schema = tag_schema(top.tag_schema)
    root = pathlib.Path(top.run_dir)
    encoder = load_encoder(section.encoder) if section.encoder else None
    trained = tuple(folder for folder in ("4_sft", "5_rl") if (root / folder / MANIFEST).exists())
    stage = open_stage(
        root,
        FOLDER,
        config={
            "bench": {**to_plain(section), "encoder": encoder.identity if encoder else ""},
            **{"split": split, "seed": top.seed, "tag_schema": top.tag_schema},
        },
        inputs=("1_events", "2_mub", *trained),
        on_change=on_change,
    )
    if stage is None:
        print(f"{FOLDER}: reused")
        return
    stage.clear()
    train, held_out = items.split_users(items.read_users(root, schema), split)
    bench = held_out[: section.max_users]
    items.write_items(stage.path / items.ITEMS_FILE, bench, schema)

    similar = EncoderSimilarity(encoder.unit_vectors) if encoder else similarity
    outputs = _baseline_outputs(root, schema, train, bench, section, similar)
    tokenizer = load_tokenizer(root / "2_mub" / "tokenizer")
    names = [name for name, folder in MODELS.items() if (root / folder).is_dir()]
    for name in names:
        outputs[name] = sample_outputs(generate.load_model(root / MODELS[name], mesh), bench, section, top.seed, name)
    write_outputs(stage.path / "outputs.jsonl.gz", schema, bench, outputs)
    if isinstance(similar, EncoderSimilarity):
        similar.learn(_items_said(schema, bench, outputs))
    found = evaluate(schema, bench, outputs, tokenizer, section, top.seed, similar)
    write_results(stage.path / "results.jsonl", found)
    print(closing_tables(found, [*names, *BASELINES], section, schema))
    stage.finish({"items": len(bench), "baseline_users": len(train), "models": [*BASELINES, *names]})
    print(f"{FOLDER}: {len(bench)} held-out users, {len(outputs)} models, {len(found)} results")


def sample_outputs(model: LoadedModel, bench: Sequence[Item], section: BenchConfig, seed: int, name: str) -> Outputs:
    """Samples a model on every item of both tasks."""
    users = [UserLog(item.user_id, item.mub) for item in bench]

    texts = generate.ask(
        model,
        users,
        generate.task_questions(model, section.n_samples, section.n_summaries),
        Drawing(section.temperature, section.top_k, section.top_p),
        users_at_once=section.users_at_once,
        samples_at_once=section.samples_at_once,
        seed=seed,
        label=name,
        grammar=generate.task_grammar(model) if section.constrained else None,
    )
    return Outputs([tags for *tags, _ in texts], [summaries for *_, summaries in texts])


def evaluate(
    schema: TagSchema,
    bench: Sequence[Item],
    outputs: dict[str, Outputs],
    tokenizer: Tokenizer,
    section: BenchConfig,
    seed: int,
    similar: Similarity,
) -> list[Result]:
    """All results, sorted by model, task, metric and scope."""
    known = measure.known_mask(schema, bench)
    draws = metrics.draw_weights(len(bench), section.bootstrap_draws, seed)
    measured = {}
    for model, texts in outputs.items():
        tags = score.score_tags(schema, bench, texts.tags, similar)
        summaries = score.score_summaries(schema, bench, texts.summaries, tokenizer, section.max_summary_chars, similar)
        measured[model] = {
            **measure.measure_tags(schema, tags, known, section.pass_k),
            **measure.measure_summaries(schema, summaries, known, bench),
        }
    average = f"avg@{section.n_samples}"
    headline = (measure.TAGS, average, "all")
    trained = [name for name in outputs if name in MODELS]
    pairs = [(name, baseline) for name in trained for baseline in ("majority", "linear")]
    pairs += [("df_grpo", "stage3")] if {"df_grpo", "stage3"} <= set(trained) else []
    compared = [key for key in measured["linear"] if key[1] in (average, "acc_ex") and not key[2].startswith("tag:")]
    found = [
        *measure.results(measured, draws),
        *measure.differences(measured, pairs, compared, draws),
        *measure.gap_closed(measured, trained, "majority", "linear", headline, draws),
    ]
    return sorted(found, key=lambda r: (r.model, r.task, r.metric, r.scope))


def closing_tables(found: Sequence[Result], models: Sequence[str], section: BenchConfig, schema: TagSchema) -> str:
    """What the stage prints when it ends."""
    differences = [r for r in found if r.model.endswith((" - linear", " - stage3")) or r.metric.startswith("gap_")]
    parts = [
        tables.tag_table(found, models, f"avg@{section.n_samples}", tuple(schema.dimensions)),
        tables.summary_table(found, models),
        tables.difference_lines(differences),
    ]
    return "\n\n".join(part for part in parts if part)


def write_results(path: pathlib.Path, found: Sequence[Result]) -> None:
    """One line a result."""
    path.write_text("".join(json.dumps(dataclasses.asdict(r)) + "\n" for r in found), encoding="utf-8")


def write_outputs(path: pathlib.Path, schema: TagSchema, bench: Sequence[Item], outputs: dict[str, Outputs]) -> None:
    """One line a model and user with every sampled text, for error analysis; the same bytes for the same content."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
        for model, texts in outputs.items():
            for item, by_tag, summaries in zip(bench, texts.tags, texts.summaries, strict=True):
                line = {
                    "model": model,
                    "user_id": item.user_id,
                    "gold": dict(item.gold),
                    "tags": dict(zip(schema.names, by_tag, strict=True)),
                    "summary": summaries,
                }
                file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def _baseline_outputs(
    root: pathlib.Path,
    schema: TagSchema,
    train: Sequence[Item],
    bench: Sequence[Item],
    section: BenchConfig,
    similar: Similarity,
) -> dict[str, Outputs]:
    gold = [item.gold for item in train]

    def linear(train_bags: list[features.Bag], bench_bags: list[features.Bag], label: str) -> list[baselines.Values]:
        x, x_test = features.design(train_bags, bench_bags, _MIN_USERS_A_WORD)
        return baselines.linear(schema, x, gold, x_test, c=section.linear_c, label=label, similar=similar)

    parts = sorted((root / "1_events").glob("part-*.parquet"))
    bags = features.log_bags(parts, [item.user_id for item in (*train, *bench)])
    predictions = {
        "majority": baselines.majority(schema, gold, len(bench), similar),
        "rule": baselines.rule(schema, [item.mub for item in bench]),
        "linear": linear([bags[i.user_id] for i in train], [bags[i.user_id] for i in bench], "linear"),
        "linear_mub": linear(
            [features.mub_bag(i.mub) for i in train], [features.mub_bag(i.mub) for i in bench], "linear_mub"
        ),
    }
    return {name: _repeated(schema, values, section) for name, values in predictions.items()}


def _items_said(schema: TagSchema, bench: Sequence[Item], outputs: dict[str, Outputs]) -> set[str]:
    """Items of open lists, true or answered to a tag question."""
    found = set()
    for tag in (tag for tag in schema.tags if tag.max_items > 1):
        number = schema.names.index(tag.name)
        values = [item.gold[tag.name] for item in bench]
        for text in {text for texts in outputs.values() for by_tag in texts.tags for text in by_tag[number]}:
            with contextlib.suppress(MalformedOutput):
                values.append(tag_prediction.parse(tag, text)[0])
        found |= {item for value in values for item in tag_prediction.items_of(value)}
    return found


def _repeated(schema: TagSchema, predictions: Sequence[baselines.Values], section: BenchConfig) -> Outputs:
    """Outputs of a deterministic predictor: its n samples are all alike."""
    written = [baselines.as_outputs(schema, values) for values in predictions]
    tags = [[[answer] * section.n_samples for answer in answers] for answers, _ in written]
    return Outputs(tags, [[text] * section.n_summaries for _, text in written])
