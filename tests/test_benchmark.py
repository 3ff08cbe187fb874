import pytest

from vast_jax import benchmark
from vast_jax.benchmark import Timing, table, time_stage


def test_the_first_call_is_apart_from_the_later_ones(monkeypatch):
    clock = iter([0.0, 5.0, 10.0, 11.0, 20.0, 22.0, 30.0, 33.0])  # calls of 5, 1, 2 and 3 seconds
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    calls = []
    timing = time_stage("a stage", 100, lambda: calls.append(1))
    assert len(calls) == 4
    assert timing.stage == "a stage" and timing.frames == 100
    assert timing.start_ms == pytest.approx(3000) and timing.frame_ms == pytest.approx(20)  # the median of the later


def test_the_table_names_the_machine_and_leaves_no_rate_without_frames():
    lines = table([Timing("loading", 0, 12.3, 0.0), Timing("drawing", 250, 0.0, 4.567)]).splitlines()
    assert lines[2] == "| loading |  | 12 |  |"
    assert lines[3] == "| drawing | 4.57 | 0 | 250 frames (10 s) |"
    assert "CPU cores" in lines[-1] and "mediapipe" in lines[-1]
