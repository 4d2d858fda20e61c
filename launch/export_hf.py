"""Writes a trained model as a Hugging Face folder, for transformers and vLLM: docs/weights.md.

python launch/export_hf.py --model runs/quickstart --out exported
"""

import argparse
from collections.abc import Sequence

from usergpt_jax.core import launch
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.mesh import AXES, MeshConfig
from usergpt_jax.inference.export import export


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    launch.exit_on_input_error(lambda: _export(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model folder, or a run directory")
    parser.add_argument("--out", required=True, help="the folder to write; must not exist")
    parser.add_argument("--max_shard_gb", type=float, default=5.0, help="weights in one file, in 10^9 bytes [5]")
    for axis in AXES:
        parser.add_argument(f"--{axis}", type=int, default=1, help=f"devices along the mesh axis {axis} [1]")
    return parser


def _export(args: argparse.Namespace) -> None:
    if not 0 < args.max_shard_gb < 1e6:
        raise InputError(f"--max_shard_gb: expected above 0, got {args.max_shard_gb}")
    mesh = MeshConfig(**{axis: getattr(args, axis) for axis in AXES})
    made = export(args.model, args.out, mesh, round(args.max_shard_gb * 1e9))
    print(f"{args.out}: {made.n_params:,} parameters")
    if made.adapter is not None:
        print(f"{made.adapter}: the low-rank terms alone, as a PEFT adapter; in {args.out} they are merged")
    if not made.loads_tokenizer:
        print(
            f"{args.out}/sentencepiece.model: this program's own tokenizer; transformers cannot load it as it is, "
            "so give a server token ids, made with usergpt_jax.corpus.tokenizer.SentencePieceTokenizer"
        )


if __name__ == "__main__":
    main()
