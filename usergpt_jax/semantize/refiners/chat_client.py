"""A small client of OpenAI-compatible chat servers: one question, one answer, retries, nothing else."""

import dataclasses
import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any

from usergpt_jax.core.errors import InputError

_RETRIED = (408, 409, 429, 500, 502, 503, 504, 529)
_LONGEST_WAIT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class ChatServer:
    """Where to ask, and how patiently.

    Attributes:
      url: base such as "http://localhost:8000/v1".
      model: its name there.
      key: sent as bearer token; "" for none.
      timeout_seconds: of one attempt.
      max_attempts: tries a question, the first included.
      first_wait_seconds: before the second try; it doubles each time, and a server's Retry-After wins.
    """

    url: str
    model: str
    key: str = dataclasses.field(repr=False, default="")
    timeout_seconds: float = 60.0
    max_attempts: int = 4
    first_wait_seconds: float = 1.0


class Unreachable(Exception):
    """The server gave no answer in all attempts; the message says why."""


def ask(server: ChatServer, system: str, question: str, max_tokens: int) -> str:
    """The answer to one question, drawn greedily.

    Raises:
      InputError: the server refuses (key, model or address are wrong), so asking again is no use.
      Unreachable: it gave no answer in time.
    """
    body = {
        "model": server.model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    reason = ""
    for attempt in range(server.max_attempts):
        wait = min(server.first_wait_seconds * 2**attempt, _LONGEST_WAIT_SECONDS)
        try:
            return _content(_post(server, body))
        except urllib.error.HTTPError as error:
            reason, wait = f"status {error.code}", _asked_wait(error, wait)
            error.close()
            if error.code not in _RETRIED:
                raise InputError(
                    f"{server.url}: status {error.code} {error.reason}; check url, model and key"
                ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # no connection, timeout, no JSON
            reason = f"{type(error).__name__}: {error}"
        if attempt + 1 < server.max_attempts:
            time.sleep(wait)
    raise Unreachable(f"{server.url}: {reason} in {server.max_attempts} attempts")


def _post(server: ChatServer, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {server.key}"} if server.key else {})
    address = f"{server.url.rstrip('/')}/chat/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=server.timeout_seconds) as response:
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
