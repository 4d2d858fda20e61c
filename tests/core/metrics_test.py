import pytest

from usergpt_jax.core.metrics import MetricWriter, read_metrics


def test_lines_past_the_resumed_step_are_dropped(tmp_path):
    with MetricWriter(tmp_path) as writer:
        for step in (1, 2, 3):
            writer.write(step, {"loss": step})
    with MetricWriter(tmp_path, resume_step=2) as writer:
        writer.write(3, {"loss": 30.0})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": s, "loss": x} for s, x in ((1, 1), (2, 2), (3, 30))]


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1]


def test_nan_stops_the_run_and_names_step_and_metric(tmp_path):
    with MetricWriter(tmp_path) as writer, pytest.raises(FloatingPointError, match="loss is nan at step 7"):
        writer.write(7, {"loss": float("nan")})
