"""Sends damaged video and sound through `prepare` and `infer`, and counts what becomes of them.

    python tools/fuzz_media.py [--video TALKING.mp4 ...] --count 500

Each file is refused in one line, leaving nothing, or gives a whole result. Anything else is wrong: a traceback, a
process that dies or takes longer than the limit, an output that is not whole. What went wrong is kept in --keep, to be
repeated with the same --seed; the exit code is then 1.
"""

import contextlib
import io
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from fuzzed_media import MUTATIONS, originals

from vast_jax import cli, infer, media
from vast_jax.prepare import __main__ as prepare
from vast_jax.types import UserError

RESULTS = ("refused", "done", "wrong")


@dataclass(frozen=True)
class Args:
    """Sends damaged video and sound through prepare and infer, and counts what becomes of them."""

    video: tuple[Path, ...] = ()
    """talking faces, their first second; none: the built-in head"""
    count: int = 500
    """files to try"""
    seed: int = 0
    """of the damage"""
    limit: float = 20.0
    """seconds that a command may take for a file"""
    workers: int = 2
    """processes"""
    keep: Path = Path("fuzzed")
    """folder for the files that went wrong"""


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: fuzz(cli.parse(Args, argv, prog="fuzz_media.py")))


def fuzz(args: Args) -> None:
    """Tries the files; exits with 1 where something went wrong."""
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        whole = originals(Path(folder), args.video)
        try:
            for job, path, said in _results(args, whole, Path(folder)):
                how = said.partition(":")[0]
                found[job.kind, how] += 1
                if how == "wrong":
                    args.keep.mkdir(parents=True, exist_ok=True)
                    kept = args.keep / path.name
                    shutil.copy(path, kept)
                    print(f"{kept}, {job.kind}: {said}", flush=True)
                path.unlink()
        finally:  # also when it is stopped
            print(_table(found), flush=True)
    if any(how == "wrong" for _, how in found):
        sys.exit(1)


def _table(found: Counter[tuple[str, str]]) -> str:
    """What became of the files, by the kind of damage."""
    rows = {kind: [found[kind, how] for how in RESULTS] for kind in sorted({kind for kind, _ in found})}
    rows[f"{sum(found.values())} files"] = [sum(row[i] for row in rows.values()) for i in range(len(RESULTS))]
    told = ((kind, zip(row, RESULTS, strict=True)) for kind, row in rows.items())
    return "\n".join(f"{kind:<20} " + " ".join(f"{number:4d} {how}" for number, how in row) for kind, row in told)


class Job(NamedTuple):
    """The number of a file, which with the seed says all about it, and how it is damaged."""

    number: int
    kind: str


def _results(args: Args, whole: list[Path], folder: Path) -> Iterator[tuple[Job, Path, str]]:
    """Damages and tries one file after another: (what was done, the file, what became of it)."""
    kinds = sorted(MUTATIONS)
    waiting = [Job(number, kinds[number % len(kinds)]) for number in reversed(range(args.count))]
    workers = [Worker(whole) for _ in range(min(args.workers, args.count))]
    try:
        while waiting or any(worker.job for worker in workers):
            for worker in workers:
                if worker.job and (said := worker.result(args.limit)):
                    yield worker.job, worker.path, said
                    worker.job = None
                if waiting and not worker.job and worker.ready():
                    job = waiting.pop()
                    rng = random.Random(f"{args.seed} {job.number}")
                    worker.begin(job, MUTATIONS[job.kind](whole, folder / f"{job.number:05d}", rng))
            time.sleep(0.02)
    finally:
        for worker in workers:
            worker.stop()


class Worker:
    """A process that tries one file after another, and is replaced if one is its end."""

    def __init__(self, whole: list[Path]):
        self.whole, self.job, self.path = whole, None, None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # neither JAX nor MediaPipe survives a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.whole), daemon=True)
        self.process.start()
        theirs.close()
        self.warm = False

    def ready(self) -> bool:
        """Whether it has imported and compiled everything."""
        if not self.warm and self.pipe.poll():
            said = self.pipe.recv()
            if said != "ready":
                raise UserError(f"undamaged files fail: {said}")
            self.warm = True
        return self.warm

    def begin(self, job: "Job", path: Path) -> None:
        self.job, self.path = job, path
        self.pipe.send(path)
        self.started = time.monotonic()

    def result(self, limit: float) -> str | None:
        """What became of the file; None: not yet."""
        try:
            if self.pipe.poll():
                return self.pipe.recv()
        except EOFError:
            self.process.join()
            result = f"wrong: the process ended with {self.process.exitcode}"
        else:
            if time.monotonic() - self.started < 2 * limit:  # a video goes through two commands
                return None
            result = f"wrong: longer than {limit:g} s a command"
        self.stop()
        self._start()
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(pipe, whole: list[Path]) -> None:
    speech = next(path for path in whole if path.suffix == ".wav")
    results = [_try(path, speech) for path in whole]
    bad = [f"{path.name}: {said}" for path, said in zip(whole, results, strict=True) if said != "done"]
    pipe.send(bad[0] if bad else "ready")
    while True:
        pipe.send(_try(pipe.recv(), speech))


def _try(path: Path, speech: Path) -> str:
    """What the commands make of a file: "done", "refused", or "wrong: " and what."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "out.mp4"
        said = []
        if path.suffix in media.VIDEO_SUFFIXES:
            said.append(_command(prepare.main, "--out", data, "--workers", 1, path))
            if said[0] == "refused" and any(data.rglob("dataset_info.json")):
                said.append("wrong: a data set of nothing")
            said.append(_command(infer.main, "--prompt", path, "--speech", speech, "--out", out, "--quiet"))
        else:
            said.append(_command(infer.main, "--speech", path, "--out", out, "--quiet"))
        if said[-1] == "done":
            said.append(_whole(out))
        elif left := [left.name for left in Path(folder).iterdir() if left != data]:
            said.append(f"wrong: it left {left}")
    return max(said, key=lambda one: (one.startswith("wrong"), one == "refused"))


def _whole(video: Path) -> str:
    try:
        return "done" if any(True for _ in media.read_frames(video)) else "wrong: a video without frames"
    except UserError as error:
        return f"wrong: {error}"


def _command(main: Callable[[], None], *argv: object) -> str:
    said = io.StringIO()
    try:
        with (
            mock.patch.object(sys, "argv", ["command", *map(str, argv)]),
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            main()
    except SystemExit as end:
        last = said.getvalue().strip().splitlines()[-1:]
        if end.code == 2 and last and last[0].startswith("error: "):
            return "refused"
        return f"wrong: exit code {end.code}, {' '.join(last)}"
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"wrong: {type(error).__name__}: {error} ({Path(at.filename).name}, line {at.lineno})"
    return "done"


if __name__ == "__main__":
    main()
