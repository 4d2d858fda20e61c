import datetime
import json
import pathlib

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict

from tests.inference.tiny_model import write_model
from usergpt_jax import schema
from usergpt_jax.core.run_dir import open_stage
from usergpt_jax.corpus.tokenizer import load_tokenizer
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18

AS_OF = datetime.datetime(2025, 7, 1)
PETS = {"cat": "Cat Litter", "dog": "Dog Leash"}
N_USERS = 60


def gold_of(i: int) -> dict[str, str]:
    """Every third user keeps a dog, the others a cat; nothing else is known."""
    return {**dict.fromkeys(HPR18.names, NA), "pet": "cat" if i % 3 else "dog"}


def write_run(run: pathlib.Path) -> None:
    """Stages 1, 2 and 4 of a run whose users buy for their pet and nothing else."""
    ids = [f"user {i:03d}" for i in range(N_USERS)]
    goods = [PETS[gold_of(i)["pet"]] for i in range(N_USERS)]
    events = open_stage(run, "1_events", config={})
    rows = [
        {
            "user_id": user,
            "time": AS_OF - datetime.timedelta(days=3 - day),
            "source": "ecommerce",
            "action": "purchase",
            "title": item,
            "category": item,
            "item_id": None,
            "place": "Chengdu",
            "price": 1.0,
            "quantity": 1.0,
        }
        for user, item in zip(ids, goods, strict=True)
        for day in range(2)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.EVENT_SCHEMA), events.path / "part-00000.parquet")
    truth = [
        {"user_id": user, "as_of": AS_OF, "persona": "{}", "life_events": "[]", **gold_of(i)}
        for i, user in enumerate(ids)
    ]
    pq.write_table(pa.Table.from_pylist(truth, schema=schema.truth_schema(HPR18.names)), events.path / "users.parquet")
    events.finish({})
    mubs = open_stage(run, "2_mub", config={}, inputs=("1_events",))
    rows = [
        {
            "user_id": user,
            "as_of": AS_OF,
            "mub": f"[Source: E-commerce] [TIME: 2025-06] [TYPE: Purchase] [COUNT: 2] | {item}",
            "refs": [[0, 1]],
            "n_events": 2,
            "n_lines": 1,
            "raw_chars": 80,
            "mub_chars": 75,
            "raw_tokens": 60,
            "mub_tokens": 30,
        }
        for user, item in zip(ids, goods, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.MUB_SCHEMA), mubs.path / "part-00000.parquet")
    sft = open_stage(run, "4_sft", config={})
    for i, stage in enumerate(("stage1", "stage3")):
        write_model(sft.path / stage / "model", stage, seed=i)
    load_tokenizer(sft.path / "stage3" / "model" / "tokenizer").save(mubs.path / "tokenizer")
    mubs.finish({})
    sft.finish({})


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> ConfigDict:
    run = tmp_path_factory.mktemp("runs") / "toy"
    write_run(run)
    bench = {
        "max_users": 5,
        "n_samples": 2,
        "n_summaries": 1,
        "pass_k": (1, 2),
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "max_summary_chars": 600,
        "users_at_once": 4,
        "samples_at_once": 0,
        "constrained": False,
        "bootstrap_draws": 20,
        "linear_c": 0.1,
        "encoder": "",
    }
    split = {"seed": 0, "sft_frac": 0.6, "rl_frac": 0.2, "bench_frac": 0.2}
    mesh = {"data": 1, "fsdp": 1, "tensor": 1, "context": 1}
    top = {"run_dir": str(run), "seed": 0, "tag_schema": "hpr18"}
    return ConfigDict({**top, "mesh": mesh, "bench": bench, "split": split})


def read_results(config: ConfigDict) -> list[dict[str, object]]:
    path = pathlib.Path(config.run_dir) / "6_bench" / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def truth(config: ConfigDict) -> pl.DataFrame:
    return pl.read_parquet(pathlib.Path(config.run_dir) / "1_events" / "users.parquet")
