"""Tells the story of one simulated user as Markdown.

python launch/story.py --run runs/quickstart --user u0000012 [--out story.md]
python launch/story.py --run runs/quickstart --pick
"""

import argparse
import pathlib
from collections.abc import Sequence

from usergpt_jax.core import launch
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import story


def main(argv: Sequence[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    launch.exit_on_input_error(lambda: _tell(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run directory, e.g. runs/quickstart")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="id of the user")
    who.add_argument("--pick", action="store_true", help="take the user with the most life events and an average log")
    parser.add_argument("--out", help="file to write; without it the story is printed")
    return parser


def _tell(args: argparse.Namespace) -> None:
    text = story.tell(args.run, story.pick(args.run) if args.pick else args.user)
    if not args.out:
        print(text, end="")
        return
    try:
        pathlib.Path(args.out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {args.out}: cannot be written: {error.strerror}") from None
    print(f"{args.out}: {len(text):,} characters")


if __name__ == "__main__":
    main()
