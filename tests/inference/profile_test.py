import datetime
import json

import pytest

from usergpt_jax.core.errors import InputError
from usergpt_jax.inference import profile
from usergpt_jax.inference.persona import Persona, Verdict
from usergpt_jax.inference.profile import UserMub
from usergpt_jax.schema import NA
from usergpt_jax.tags import HPR18

TAGS = {name: Verdict(NA, 1.0, (), "") for name in HPR18.names} | {"pet": Verdict("cat", 2 / 3, (2, 4), "")}


def persona_json(raw_tokens=100, mub_tokens=20, mub="line 1\nline 2"):
    user = UserMub("u", datetime.datetime(2025, 7, 1), mub, raw_tokens, mub_tokens)
    return profile.to_json(user, Persona(TAGS, "Lifestyle: keeps a cat.", "model"), 5)


def test_a_persona_is_json_with_evidence_and_compression():
    row = json.loads(json.dumps(persona_json()))
    assert row["tags"]["pet"] == {"value": "cat", "confidence": 0.6667, "evidence": [2, 4]}
    assert row["mub"] == ["line 1", "line 2"]
    # 20 of 100, 5 of 20 and 5 of 100 tokens are left
    assert row["compression"] == {
        "raw_tokens": 100,
        "mub_tokens": 20,
        "summary_tokens": 5,
        "raw_to_mub": 0.8,
        "mub_to_summary": 0.75,
        "raw_to_summary": 0.95,
    }


def test_nothing_to_compress_has_no_ratio():
    row = persona_json(raw_tokens=0, mub_tokens=0, mub="")
    assert row["mub"] == []
    assert row["compression"]["raw_to_mub"] is None


def test_the_closing_table_counts_na_by_tag():
    table = profile.closing_table(HPR18, [persona_json(), persona_json(raw_tokens=40)], seconds=4.0)
    assert "pet                    0.0%  cat (100%)" in table
    assert "gender               100.0%  -" in table
    assert "raw log to MUB 65.0%" in table  # median of 80 % and 50 %
    assert "2 users in 4.0 s (0.5 users/s)" in table


def test_a_run_that_breaks_leaves_no_file(tmp_path):
    def rows():
        yield {"user_id": "a"}
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        profile.write_jsonl(tmp_path / "out.jsonl", rows())
    assert not (tmp_path / "out.jsonl").exists()


def test_a_path_that_cannot_be_written_is_told_beforehand(tmp_path):
    for path in (tmp_path, tmp_path / "absent" / "out.jsonl"):
        with pytest.raises(InputError, match="cannot be written"):
            profile.check_writable(path, [tmp_path / "log.csv"])
