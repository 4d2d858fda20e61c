"""The refiner `endpoint`: a language model behind an OpenAI-compatible server, many titles a question.

The title is untrusted: it comes as one line, without the marks that the question is built of, and what comes back is
believed only as far as the title holds it.
"""

import concurrent.futures
import hashlib
import os
import re
from collections.abc import Sequence

import polars as pl

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.refiners import chat_client, rules
from usergpt_jax.semantize.refiners.answers import checked
from usergpt_jax.semantize.refiners.cache import Refiner
from usergpt_jax.semantize.refiners.chat_client import EndpointConfig
from usergpt_jax.tasks import refinement

_LINE = re.compile(r"^\s*(\d+)\s*[.):]\s*(.+?)\s*$", re.MULTILINE)
_THINKING = re.compile(r"<think>.*?(?:</think>|$)", re.DOTALL)
_FORBIDDEN = re.compile(r"[<>\x00-\x1f\x7f\u2028\u2029]")
_TOKENS_A_TITLE = 48


def connect(config: EndpointConfig) -> Refiner:
    """The refiner of a server, its key read from the environment.

    Raises:
      InputError: key or address are missing.
    """
    if not config.url.startswith(("http://", "https://")):
        raise InputError(f"config.refine.endpoint.url: expected http:// or https://, got {config.url!r}")
    key = os.environ.get(config.key_variable, "") if config.key_variable else ""
    if config.key_variable and not key:
        raise InputError(f"config.refine.endpoint.key_variable: the environment has no {config.key_variable}")
    wording = f"{config.model}\n{refinement.INSTRUCTIONS}\n{config.titles_per_request}"

    def answers(pairs: pl.DataFrame) -> pl.DataFrame:
        return checked(pairs, ask_all(config, key, pairs.rows()), rules.answers)

    identity = rules.with_rules(hashlib.sha256(wording.encode()).hexdigest())
    return Refiner("endpoint", identity, answers, config.titles_per_request * config.concurrency * 4)


def ask_all(config: EndpointConfig, key: str, pairs: Sequence[tuple[str, str | None]]) -> list[str | None]:
    """What the server writes for each pair: "" when it left the pair out, None when it gave no answer at all.

    Raises:
      InputError: it refuses, or answers not one question.
    """
    size = config.titles_per_request
    groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    failures: list[str] = []

    def one(group: Sequence[tuple[str, str | None]]) -> list[str | None]:
        max_tokens = _TOKENS_A_TITLE * len(group) + config.thinking_tokens
        try:
            text = chat_client.ask(config, key, refinement.INSTRUCTIONS, question(group), max_tokens)
        except chat_client.Unreachable as error:
            failures.append(str(error))
            return [None] * len(group)
        return list(lines(text, len(group)))

    with concurrent.futures.ThreadPoolExecutor(config.concurrency) as pool:
        texts = [text for group in pool.map(one, groups) for text in group]
    if groups and len(failures) == len(groups):
        raise InputError(f"{failures[0]}; no question was answered")
    return texts


def question(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Numbered titles, each on one line, its category in angle brackets."""
    return "\n".join(
        f"{number}. {_one_line(title)}{f' <{_one_line(refinement.leaf(category))}>' if category else ''}"
        for number, (title, category) in enumerate(pairs, start=1)
    )


def lines(text: str, n: int) -> list[str]:
    """The answers to titles 1 to n, "" where there is none or where one number stands twice."""
    found: dict[int, str] = {}
    for number, answer in _LINE.findall(_THINKING.sub("", text)):
        found[int(number[:9])] = "" if int(number[:9]) in found else answer
    return [found.get(number, "") for number in range(1, n + 1)]


def _one_line(text: str) -> str:
    return " ".join(_FORBIDDEN.sub(" ", text[: refinement.MAX_READ_CHARS]).split())
