"""Profiles the users of a real log with a trained model: one JSON line a user.

python launch/profile_users.py --events LOG.parquet --map configs/maps/online_retail.py --model runs/quickstart \
    --out personas.jsonl
"""

import dataclasses
import time

import polars as pl
from absl import app, flags
from ml_collections import ConfigDict

from usergpt_jax.core import launch
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer
from usergpt_jax.inference import generate, profile
from usergpt_jax.inference.profile import ProfileConfig, UserMub
from usergpt_jax.semantize import pipeline
from usergpt_jax.semantize.event_map import load_map
from usergpt_jax.semantize.ingest import read_events
from usergpt_jax.semantize.pipeline import SemantizeConfig
from usergpt_jax.semantize.survey import survey_log

_EVENTS = flags.DEFINE_string("events", None, "The log: CSV, TSV, JSONL or Parquet.", required=True)
_MAP = flags.DEFINE_string("map", None, "The mapping file, e.g. configs/maps/online_retail.py.", required=True)
_MODEL = flags.DEFINE_string("model", None, "A model folder, or a run directory.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where to write the personas, e.g. personas.jsonl.", required=True)
_AS_OF = flags.DEFINE_string("as_of", "", "Date YYYY-MM-DD of the personas; the day after the log's last event.")
_LIMIT_USERS = flags.DEFINE_integer("limit_users", 0, "Profile the first so many users only; 0: all.", lower_bound=0)
_N_SAMPLES = flags.DEFINE_integer("n_samples", 10, "Votes a tag.")
_MIN_CONFIDENCE = flags.DEFINE_float("min_confidence", 0.5, "Vote share below which a value becomes NA.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.6, "Of sampling; 0 is greedy.")
_TOP_K = flags.DEFINE_integer("top_k", 20, "Tokens kept; 0: all.")
_TOP_P = flags.DEFINE_float("top_p", 0.95, "Probability mass kept.")
_USERS_PER_BATCH = flags.DEFINE_integer("users_per_batch", 8, "Users sampled at once.")
_SEED = flags.DEFINE_integer("seed", 0, "Of sampling.")
flags.DEFINE_alias("limit-users", "limit_users")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    launch.exit_on_input_error(_profile)


def _profile() -> None:
    config = ProfileConfig(
        n_samples=_N_SAMPLES.value,
        min_confidence=_MIN_CONFIDENCE.value,
        temperature=_TEMPERATURE.value,
        top_k=_TOP_K.value,
        top_p=_TOP_P.value,
        users_per_batch=_USERS_PER_BATCH.value,
        seed=_SEED.value,
    )
    profile.check_writable(_OUT.value)
    model = generate.load_model(_MODEL.value)
    semantize = to_dataclass(SemantizeConfig, ConfigDict(dict(model.semantize)), "semantize")
    semantize = dataclasses.replace(semantize, as_of=_AS_OF.value)
    events, report = read_events(_EVENTS.value, load_map(_MAP.value))
    print("\n".join(report.lines()))
    users = _semantize(events, semantize, model.tokenizer, _LIMIT_USERS.value)

    start = time.monotonic()
    personas = profile.profile(model, users, config)
    profile.write_jsonl(_OUT.value, personas)
    print(profile.closing_table(model.schema, personas, time.monotonic() - start))
    print(f"{_OUT.value}: {len(personas)} personas by {_MODEL.value} ({model.stage})")


def _semantize(events: pl.DataFrame, config: SemantizeConfig, tokenizer: Tokenizer, limit_users: int) -> list[UserMub]:
    """The MUBs of the first users, read against the price bands of the whole log."""
    as_of = config.as_of_time() or pipeline.day_after(events["time"].max())
    if not (events["time"] < as_of).any():
        raise InputError(
            f"--as_of {config.as_of}: no event of the log is before it; the first is at {events['time'].min()}"
        )
    survey = survey_log(events.lazy(), min_band_purchases=config.min_band_purchases)
    if limit_users:
        known = events.filter(pl.col("time") < as_of)["user_id"].unique(maintain_order=True)
        events = events.filter(pl.col("user_id").is_in(known.head(limit_users).implode()))
    made = pipeline.semantize_events(events, config, tokenizer, as_of, survey)
    names = [field.name for field in dataclasses.fields(UserMub)]
    return [UserMub(**row) for row in made.mub.select(names).iter_rows(named=True)]


if __name__ == "__main__":
    app.run(main)
