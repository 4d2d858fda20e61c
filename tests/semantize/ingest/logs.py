"""Small logs and mappings for the tests of ingest."""

import json

from usergpt_jax.semantize.ingest.event_map import make_map

PLAIN = {"user_id": "uid", "time": "ts", "source": "ecommerce", "action": "purchase", "title": "name"}
DAMAGED = "bytes that are not utf-8 replaced by U+FFFD: see `encoding` in the mapping"


def mapping(**changes):
    return make_map({**PLAIN, **changes})


def write(path, text, name="log.csv"):
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def write_jsonl(path, rows, name="log.jsonl"):
    return write(path, "".join(json.dumps(row) + "\n" for row in rows), name)


def write_map(path, **changes):
    return write(path, f"def get_config():\n    return { ({**PLAIN, **changes})!r}\n", "map.py")


def dropped(report):
    return {reason: one.count for reason, one in report.dropped.items()}


def changed(report):
    return {reason: one.count for reason, one in report.changed.items()}
