"""Profiles the users of a real log with a trained model: one JSON line a user.

python launch/profile_users.py --events LOG.parquet --map configs/maps/online_retail.py --model runs/quickstart \
    --out personas.jsonl
"""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import polars as pl

from usergpt_jax.core import launch
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import AXES, MeshConfig
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.inference import choices, generate, profile
from usergpt_jax.inference.generate import LoadedModel, UserLog
from usergpt_jax.inference.profile import ProfileConfig, UserMub
from usergpt_jax.semantize import pipeline
from usergpt_jax.semantize.config import SemantizeConfig
from usergpt_jax.semantize.ingest import log_files, read_log
from usergpt_jax.semantize.ingest.event_map import load_map
from usergpt_jax.semantize.text_reader import TextReader, reader_like


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    launch.exit_on_input_error(lambda: _profile(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(name: str, help: str, **kwargs) -> None:
        spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        parser.add_argument(*spellings, help=f"{help} [%(default)s]" if "default" in kwargs else help, **kwargs)

    add("events", "the log: CSV, TSV, JSONL or Parquet", required=True)
    add("map", "the mapping file, e.g. configs/maps/online_retail.py", required=True)
    add("salt_file", "file with the secret key of the users' hashes, where the mapping asks for them", default="")
    add("model", "a model folder, or a run directory", required=True)
    add("out", "where to write the personas, e.g. personas.jsonl", required=True)
    add("as_of", "date YYYY-MM-DD of the personas; empty: the day after the log's last event", default="")
    add("map_categories", "map titles onto the words that the model learned, where sure", action="store_true")
    add(
        "refiner_path", "folder of the refiner, where the model's titles were refined by one that has moved", default=""
    )
    add("limit_users", "profile the first so many users only; 0: all", type=int, default=0)
    add("n_samples", "votes a tag", type=int, default=10)
    add("min_confidence", "vote share below which a value becomes NA", type=float, default=0.5)
    add("temperature", "of sampling; 0 is greedy", type=float, default=0.6)
    add("top_k", "tokens kept; 0: all", type=int, default=20)
    add("top_p", "probability mass kept", type=float, default=0.95)
    add("users_at_once", "users held at once", type=int, default=8)
    add("samples_at_once", "samples a user drawn at once; 0: as many as stay busy", type=int, default=0)
    add("constrained", "draw only tokens that lead to a well-formed output", action="store_true")
    add("score_choices", "add the probability of each value of a closed tag", action="store_true")
    add("seed", "of sampling", type=int, default=0)
    for axis in AXES:
        add(axis, f"devices along the mesh axis {axis}", type=int, default=1)
    return parser


def _profile(args: argparse.Namespace) -> None:
    config = ProfileConfig(**{field.name: getattr(args, field.name) for field in dataclasses.fields(ProfileConfig)})
    if args.limit_users < 0:
        raise InputError(f"--limit_users: expected 0 (all) or more, got {args.limit_users}")
    files, _ = log_files.find(args.events)
    profile.check_writable(args.out, (args.map, args.salt_file, *(file.path for file in files)))
    mapping = load_map(args.map)
    model = generate.load_model(args.model, MeshConfig(**{axis: getattr(args, axis) for axis in AXES}))
    semantize = to_dataclass(SemantizeConfig, {**model.semantize, "workers": 1}, "semantize")
    semantize = dataclasses.replace(semantize, as_of=args.as_of)
    salt = read_log.load_salt(args.salt_file) if args.salt_file else b""
    events, report = read_log.read_events(args.events, mapping, salt)
    print("\n".join(report.lines()))
    reader = _reader(args, model, tuple(events["source"].unique().sort()))
    users = _semantize(events, semantize, model.tokenizer, args.limit_users, reader)

    start = time.monotonic()
    personas = profile.profile(model, users, config)
    if args.score_choices:
        _add_probabilities(personas, model, users, config)
    seconds = time.monotonic() - start
    profile.write_jsonl(args.out, personas)
    print(profile.closing_table(model.schema, personas, seconds))
    print(f"{args.out}: {len(personas)} personas by {args.model} ({model.stage})")


def _add_probabilities(
    personas: Sequence[dict[str, Any]], model: LoadedModel, users: Sequence[UserMub], config: ProfileConfig
) -> None:
    """Adds to each closed tag `probabilities`: value -> probability, likeliest first, those of at least 1 %."""
    logs = [UserLog(user.user_id, user.mub) for user in users]
    size = profile.held_at_once(config, len(logs), model.mesh)
    thoughts = choices.sample_thoughts(
        model, logs, config.n_samples,
        users_at_once=size, samples_at_once=config.samples_at_once, seed=config.seed, label="reasonings",
    )  # fmt: skip
    for persona, found in zip(personas, choices.score_tags(model, logs, thoughts, size, "choices"), strict=True):
        for name, values in found.items():
            ranked = sorted(values.items(), key=lambda item: -item[1])
            persona["tags"][name]["probabilities"] = {value: round(p, 4) for value, p in ranked if p >= 0.01}


def _reader(args: argparse.Namespace, model: LoadedModel, sources: tuple[str, ...]) -> TextReader:
    """Reads titles as those that the model was trained on were read; says where it cannot."""
    changed: dict[str, dict[str, Any]] = {}
    if args.map_categories:
        changed["categories"] = {"map": True, "sources": sources}
    if args.refiner_path:
        if model.reading["refine"]["kind"] != "lm":
            raise InputError(f"--refiner_path: the model's titles were refined by {model.reading['refine']['kind']!r}")
        changed["refine"] = {"path": args.refiner_path}
    reader = reader_like(model.reading, model.schema.name, pathlib.Path(args.out).resolve().parent, changed)
    if (then := model.reading["decides"]["refiner"]) != (now := reader.decides["refiner"]):
        print(f"titles are refined by {now}, those of the model were by {then}")
    return reader


def _semantize(
    events: pl.DataFrame, config: SemantizeConfig, tokenizer: Tokenizer, limit_users: int, reader: TextReader
) -> list[UserMub]:
    """The MUBs of the first users, read against the price bands of the whole log."""
    as_of = config.as_of_time() or pipeline.last_midnight(events.to_arrow())
    past = events.filter(pl.col("time") < as_of)
    if not past.height:
        raise InputError(f"--as_of: no event is before {config.as_of}; the log starts at {events['time'].min()}")
    known = pipeline.survey_table(events.to_arrow(), config, as_of, reader.lexicon)
    if limit_users:
        first = past["user_id"].unique(maintain_order=True).head(limit_users)
        events = events.filter(pl.col("user_id").is_in(first.implode()))
    made = pipeline.semantize_events(events, config, tokenizer, as_of, known)
    names = [field.name for field in dataclasses.fields(UserMub)]
    return [UserMub(**row) for row in made.mub.select(names).iter_rows(named=True)]


if __name__ == "__main__":
    main()
