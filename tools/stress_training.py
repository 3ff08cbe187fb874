"""Kills a training at random moments and starts it again, until it is done; its result must be the undisturbed one's.

    python tools/stress_training.py [--kills 30 --terms 10 --steps 4000 --seed 0 --keep FOLDER]

Trains the toy part of the tests: once undisturbed; once with SIGKILLs and SIGTERMs that come anywhere, in start-up,
steps, evaluations, saves and exports; and once begun on one device and resumed on two. The first two must end with the
same bits, the third with the same numbers but for rounding. What each start said is printed where it says nothing good.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vast_jax import cli
from vast_jax.training import checkpoints
from vast_jax.types import UserError
from vast_jax.weights import exports

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "toy_part.py"
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


@dataclass(frozen=True)
class Args:
    """Kills a training at random moments and starts it again, until it is done."""

    kills: int = 30
    """SIGKILLs"""
    terms: int = 10
    """SIGTERMs"""
    steps: int = 4000
    """of the run: enough not to be done before the last signal; a hundred a signal on a fast machine"""
    seed: int = 0
    """of the moments"""
    keep: Path | None = None
    """folder for the runs, which is made anew; none: they are deleted"""


def start(folder: Path, steps: int, save_every: int = 5, **environment: str) -> subprocess.Popen:
    """A training with an evaluation every second time that it saves, in `folder`/run."""
    folder.mkdir(exist_ok=True)
    fields = ["--steps", str(steps), "--save-every", str(save_every), "--eval-every", str(2 * save_every)]
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        str(TOY),
        "--data",
        str(folder),
        "--workdir",
        str(folder / "run"),
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    own = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.Popen(command + fields, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen, allowed: tuple[int, ...] = (0,)) -> None:
    """Waits for the end of a start. UserError: another exit code than those allowed."""
    _, said = process.communicate()
    if process.returncode not in allowed:
        raise UserError(f"a start ended with {process.returncode}: {said[-2000:]}")


def step_of(folder: Path) -> int:
    """Of the newest checkpoint, 0 before the first."""
    found = checkpoints.newest(folder / "run" / "checkpoints")
    return int(found.name) if isinstance(found, Path) else 0


def disturb(folder: Path, steps: int, kills: int, terms: int, rng: random.Random) -> None:
    """Starts the run again and again, and ends each start but the last by one of the signals.

    A signal comes up to a second after a start's first checkpoint; three in ten SIGKILLs in its first four seconds, so
    that it may not have come as far as a step.
    """
    signals = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    rng.shuffle(signals)
    for number, kind in enumerate(signals, 1):
        before, began = step_of(folder), time.monotonic()
        process = start(folder, steps)
        early = kind == signal.SIGKILL and rng.random() < 0.3
        while process.poll() is None and not early and step_of(folder) == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 4.0 if early else 1.0))
        if process.poll() == 0:
            raise UserError(f"done after {number - 1} signals: give more --steps")
        process.send_signal(kind)
        finish(process, (-signal.SIGKILL,) if kind == signal.SIGKILL else (130,))
        took = time.monotonic() - began
        print(f"{number}: {kind.name} after {took:.1f} s, steps {before} to {step_of(folder)}", flush=True)
    finish(start(folder, steps))


def params_of(folder: Path) -> dict[str, np.ndarray]:
    weights, _ = exports.load(folder / "run" / "export")
    return {player: weights[player]["w"] for player in ("line", "follower")}


def stress(args: Args, folder: Path) -> None:
    steps = args.steps
    for name in ("whole", "disturbed", "devices"):
        shutil.rmtree(folder / name, ignore_errors=True)
    finish(start(folder / "whole", steps, save_every=100))
    whole = params_of(folder / "whole")
    print(f"undisturbed: {steps} steps", flush=True)

    disturb(folder / "disturbed", steps, args.kills, args.terms, random.Random(args.seed))
    disturbed = params_of(folder / "disturbed")
    same = all(np.array_equal(whole[player], disturbed[player]) for player in whole)
    print(f"{args.kills} SIGKILLs, {args.terms} SIGTERMs: the same bits: {same}", flush=True)

    process = start(folder / "devices", steps)
    while process.poll() is None and step_of(folder / "devices") < 10:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    finish(process, (130,))
    print(f"one device until step {step_of(folder / 'devices')}, then two", flush=True)
    finish(start(folder / "devices", steps, **TWO_DEVICES))
    devices = params_of(folder / "devices")
    apart = max(np.abs(devices[player] / whole[player] - 1).max() for player in whole)
    print(f"largest relative difference: {apart:.1e}", flush=True)
    if not same or apart > 1e-4:
        raise UserError(f"a disturbed run ended otherwise than the undisturbed one; see {folder}")


def main() -> None:
    args = cli.parse(Args, prog="stress_training.py")
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
        stress(args, args.keep)
        return
    with tempfile.TemporaryDirectory() as folder:
        stress(args, Path(folder))


if __name__ == "__main__":
    cli.run(main)
