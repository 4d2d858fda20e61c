"""The stage `report`: `report.html` and the closing table from whatever the run has made so far."""

import os
import pathlib

from ml_collections import ConfigDict

from usergpt_jax.report.closing import closing_table
from usergpt_jax.report.data import TITLE as DATA
from usergpt_jax.report.data import data_section
from usergpt_jax.report.html import document
from usergpt_jax.report.inputs import RunData, read_run
from usergpt_jax.report.overview import footer, head, pipeline_section
from usergpt_jax.report.scores import TITLE as BENCH
from usergpt_jax.report.scores import Scores, bench_section
from usergpt_jax.report.training import TITLE as TRAINING
from usergpt_jax.report.training import training_section
from usergpt_jax.report.users import TITLE as USERS
from usergpt_jax.report.users import users_section
from usergpt_jax.schema import TagSchema
from usergpt_jax.tags import tag_schema

FILE = "report.html"


def run(config: ConfigDict, on_change: str) -> None:
    """Writes `report.html` anew and prints its path and the closing table.

    Args:
      config: of the run.
      on_change: of no effect: the report is cheap and always rewritten.

    Raises:
      InputError: there is no such run directory, or a file in it is broken.
    """
    del on_change
    folder = pathlib.Path(str(config.run_dir))
    schema = tag_schema(str(config.tag_schema))
    data = read_run(folder, schema)
    scores = Scores(data.results)
    _write(folder / FILE, page(data, scores, schema))
    if table := closing_table(data, scores):
        print(table)
    print(folder / FILE)


def page(data: RunData, scores: Scores, schema: TagSchema) -> str:
    """The report as one self-contained HTML page."""
    sections = {
        "pipeline": ("Pipeline", pipeline_section(data)),
        "data": (DATA, data_section(data)),
        "training": (TRAINING, training_section(data)),
        "bench": (BENCH, bench_section(scores, schema)),
        "users": (USERS, users_section(data.examples)),
    }
    return document(f"usergpt_jax: {data.name}", head(data, scores), sections, footer(data))


def _write(path: pathlib.Path, text: str) -> None:
    """Through a temporary file, so that a reader sees the whole page or the one before."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
