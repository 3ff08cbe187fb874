"""How commands end that are stopped, or that nobody listens to: at once, in a line, with nothing half-written."""

import os
import signal
import subprocess
import sys
import time

import pytest

WRITES = """
import pathlib, sys, time
from vast_jax import cli
from vast_jax.files import atomic_path

def main():
    with atomic_path(pathlib.Path(sys.argv[1]) / "out") as part:
        part.write_text("half")
        print("in", flush=True)
        {waits}
        part.write_text("whole")

cli.run(main)
"""
WAITS = "time.sleep(20)"
LOSES = """
        class Finished:
            def __del__(self):
                time.sleep(20)

        try:
            time.sleep(20)
        except BaseException:
            pass
        Finished()
        time.sleep(20)
"""
CONVERTS = """
        try:
            time.sleep(20)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error
"""
JOBS = """
import pathlib, sys, time
from vast_jax import cli
from vast_jax.data.workers import run_jobs
from vast_jax.files import atomic_path

def job(path):
    with atomic_path(path) as part:
        part.write_text("half")
        print("in\\n", end="", flush=True)  # in one piece, for two say it
        time.sleep(20)

if __name__ == "__main__":
    jobs = [pathlib.Path(sys.argv[1]) / name for name in "abc"]
    cli.run(lambda: list(run_jobs(job, jobs, 2)))
"""
IMPORTS = """
import time
from vast_jax.signals import end_at_once
end_at_once()
print("in", flush=True)
time.sleep(20)
"""
PRINTS = """
from vast_jax import cli
cli.run(lambda: print("one\\ntwo"))
"""
HELPS = """
import dataclasses
from vast_jax import cli
Options = dataclasses.make_dataclass("Options", [("steps", int, 3)])
cli.run(lambda: cli.parse(Options, ["--help"], prog="x"))
"""


def started(tmp_path, script: str, **options) -> subprocess.Popen:
    """A script in a process group of its own, as a terminal's foreground job; its only argument is a folder to fill."""
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "out").mkdir()
    command = [sys.executable, tmp_path / "script.py", tmp_path / "out"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    return subprocess.Popen(command, preexec_fn=_hears_signals, **pipes | options)


def _hears_signals() -> None:
    """As from a terminal: these tests may themselves run under nohup or in the background, where they are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def stopped(process: subprocess.Popen, number: int, signs: int = 1, times: int = 1) -> tuple[int, str]:
    """Exit code and stderr after a signal to the group, once the script has said `signs` times that it waits."""
    for _ in range(signs):
        assert process.stdout.readline() == "in\n"
    begun = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, number)
        time.sleep(0.05)
    _, said = process.communicate(timeout=15)  # until no process of the group is left that could write
    assert time.monotonic() - begun < 10
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_says_so_and_leaves_nothing(tmp_path, number):
    assert stopped(started(tmp_path, WRITES.format(waits=WAITS)), number) == (128 + number, "stopped\n")
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("waits", [LOSES, CONVERTS])
def test_ctrl_c_is_heard_where_a_library_loses_it(tmp_path, waits):
    assert stopped(started(tmp_path, WRITES.format(waits=waits)), signal.SIGINT) == (130, "stopped\n")
    assert not any((tmp_path / "out").iterdir())


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path):
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + WRITES.format(waits="time.sleep(0.5)")
    assert stopped(started(tmp_path, script), signal.SIGHUP) == (0, "")
    assert (tmp_path / "out" / "out").read_text() == "whole"


def test_ctrl_c_while_modules_are_imported_ends_without_a_word(tmp_path):
    assert stopped(started(tmp_path, IMPORTS), signal.SIGINT) == (130, "")


@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 5), (signal.SIGTERM, 1)])
def test_workers_leave_their_jobs_and_end_with_the_command(tmp_path, number, times):
    process = started(tmp_path, JOBS)
    assert stopped(process, number, 2, times) == (128 + number, "stopped\n")
    assert not any((tmp_path / "out").iterdir())


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    process = started(tmp_path, JOBS)
    for _ in range(2):
        assert process.stdout.readline() == "in\n"
    process.kill()
    process.wait()
    process.stdout.read()  # to its end: nobody holds it any more


@pytest.mark.parametrize("script", [PRINTS, HELPS])
def test_output_that_nobody_reads_ends_a_command_without_a_word(tmp_path, script):
    read, write = os.pipe()
    os.close(read)
    process = started(tmp_path, script, stdout=write)
    os.close(write)
    assert (process.communicate(timeout=15)[1], process.returncode) == ("", 141)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_to_a_full_disk_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        process = started(tmp_path, PRINTS, stdout=full)
    said = process.communicate(timeout=15)[1]
    assert process.returncode == 2
    assert said.startswith("error: ") and "No space left" in said and said.count("\n") == 1
