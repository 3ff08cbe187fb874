import os
import signal
import time

import pytest

from vast_jax.data.workers import run_jobs


def work(job: str) -> str:
    if job == "deadly":
        time.sleep(0.2)  # so that another is running beside it
        os._exit(9)
    if job == "wrong":
        raise ValueError(job)
    return f"{job} {os.getpid()} {os.environ['OMP_NUM_THREADS']}"


def test_one_worker_stays_in_this_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(run_jobs(work, ["a", "b"], 1)) == [(job, f"{job} {os.getpid()} 7") for job in "ab"]


def test_a_death_costs_the_jobs_beside_it_only(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    jobs = ["a", "b", "deadly", "c", "d", "e"]
    results = dict(run_jobs(work, jobs, 2))
    assert set(results) == set(jobs) and results["deadly"] is None
    assert sum(result is None for result in results.values()) <= 2
    finished = [result.split() for result in results.values() if result]
    assert str(os.getpid()) not in {pid for _, pid, _ in finished}
    assert {threads for _, _, threads in finished} == {"1"} and os.environ["OMP_NUM_THREADS"] == "7"


def test_an_error_is_passed_on():
    with pytest.raises(ValueError, match="wrong"):
        list(run_jobs(work, ["wrong", "a"], 2))


def alike(_: int) -> tuple[int, str, bool]:
    time.sleep(0.2)  # so that no process takes all jobs
    shielded = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return os.getpid(), os.environ["OMP_NUM_THREADS"], shielded


def test_all_processes_have_a_single_thread_and_hear_no_ctrl_c(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = {result for _, result in run_jobs(alike, range(6), 2)}
    assert len(found) == 2 and {result[1:] for result in found} == {("1", True)}
