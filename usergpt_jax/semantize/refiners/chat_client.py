"""A small client of OpenAI-compatible chat servers: one question, one answer, retries, nothing else."""

import dataclasses
import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any

from usergpt_jax.core.config import require_positive
from usergpt_jax.core.errors import InputError

_RETRIED = (408, 409, 429, 500, 502, 503, 504, 529)
_FIRST_WAIT_SECONDS = 1.0  # before the second try; it doubles each time, and a server's Retry-After wins
_LONGEST_WAIT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class EndpointConfig:
    """The section `refine.endpoint`: where to ask, and how patiently.

    Attributes:
      url: base such as "http://localhost:8000/v1".
      model: its name there.
      key_variable: environment variable that holds the key; "" for none.
      titles_per_request: titles in one question.
      concurrency: questions under way at once.
      timeout_seconds: of one attempt.
      max_attempts: tries a question, the first included.
      thinking_tokens: what a model may write before its answer.
    """

    url: str
    model: str
    key_variable: str
    titles_per_request: int
    concurrency: int
    timeout_seconds: float
    max_attempts: int
    thinking_tokens: int

    def __post_init__(self) -> None:
        names = ("titles_per_request", "concurrency", "timeout_seconds", "max_attempts")
        require_positive({name: getattr(self, name) for name in names}, "refine.endpoint")


class Unreachable(Exception):
    """The server gave no answer in all attempts; the message says why."""


def ask(config: EndpointConfig, key: str, system: str, question: str, max_tokens: int) -> str:
    """The answer to one question, drawn greedily.

    Args:
      config: of the server.
      key: sent as bearer token; "" for none.
      system: what the model is to do.
      question: what it is asked.
      max_tokens: of its answer.

    Raises:
      InputError: the server refuses (key, model or address are wrong), so asking again is no use.
      Unreachable: it gave no answer in time.
    """
    body = {
        "model": config.model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    reason = ""
    for attempt in range(config.max_attempts):
        wait = min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
        try:
            return _content(_post(config, key, body))
        except urllib.error.HTTPError as error:
            reason, wait = f"status {error.code}", _asked_wait(error, wait)
            error.close()
            if error.code not in _RETRIED:
                raise InputError(
                    f"{config.url}: status {error.code} {error.reason}; check url, model and key"
                ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # no connection, timeout, no JSON
            reason = f"{type(error).__name__}: {error}"
        if attempt + 1 < config.max_attempts:
            time.sleep(wait)
    raise Unreachable(f"{config.url}: {reason} in {config.max_attempts} attempts")


def _post(config: EndpointConfig, key: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    address = f"{config.url.rstrip('/')}/chat/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=config.timeout_seconds) as response:
        return json.loads(response.read())


def _content(answer: Any) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("an answer without choices[0].message.content") from None
    return content if isinstance(content, str) else ""


def _asked_wait(error: urllib.error.HTTPError, otherwise: float) -> float:
    asked = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(asked), _LONGEST_WAIT_SECONDS) if asked.replace(".", "", 1).isdigit() else otherwise
