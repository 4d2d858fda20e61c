import dataclasses
import json
import pickle
import shutil
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.models import tiny
from usergpt_jax.core import mesh as mesh_lib
from usergpt_jax.core.errors import InputError
from usergpt_jax.models import lora, qwen3, safetensors_folder, weights
from usergpt_jax.models.lora import LoraConfig

ONE = mesh_lib.MeshConfig(data=1, fsdp=1, tensor=1, context=1)
UNTIED = dataclasses.replace(tiny.CONFIG, tie_embeddings=False, attention_bias=True)
Q = "model.layers.1.self_attn.q_proj.weight"
INDEX = "model.safetensors.index.json"


def random_params(config):
    """Parameters of which no two values are equal, biases included."""
    shapes = qwen3.param_shapes(config, tiny.VOCAB)
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda like: jnp.asarray(draw.normal(size=like.shape), like.dtype), shapes)


@pytest.fixture
def folder(tmp_path):
    weights.save(tmp_path, random_params(UNTIED), max_shard_bytes=20_000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    return tmp_path


def load(folder, config=UNTIED, **mesh):
    return weights.load(folder, config, tiny.VOCAB, mesh_lib.make_mesh(dataclasses.replace(ONE, **mesh)))


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), jax.device_get(expected))


@pytest.mark.parametrize(
    "mesh", [{}, {"data": 8}, {"fsdp": 4, "tensor": 2}, {"data": 2, "fsdp": 2, "tensor": 2}], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_saved_loads_equal_on_every_mesh(tmp_path, mesh, dtype):
    config = dataclasses.replace(UNTIED, param_dtype=dtype)
    params = random_params(config)
    weights.save(tmp_path, params, max_shard_bytes=20_000)
    found = load(tmp_path, config, **mesh)
    assert_equal(found, params)
    assert jax.tree.map(lambda leaf: leaf.sharding, found) == qwen3.param_shardings(
        config, tiny.VOCAB, mesh_lib.make_mesh(dataclasses.replace(ONE, **mesh))
    )


def test_a_sharded_model_is_saved_like_a_whole_one(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    weights.save(tmp_path / "a", random_params(UNTIED), max_shard_bytes=20_000)
    weights.save(tmp_path / "b", load(tmp_path / "a", fsdp=4, tensor=2), max_shard_bytes=20_000)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_the_file_holds_matrices_output_first(folder):
    params = random_params(UNTIED)
    tensors = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
    np.testing.assert_array_equal(tensors[Q][4 + 3, 9], params["layers"]["q"][1, 9, 1, 3])  # head 1 of size 4, place 3
    o = tensors["model.layers.2.self_attn.o_proj.weight"]
    np.testing.assert_array_equal(o[9, 2 * 4 + 1], params["layers"]["o"][2, 2, 1, 9])
    np.testing.assert_array_equal(
        tensors["model.layers.0.self_attn.k_proj.bias"][5], params["layers"]["k_bias"][0, 1, 1]
    )
    np.testing.assert_array_equal(tensors["lm_head.weight"], params["head"])


def test_shards_keep_below_the_limit_and_the_index_covers_them(folder):
    index = json.loads((folder / INDEX).read_text())
    assert sorted(set(index["weight_map"].values())) == sorted(path.name for path in folder.glob("*.safetensors"))
    assert index["metadata"]["total_size"] == 4 * qwen3.n_params(random_params(UNTIED))
    assert all(path.stat().st_size < 20_000 + 5_000 for path in folder.glob("*.safetensors"))  # headers come on top


def test_a_dtype_is_converted_while_reading(folder):
    config = dataclasses.replace(UNTIED, param_dtype="bfloat16")
    expected = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), random_params(UNTIED))
    assert_equal(load(folder, config), expected)


def test_a_shard_reads_only_its_part(folder, monkeypatch):
    read = []
    real = safetensors_folder.Tensor.read

    def spy(self, part):
        values = real(self, part)
        read.append((self.name, values.shape))
        return values

    monkeypatch.setattr(safetensors_folder.Tensor, "read", spy)
    load(folder, fsdp=4, tensor=2)
    # q_proj [N H = 16, D = 16]: heads over 2, embed over 4; every part is read once
    assert sorted(shape for name, shape in read if name == Q) == [(8, 4)] * 8
    read.clear()
    load(folder, data=8)
    assert [shape for name, shape in read if name == Q] == [(16, 16)]  # once for eight devices


def rewrite(folder, change):
    """Saves the folder as one file, with the tensors changed."""
    tensors = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
        path.unlink()
    (folder / INDEX).unlink()
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def assert_refused(folder, message, config=UNTIED, **mesh):
    with pytest.raises(InputError, match=message) as caught:
        load(folder, config, **mesh)
    assert "\n" not in str(caught.value)


def test_a_missing_extra_or_misshapen_tensor_is_named(folder):
    rewrite(folder, lambda tensors: tensors.pop(Q))
    assert_refused(folder, rf"{folder}: tensor {Q} is missing; expected shape \[16, 16\]")
    weights.save(folder, random_params(UNTIED), max_shard_bytes=20_000)
    rewrite(folder, lambda tensors: tensors.update({Q: np.zeros((16, 8), np.float32)}))
    assert_refused(folder, rf"model\.safetensors: tensor {Q}: expected shape \[16, 16\], got \[16, 8\]")
    weights.save(folder, random_params(UNTIED), max_shard_bytes=20_000)
    rewrite(folder, lambda tensors: tensors.update({"model.layers.3.mlp.up_proj.weight": np.zeros(2, np.float32)}))
    assert_refused(folder, r"tensor model\.layers\.3\.mlp\.up_proj\.weight is no part of the model")


def test_a_dtype_that_holds_no_weights_is_refused(folder):
    rewrite(folder, lambda tensors: tensors.update({Q: tensors[Q].astype(np.int8)}))
    assert_refused(folder, f"{Q}: expected dtype F32, F16, BF16, got I8")


def test_one_file_beside_an_index_is_refused(folder):
    shard = sorted(folder.glob("*.safetensors"))[0]
    shutil.copy(shard, folder / "model.safetensors")
    assert_refused(folder, f"expected model.safetensors or {INDEX}, got both")


def test_many_more_layers_than_tensors_are_refused_at_once(folder):
    many = dataclasses.replace(UNTIED, n_layers=10**9)
    assert_refused(folder, r"expected the tensors of 1000000000 layers, got \d+ tensors", many)


def test_what_import_refuses_is_not_exported(tmp_path):
    params = random_params(UNTIED)
    params["layers"]["q"] = params["layers"]["q"].at[1, 0, 0, 0].set(np.nan)
    with pytest.raises(InputError, match=r"model\.layers\.1\.self_attn\.q_proj\.weight: holds NaN or infinity"):
        weights.save(tmp_path, params, max_shard_bytes=10**9)
    terms = LoraConfig(2, 4.0, ("q",))
    with pytest.raises(InputError, match="got low-rank terms beside them; merge them first"):
        weights.save(tmp_path, lora.add(random_params(UNTIED), terms, jax.random.key(0)), max_shard_bytes=10**9)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_value_that_is_not_finite_is_refused(folder, value):
    def spoil(tensors):
        tensors[Q][3, 5] = value

    rewrite(folder, spoil)
    assert_refused(folder, f"{Q}: holds NaN or infinity")


def test_a_stored_head_of_a_tied_model_must_be_the_embedding(tmp_path):
    params = random_params(tiny.CONFIG)
    weights.save(tmp_path, params, max_shard_bytes=10**9)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    save_file(tensors, tmp_path / "model.safetensors")
    assert_equal(load(tmp_path, tiny.CONFIG), params)
    tensors["lm_head.weight"][-1, -1] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    assert_refused(tmp_path, "lm_head.weight differs from model.embed_tokens.weight", tiny.CONFIG)


@pytest.mark.parametrize("left", [0.5, 0.999, 0.0])
def test_a_truncated_shard_is_named(folder, left):
    shard = sorted(folder.glob("*.safetensors"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * left)])
    assert_refused(folder, f"{shard.name}: no whole safetensors file")


def test_a_header_that_promises_too_much_is_refused(folder):
    shard = sorted(folder.glob("*.safetensors"))[0]
    shard.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    assert_refused(folder, f"{shard.name}: no whole safetensors file")


def test_pickled_weights_are_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return pathlib_touch, (str(tmp_path / "sprung"),)

    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    assert_refused(tmp_path, r"pytorch_model\.bin: pickled weights are never loaded")
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    assert_refused(tmp_path, r"model\.safetensors: no whole safetensors file")
    assert not (tmp_path / "sprung").exists()


def pathlib_touch(path):
    open(path, "w").close()


def test_a_folder_without_weights_says_what_was_expected(tmp_path):
    assert_refused(tmp_path, r"no weights here; expected model\.safetensors or model\.safetensors\.index\.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "index.json: cannot be read as JSON"),
        ("{}", "weight_map: expected an object of tensor names and file names"),
        ('{"weight_map": {"a": 1}}', "weight_map: expected an object"),
        ('{"weight_map": {"a": "../up.safetensors"}}', r"got '\.\./up\.safetensors'"),
        ('{"weight_map": {"a": "pytorch_model-1.bin"}}', "got 'pytorch_model-1.bin'"),
        ('{"weight_map": {"a": "gone.safetensors"}}', r"gone\.safetensors: no such file, yet"),
    ],
)
def test_a_corrupt_index_is_refused(folder, content, message):
    (folder / INDEX).write_text(content)
    assert_refused(folder, message)


def test_an_index_that_disagrees_with_its_shards_is_refused(folder):
    index = json.loads((folder / INDEX).read_text())
    shards = sorted(set(index["weight_map"].values()))
    index["weight_map"][Q] = next(name for name in shards if name != index["weight_map"][Q])
    (folder / INDEX).write_text(json.dumps(index))
    assert_refused(folder, f"{Q} is not (here|in {INDEX})")


def test_a_mesh_that_does_not_divide_the_heads_stops_before_reading(tmp_path):
    assert_refused(tmp_path / "nowhere", r"layers\.k: dimension 'kv_heads' of size 2", tensor=4)
