"""The code of docs/model.md runs as it stands, on a tiny model."""

import pathlib
import re

import jax
import numpy as np

from tests.models import tiny
from usergpt_jax.models import hf_config, weights

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "model.md"


def test_the_guide_runs_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "Qwen3-0.6B"
    folder.mkdir(parents=True)
    hf_config.write(folder, hf_config.HfModel(tiny.CONFIG, tiny.VOCAB, 64, {}), "float32")
    weights.save(folder, tiny.params(), max_shard_bytes=20_000)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert names["logits"].shape == (8, tiny.VOCAB)
    assert names["states"].shape == (8, 3, 5, tiny.CONFIG.d_model)
    samples = jax.device_get(names["samples"])
    real = np.arange(6) < samples.lengths[..., None]
    assert samples.tokens.shape == real.shape == (8, 3, 4, 6)
    assert (samples.policy_logprob[real] < 0).all()
    assert (samples.sampled_logprob[real] <= 0).all()
