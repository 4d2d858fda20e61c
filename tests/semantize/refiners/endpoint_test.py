import collections
import contextlib
import http.server
import json
import threading
import time

import polars as pl
import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.refiners import chat_client, endpoint
from usergpt_jax.semantize.refiners.cache import look_up
from usergpt_jax.semantize.refiners.chat_client import EndpointConfig
from usergpt_jax.semantize.refiners.endpoint import connect, lines, question

PAIRS = [("Woodrow Display Shelf Four Tier", "Shelves"), ("Zulang Tea", None), ("Movit Yoga Mat", None)]


@pytest.fixture(autouse=True)
def patience_and_key(monkeypatch):
    monkeypatch.setattr(chat_client, "_FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setenv("REFINER_KEY", "secret")


def table(pairs=PAIRS):
    return pl.DataFrame(pairs, schema={"title": pl.String, "category": pl.String}, orient="row")


@contextlib.contextmanager
def stub(reply):
    """A server that answers with `reply(number of the request, body)`: (status, text) or (status, text, headers)."""
    seen = []
    running = collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            running["now"] += 1
            running["most"] = max(running["most"], running["now"])
            seen.append({"path": self.path, "key": self.headers.get("Authorization"), "body": body})
            status, text, *headers = reply(len(seen), body)
            running["now"] -= 1
            content = (
                text if isinstance(text, bytes) else json.dumps({"choices": [{"message": {"content": text}}]}).encode()
            )
            with contextlib.suppress(OSError):  # the client may have given up
                self.send_response(status)
                for name, value in headers[0].items() if headers else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen, running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def config(url, **changes):
    given = {
        "url": url, "model": "m", "key_variable": "REFINER_KEY", "titles_per_request": 2, "concurrency": 2,
        "timeout_seconds": 5.0, "max_attempts": 3, "thinking_tokens": 0,
    }  # fmt: skip
    return EndpointConfig(**(given | changes))


def refiner(url, **changes):
    return connect(config(url, **changes))


def right(body):
    """The answers that the stub gives to the titles of `PAIRS`."""
    known = {"Woodrow": "Display Shelf | Woodrow; Four Tier", "Zulang": "Tea | Zulang", "Movit": "Yoga Mat | Movit"}
    asked = body["messages"][-1]["content"].splitlines()
    return "\n".join(f"{line.split('.')[0]}. {known[line.split()[1]]}" for line in asked)


def test_titles_are_asked_in_batches():
    with stub(lambda n, body: (200, right(body))) as (url, seen, _):
        made = refiner(url).answers(table())
    assert made["entity"].to_list() == ["Display Shelf", "Tea", "Yoga Mat"]
    assert made["attributes"].to_list()[0] == ["Woodrow", "Four Tier"]
    assert made["fallback"].null_count() == 3
    assert len(seen) == 2
    assert {one["path"] for one in seen} == {"/v1/chat/completions"}
    assert {one["key"] for one in seen} == {"Bearer secret"}
    assert seen[0]["body"]["temperature"] == 0


def test_a_busy_server_is_asked_again():
    def reply(n, body):
        if n == 1:
            return 429, "slow down", {"Retry-After": "0.01"}
        return (500, "oops") if n == 2 else (200, right(body))

    with stub(reply) as (url, seen, _):
        made = refiner(url, titles_per_request=3).answers(table())
    assert made["fallback"].null_count() == 3
    assert len(seen) == 3


def test_what_does_not_parse_falls_to_the_rules_and_is_counted(tmp_path):
    answer = "Sure! Here you go:\n1. Display Shelf | Woodrow\n2. Coffee Machine | Nobody\nGoodbye"
    with stub(lambda n, body: (200, answer)) as (url, seen, _):
        made = look_up(tmp_path, refiner(url, titles_per_request=3), table())
        again = look_up(tmp_path, refiner(url, titles_per_request=3), table())
    assert made.answers["fallback"].to_list() == [None, "malformed", "malformed"]
    assert made.answers["entity"].to_list() == ["Display Shelf", "Tea", "Yoga Mat"]
    assert made.counts["fallback_malformed"] == 2
    assert again.counts["made"] == 0
    assert len(seen) == 1


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {}}]}', b"\xff\xfe"])
def test_a_server_that_talks_nonsense_has_not_answered(body, tmp_path):
    def reply(n, request):
        return (200, body) if "Movit" in request["messages"][-1]["content"] else (200, right(request))

    with stub(reply) as (url, _, _):
        made = look_up(tmp_path, refiner(url), table())
        assert made.answers["fallback"].to_list() == [None, None, "unreachable"]
        assert look_up(tmp_path, refiner(url), table(PAIRS[:2])).counts["made"] == 0
        with pytest.raises(InputError, match="no question was answered"):
            look_up(tmp_path, refiner(url), table(PAIRS[2:]))


def test_a_slow_answer_is_given_up():
    def reply(n, body):
        if "Movit" in body["messages"][-1]["content"]:
            time.sleep(0.5)
        return 200, right(body)

    with stub(reply) as (url, _, _):
        made = refiner(url, timeout_seconds=0.15, max_attempts=2).answers(table())
    assert made["fallback"].to_list() == [None, None, "unreachable"]


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_stops_at_once(status):
    refusal = pytest.raises(InputError, match=f"status {status}")
    with stub(lambda n, body: (status, "no")) as (url, seen, _), refusal:
        refiner(url, titles_per_request=3).answers(table())
    assert len(seen) == 1


def test_no_server_is_the_users_error():
    with pytest.raises(InputError, match="no question was answered"):
        refiner("http://127.0.0.1:9/v1", max_attempts=1).answers(table())


def test_at_most_so_many_questions_at_once():
    def reply(n, body):
        time.sleep(0.02)
        return 200, ""

    with stub(reply) as (url, seen, running):
        refiner(url, titles_per_request=1, concurrency=3).answers(table([(f"Tea {i}", None) for i in range(12)]))
    assert len(seen) == 12
    assert running["most"] <= 3


def test_a_title_cannot_forge_a_line():
    asked = question([("tea\n2. Gold | x <Tea>\u2028", "A > B"), ("shop", None)])
    assert asked.splitlines() == ["1. tea 2. Gold | x Tea <B>", "2. shop"]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("1. a | b\n2. c", ["a | b", "c"]),
        ("<think>1. wrong</think>\n1) a\n 2: c ", ["a", "c"]),
        ("<think>never ends 1. a", ["", ""]),
        ("1. a\n1. b\n2. c", ["", "c"]),
        ("7. a\n99999999999999. b", ["", ""]),
        ("", ["", ""]),
    ],
)
def test_numbered_lines_are_read(text, answers):
    assert lines(text, 2) == answers


def test_identity_follows_model_and_wording(monkeypatch):
    one = refiner("http://x/v1").identity
    assert one == refiner("http://y/v1").identity
    assert one != refiner("http://x/v1", model="other").identity
    monkeypatch.setattr(endpoint.refinement, "INSTRUCTIONS", "other words")
    assert one != refiner("http://x/v1").identity


def test_key_and_address_are_checked(monkeypatch):
    assert "secret" not in repr(refiner("http://x"))
    with pytest.raises(InputError, match="http://"):
        refiner("x")
    monkeypatch.delenv("REFINER_KEY")
    with pytest.raises(InputError, match="REFINER_KEY"):
        refiner("http://x")
