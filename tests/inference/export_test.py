import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.architecture_test import ROOT
from tests.inference.tiny_model import TINY
from usergpt_jax.core import checkpoint, mesh
from usergpt_jax.core.errors import InputError
from usergpt_jax.inference.export import export
from usergpt_jax.models import hf_config, lora, qwen3, weights

ONE = mesh.MeshConfig(1, 1, 1, 1)
OPTIONS = {"param_dtype": "float32", "compute_dtype": "float32", "remat": "none"}


def test_an_exported_model_reads_back_equal(model, model_folder, tmp_path):
    out = tmp_path / "out"
    made = export(model_folder, out, ONE, 10**9)
    assert made == (qwen3.n_params(model.params), False, None)
    assert sorted(path.name for path in out.iterdir()) == [
        *("config.json", "generation_config.json", "model.safetensors", "sentencepiece.model")
    ]
    found = hf_config.read(out, **OPTIONS)
    assert found.config == model.config
    assert found.max_positions == 512 + 24
    assert found.generation == {"eos_token_id": [model.tokenizer.end_id], "pad_token_id": model.tokenizer.pad_id}
    params = weights.load(out, found.config, found.vocab_size, mesh.make_mesh(ONE))
    jax.tree.map(np.testing.assert_array_equal, params, model.params)


def test_low_rank_terms_are_merged_and_written_alone(model, model_folder, tmp_path, monkeypatch):
    terms = lora.LoraConfig(rank=2, alpha=4.0, targets=("q", "down"))
    params = lora.add(model.params, terms, jax.random.key(0))
    params["layers"] = {k: v + 0.1 if k.endswith("_lora_b") else v for k, v in params["layers"].items()}
    card = checkpoint.load_card(model_folder)
    card["model"] |= {"lora": dataclasses.asdict(terms)}
    card["huggingface"] = {"path": "models/base", "max_positions": 4096, "generation": {"eos_token_id": 9, "top_k": 20}}
    checkpoint.save_params(tmp_path / "model", params, card)
    model.tokenizer.save(tmp_path / "model" / "tokenizer")
    made = export(tmp_path / "model", tmp_path / "out", ONE, 10**9)
    found = hf_config.read(tmp_path / "out", **OPTIONS)
    assert (found.config, found.max_positions) == (model.config, 4096)
    assert found.generation["eos_token_id"] == [model.tokenizer.end_id, 9]
    assert found.generation["top_k"] == 20
    merged = weights.load(tmp_path / "out", found.config, found.vocab_size, mesh.make_mesh(ONE))
    jax.tree.map(np.testing.assert_array_equal, merged, lora.merge(params, terms))
    assert made.adapter == tmp_path / "out-adapter"
    assert len(load_file(made.adapter / "adapter_model.safetensors")) == 4 * TINY["n_layers"]
    fields = json.loads((made.adapter / "adapter_config.json").read_text())
    assert fields["base_model_name_or_path"] == "models/base"

    def fail(*_):
        raise OSError("no space left")

    with pytest.raises(InputError, match="out-adapter: exists already"):
        export(tmp_path / "model", tmp_path / "out", ONE, 10**9)
    monkeypatch.setattr(hf_config, "write", fail)
    with pytest.raises(InputError, match="no space left"):
        export(tmp_path / "model", tmp_path / "other", ONE, 10**9)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("other")]


def test_a_folder_that_exists_is_left_alone(model_folder, tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match="exists already; choose another folder"):
        export(model_folder, tmp_path, ONE, 10**9)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_script_says_what_transformers_cannot_load(model_folder, tmp_path):
    script = [sys.executable, str(ROOT / "launch" / "export_hf.py"), "--model", str(model_folder)]
    done = subprocess.run([*script, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "transformers cannot load it as it is" in done.stdout
    again = subprocess.run([*script, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr == f"error: {tmp_path / 'out'}: exists already; choose another folder, or move it away\n"
