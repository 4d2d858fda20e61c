"""The stage `semantize`: `1_events` to `2_mub`, part by part."""

import collections
import datetime
import pathlib
from collections.abc import Iterator

import polars as pl
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from tqdm import tqdm

from usergpt_jax import schema
from usergpt_jax.core import run_dir
from usergpt_jax.core.config import to_dataclass
from usergpt_jax.core.errors import InputError
from usergpt_jax.corpus.tokenizer import Tokenizer, load_tokenizer, train_sentencepiece
from usergpt_jax.corpus.tokenizer_config import TokenizerConfig
from usergpt_jax.semantize import budget, pipeline, salience
from usergpt_jax.semantize.pipeline import SemantizeConfig
from usergpt_jax.semantize.survey import Survey, survey_log
from usergpt_jax.semantize.token_count import Counter
from usergpt_jax.tasks.wording import wording
