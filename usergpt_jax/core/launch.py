"""What every launch script does: parse the config, run one stage, report a user's error in one line."""

import errno
import os
import pathlib
import re
import sys
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from usergpt_jax.core import run_dir
from usergpt_jax.core.errors import InputError

StageRun = Callable[[ConfigDict, str], None]
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # full, over the quota, read-only


def main(run: StageRun) -> None:
    """Runs a stage from the command line.

    Flags: `--config=FILE` with overrides like `--config.sft.lr=1e-4` (an unknown key is refused by name), and
    `--on_change=refuse|redo`: what to do with a finished stage that another config made.

    Args:
      run: the stage's `run(config, on_change)`.
    """
    config_flag = config_flags.DEFINE_config_file("config", None, "Path of the config file.", lock_config=True)
    on_change = flags.DEFINE_enum(
        "on_change", "refuse", run_dir.ON_CHANGE, "What to do with a finished stage of another config."
    )
    flags.mark_flag_as_required("config")

    def _main(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}; overrides look like --config.sft.lr=1e-4")
        logging.set_verbosity(logging.ERROR)  # the libraries below report every file they touch
        config = config_flag.value
        folder = config.run_dir if "run_dir" in config else ""
        exit_on_input_error(lambda: _run(run, config, on_change.value), folder)

    app.run(_main, flags_parser=_parse)


def _run(run: StageRun, config: ConfigDict, on_change: str) -> None:
    """Runs a stage; a section or key that its config lacks is an `InputError`."""
    try:
        run(config, on_change)
    except AttributeError as error:
        inner = error.args[0] if error.args else None
        if not isinstance(inner, KeyError):  # what a ConfigDict raises holds one
            raise
        key = str(inner.args[0]).strip("'").partition("\n")[0].strip("'")
        raise InputError(f"config: key {key!r} is missing, and this stage needs it") from None


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags; what is wrong with them, an unknown config key among it, is printed as one line."""
    try:
        _check_file(argv)
        rest = flags.FLAGS(argv)
        _ = "run_dir" in flags.FLAGS.config  # a config file that cannot be read says so only when looked into
        return rest
    except (AttributeError, KeyError) as error:
        inner = error.args[0] if error.args else ""  # of an AttributeError it is the KeyError
        text = _unknown_key(str(inner.args[0] if isinstance(inner, KeyError) else inner), argv)
    except (flags.Error, ImportError, OSError, SyntaxError, TypeError, ValueError) as error:
        text = str(error)
    print(f"error: {' '.join(text.replace(chr(92) + 'n', ' ').split())}", file=sys.stderr)
    sys.exit(2)


def _check_file(argv: list[str]) -> None:
    """Raises `FileNotFoundError` where the config file is none, which ml_collections says in five lines."""
    names = [arg.lstrip("-").removeprefix("config=") for arg in argv if arg.lstrip("-").startswith("config=")]
    for name in names:
        if not pathlib.Path(name.partition(":")[0]).is_file():  # what follows a colon is given to `get_config`
            raise FileNotFoundError(f"--config={name}: no such file")


def _unknown_key(message: str, argv: list[str]) -> str:
    """Names the override in `argv` that an error of ml_collections is about, which gives the last part of the key."""
    key, _, hint = message.partition("\n")  # the hint is "Did you mean ..."
    overrides = [arg.partition("=")[0].lstrip("-") for arg in argv if arg.lstrip("-").startswith("config.")]
    for name in overrides:  # those that were understood are flags by now
        path = name.removeprefix("config.")
        if name not in flags.FLAGS and (key.strip("'") in path.split(".") or message.endswith(f": {path}")):
            return f"--{name}: unknown config key; expected one that the config file declares. {hint}"
    return f"config: {message}"


def exit_on_input_error(work: Callable[[], None], folder: str = "") -> None:
    """Does `work`; what is the user's to mend is printed as one line on stderr and ends the program with status 2.

    That is an `InputError`, a NaN, and a disk that is full, over its quota or read-only.

    Args:
      work: to do.
      folder: that it writes to, named where the error of the disk names no file.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it advises to install torch, never needed here
    try:
        work()
    except (InputError, FloatingPointError) as error:
        text = str(error)
    except OSError as error:
        number = error.errno or _number_in(str(error))
        if number not in _DISK:
            raise
        text = ": ".join(filter(None, [str(error.filename or folder), "cannot be written", os.strerror(number)]))
    else:
        return
    print(f"error: {_printable(text)}", file=sys.stderr)
    sys.exit(2)


def _number_in(message: str) -> int:
    """The error number that Polars gives in the message alone, 0 for none."""
    found = re.search(r"\(os error (\d+)\)", message)
    return int(found[1]) if found else 0


def _printable(text: str) -> str:
    """A text with what would move the terminal's cursor, such as bytes of a binary file, written as escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
