"""A random encoder of a few thousand weights in a Hugging Face folder, written without torch."""

import json

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

PRINTED = "umbrella apron wall art clock jigsaw puzzle dog food tea cup blue red wooden set of travel music reading"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *PRINTED.split(),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
]
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(VOCAB),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def tensors(config=CONFIG, seed=0):
    """Random tensors by their names in the file, the pooler of a BertModel included."""
    D, F = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], D),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], D),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], D),
        "pooler.dense.weight": (D, D),
        "pooler.dense.bias": (D,),
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        maps = {f"attention.self.{name}": (D, D) for name in ("query", "key", "value")}
        maps |= {"attention.output.dense": (D, D), "intermediate.dense": (F, D), "output.dense": (D, F)}
        for name, shape in maps.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    draw = np.random.default_rng(seed)
    found = {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in norms:
        found[f"{name}.weight"] = draw.uniform(0.5, 1.5, D).astype(np.float32)
        found[f"{name}.bias"] = draw.normal(0, 0.1, D).astype(np.float32)
    return found


def write_tokenizer(folder):
    """A WordPiece tokenizer, `tokenizer.json` and its config."""
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(VOCAB)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", VOCAB.index("[CLS]")), ("[SEP]", VOCAB.index("[SEP]"))]
    )
    made.save(str(folder / "tokenizer.json"))
    marks = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls")}
    card = {"tokenizer_class": "BertTokenizer", "model_max_length": 512, **marks}
    (folder / "tokenizer_config.json").write_text(json.dumps(card), encoding="utf-8")


def write_bert(folder, config=CONFIG, weights=None, pooling=None, normalise=True):
    """The whole folder; with `pooling`, also the files of sentence-transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights if weights is not None else tensors(config), folder / "model.safetensors")
    write_tokenizer(folder)
    if pooling:
        kinds = ["Transformer", "Pooling", *(["Normalize"] if normalise else [])]
        paths = ["", "1_Pooling", "2_Normalize"]
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(kinds, paths, strict=False))
        ]
        (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
        (folder / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
        (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))
    return folder
