import errno
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.semantize.ingest.logs import mapping, write, write_map
from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.semantize.ingest import buckets, run
from usergpt_jax.semantize.ingest.read_log import read_events
from usergpt_jax.semantize.ingest.run import Limits

INGEST = pathlib.Path(__file__).parents[3] / "launch/ingest.py"
SALT = b"a salt of some length"


def log_text(n_rows, n_users):
    """Rows with every fate: duplicates, cancellations, no title, quantities <= 0, equal times."""
    draw = random.Random(0)
    rows = ["no,uid,ts,name,n"]
    for _ in range(n_rows):
        n = draw.choice([1, 2, 3, 0])
        cancel = draw.random() < 0.15
        title = draw.choice(["Tea", "Rug", "Cup", ""])
        day = draw.randrange(1, 28)
        rows.append(
            f"{'C' if cancel else ''}1,u{draw.randrange(n_users)},2025-01-{day:02d},{title},{-n if cancel else n}"
        )
    return "\n".join(rows) + "\n"


CANCELS = {"latest": "2025-06-01", "quantity": "n", "cancel_column": "no", "cancel_prefix": "C"}


def ingest(folder, log, out="run", **options):
    run.run(str(log), str(folder / "map.py"), str(folder / out), "refuse", **options)
    return folder / out / "1_events"


def events_of(folder):
    parts = [pl.read_parquet(part) for part in sorted(folder.glob("part-*.parquet"))]
    users = [set(part["user_id"]) for part in parts]
    assert sum(map(len, users)) == len(set().union(*users))  # a user never spans parts
    for part in parts:
        assert part.equals(part.sort("user_id", "time", maintain_order=True))
    return pl.concat(parts)


@pytest.mark.parametrize("limits", [Limits(batch_rows=7), Limits(n_buckets=5), Limits(50, 3, 40), Limits(1000, 1, 10)])
def test_events_and_report_do_not_depend_on_batches_and_buckets(tmp_path, limits):
    write_map(tmp_path, **CANCELS)
    text = log_text(600, 23)
    for i, part in enumerate((text, log_text(50, 3))):
        write(tmp_path, part, f"logs/{i}.csv")
    expected, report = read_events(tmp_path / "logs", mapping(**CANCELS))
    folder = ingest(tmp_path, tmp_path / "logs", limits=limits)
    made = events_of(folder)
    assert made.sort("user_id", maintain_order=True).equals(
        expected.with_columns(pl.col("time").cast(made["time"].dtype))
    )
    assert json.loads((folder / "import_report.json").read_text()) == json.loads(
        json.dumps(report.__dict__, default=vars)
    )
    assert {"purchase cancelled", "purchase cancelled in part"} & set(report.dropped)
    for part in folder.glob("part-*.parquet"):
        schema.check_columns(pq.read_schema(part), schema.EVENT_SCHEMA, str(part))


def test_one_bucket_is_sorted_by_user_throughout(tmp_path):
    write_map(tmp_path)
    folder = ingest(tmp_path, write(tmp_path, log_text(300, 20)), limits=Limits(events_per_part=30))
    assert len(list(folder.glob("part-*.parquet"))) > 3
    assert events_of(folder)["user_id"].is_sorted()


def test_one_user_with_all_events_is_one_part(tmp_path):
    write_map(tmp_path)
    rows = "".join(f"u,2025-01-{i % 28 + 1:02d},Tea {i}\n" for i in range(20_000))
    folder = ingest(tmp_path, write(tmp_path, "uid,ts,name\n" + rows), limits=Limits(500, 4, 1000))
    assert [part.name for part in folder.glob("part-*.parquet")] == ["part-00000.parquet"]
    assert events_of(folder).height == 20_000


def test_many_distinct_titles_pass(tmp_path):
    write_map(tmp_path)
    pl.DataFrame({"uid": "u", "ts": "2025-01-01", "name": [f"Title {i}" for i in range(100_000)]}).write_parquet(
        tmp_path / "log.parquet"
    )
    folder = ingest(tmp_path, tmp_path / "log.parquet", limits=Limits(batch_rows=30_000))
    assert events_of(folder)["title"].n_unique() == 100_000


@pytest.mark.parametrize("n_rows", [1, 2_000_000, 2_000_001, 10**12])
def test_buckets_grow_with_the_log_up_to_a_bound(n_rows):
    assert buckets.count_for(n_rows) == {1: 1, 2_000_000: 1, 2_000_001: 2, 10**12: 256}[n_rows]


def test_nothing_temporary_stays(tmp_path):
    write_map(tmp_path)
    folder = ingest(tmp_path, write(tmp_path, log_text(50, 5)), limits=Limits(n_buckets=3))
    assert all(file.suffix == ".parquet" or file.suffix == ".json" for file in folder.iterdir())
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["1_events"]


@pytest.mark.parametrize(
    "where", ["usergpt_jax.semantize.ingest.buckets.Buckets.add", "pyarrow.parquet.ParquetWriter.write_table"]
)
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, monkeypatch, where):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    write_map(tmp_path)
    file = write(tmp_path, log_text(50, 5))
    monkeypatch.setattr(where, full)
    message = f"{tmp_path}/run/1_events.partial: cannot be written: {os.strerror(errno.ENOSPC)}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ingest(tmp_path, file)
    assert list((tmp_path / "run").iterdir()) == []
    monkeypatch.undo()
    assert ingest(tmp_path, file).exists()


def test_a_killed_import_leaves_nothing_that_looks_complete_and_is_done_again(tmp_path):
    write_map(tmp_path)
    write(tmp_path, log_text(50, 5))
    code = (
        "import sys, time\n"
        "from usergpt_jax.semantize.ingest import run\n"
        "def hang(*_): print('writing', flush=True); time.sleep(60)\n"
        "run.write_parts = hang\n"
        "run.run(sys.argv[1] + '/log.csv', sys.argv[1] + '/map.py', sys.argv[1] + '/run', 'refuse')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["1_events.partial"]
    assert events_of(ingest(tmp_path, tmp_path / "log.csv")).height > 0
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["1_events"]


def test_a_bad_file_stops_the_import_or_is_left_out_with_all_its_rows(tmp_path):
    write_map(tmp_path)
    write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\na,2025-01-02,\n", "logs/1.csv")
    write(tmp_path, '{"uid":"b","ts":"2025-01-01","name":"Rug"}\n{"uid":"b","ts":"2025-01-01","na', "logs/2.jsonl")
    write(tmp_path, "uid,ts,name\nc,2025-01-01,Cup\n", "logs/3.csv")
    reason = "cannot be read as jsonl: row 2: Unterminated string starting at"
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/logs/2.jsonl: {reason}")):
        ingest(tmp_path, tmp_path / "logs")
    folder = ingest(tmp_path, tmp_path / "logs", skip_bad_files=True, limits=Limits(batch_rows=1))
    assert events_of(folder)["title"].to_list() == ["Tea", "Cup"]
    report = json.loads((folder / "import_report.json").read_text())
    assert report["skipped_files"] == {"2.jsonl": reason}
    assert report["files"] == {"1.csv": 2, "3.csv": 1}
    assert (report["rows_read"], report["dropped"]["no title"]["count"]) == (3, 1)


def test_rows_read_before_a_file_breaks_off_do_not_count(tmp_path):
    write_map(tmp_path)
    write(tmp_path, "uid,ts,name\na,2025-01-01,Tea\n", "logs/1.csv")
    rows = '{"uid":"b","ts":"2025-01-01","name":"Rug"}\n{"uid":"b","ts":"2025-01-01","name":""}\n' * 12_000
    write(tmp_path, rows + "{", "logs/2.jsonl")
    folder = ingest(tmp_path, tmp_path / "logs", skip_bad_files=True)
    assert events_of(folder)["title"].to_list() == ["Tea"]
    report = json.loads((folder / "import_report.json").read_text())
    assert (report["rows_read"], report["dropped"], list(report["skipped_files"])) == (1, {}, ["2.jsonl"])


def test_a_log_of_bad_files_only_is_refused(tmp_path):
    write_map(tmp_path)
    write(tmp_path, "broken", "logs/1.parquet")
    with pytest.raises(
        InputError, match=r"logs: none of its 1 files can be read; 1.parquet: cannot be read as parquet"
    ):
        ingest(tmp_path, tmp_path / "logs", skip_bad_files=True)
    assert not (tmp_path / "run/1_events").exists()


def test_the_salt_is_in_no_file_and_another_one_is_another_import(tmp_path):
    write_map(tmp_path, hash_user_id=True)
    file = write(tmp_path, log_text(50, 5))
    write(tmp_path, SALT + b"\n", "salt")
    folder = ingest(tmp_path, file, salt_file=str(tmp_path / "salt"))
    assert events_of(folder)["user_id"].str.contains("^[0-9a-f]{32}$").all()
    for written in folder.iterdir():
        assert SALT not in written.read_bytes()
        assert SALT.hex().encode() not in written.read_bytes()
    write(tmp_path, SALT[::-1], "other")
    with pytest.raises(InputError, match="was made by another config: salt_check"):
        ingest(tmp_path, file, salt_file=str(tmp_path / "other"))
    with pytest.raises(InputError, match="none: the salt cannot be read: No such file or directory"):
        ingest(tmp_path, file, salt_file=str(tmp_path / "none"))


@pytest.mark.parametrize(("text", "size"), [("", 0), ("\n", 0), ("too short\n", 9), ("x" * 65, 65)])
@pytest.mark.parametrize("hashing", [True, False])
def test_an_empty_or_short_salt_file_is_named(tmp_path, text, size, hashing):
    write_map(tmp_path, hash_user_id=hashing)
    file, salt = write(tmp_path, log_text(5, 5)), write(tmp_path, text, "salt")
    with pytest.raises(InputError, match=f"^{re.escape(str(salt))}: salt: expected 16 to 64 bytes, got {size}$"):
        ingest(tmp_path, file, salt_file=str(salt))


def test_a_finished_import_is_reused_until_the_log_changes(tmp_path, capsys):
    write_map(tmp_path)
    file = write(tmp_path, log_text(50, 5))
    ingest(tmp_path, file)
    ingest(tmp_path, file)
    assert capsys.readouterr().out.endswith("1_events: reused\n")
    write(tmp_path, log_text(60, 5))
    with pytest.raises(InputError, match=r"another config: log.sha256"):
        ingest(tmp_path, file)


def launch(*flags):
    return subprocess.run([sys.executable, str(INGEST), *flags], capture_output=True, text=True, check=False)


def test_the_launch_script_imports_a_glob(tmp_path):
    write_map(tmp_path)
    write(tmp_path, log_text(50, 5), "logs/a.csv")
    write(tmp_path, "x", "logs/b.parquet")
    flags = ["--map", f"{tmp_path}/map.py", "--run", f"{tmp_path}/run", "--skip_bad_files"]
    done = launch("--events", f"{tmp_path}/logs/*", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "skipped file b.parquet: cannot be read as parquet" in done.stdout


def test_the_launch_script_asks_for_a_mapping(tmp_path):
    done = launch("--events", str(write(tmp_path, log_text(5, 5))))
    assert (done.returncode, done.stderr) == (2, "error: --map is missing; --suggest prints a mapping to start from\n")
