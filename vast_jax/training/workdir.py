"""The folder of a run: who may use it, what must agree with it before a run goes on, and what a killed one left."""

import errno
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vast_jax.files import atomic_path, full
from vast_jax.training import hosts
from vast_jax.training.config import Config, check_same_run, write_config
from vast_jax.types import Unwritable, UserError
from vast_jax.weights import exports

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other runs out of a folder. The lock is the system's, on a file "lock": it ends with its process.

    Where the file system has no locks, a line says so.

    Raises:
        UserError: another run is in there; the folder cannot be written.
    """
    file = None

    def take() -> None:
        nonlocal file
        workdir.mkdir(parents=True, exist_ok=True)
        file = open(workdir / "lock", "a")  # noqa: SIM115 - held until the run ends
        if fcntl is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{workdir} is in use by another run: wait for it, or give another --workdir") from None
        except OSError as error:
            print(f"{workdir} cannot be locked ({error.strerror}): start no second run in it", file=sys.stderr)

    hosts.on_first(take)
    try:
        yield
    finally:
        if file is not None:
            file.close()


@contextmanager
def disk_errors(workdir: Path, last_good: Callable[[], object]) -> Iterator[None]:
    """Turns what a full disk or a folder that may not be written raises inside into a UserError of one line.

    Args:
        workdir: folder that is written.
        last_good: what to name as the last good checkpoint.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # Orbax raises the last two for what its threads meet
        said = " ".join(
            (f"{error.strerror}: {error.filename}" if isinstance(error, Unwritable) else str(error)).split()
        )
        if full(error) is None and not (getattr(error, "errno", None) in _FORBIDDEN and str(workdir) in said):
            raise
        raise UserError(
            f"{workdir} cannot be written ({said[:150]}): make room, then run the same command again; "
            f"last good checkpoint: {last_good()}"
        ) from error


def open_workdir(
    config: Config, data_dir: Path, workdir: Path, step: int | None, init_from: Path | None
) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Prepares a new run's folder, or checks that of a run to resume; of several processes the first does it for all.

    Args:
        config: of this start.
        data_dir: prepared data, from which a new run takes its constants.
        workdir: the folder.
        step: of its newest checkpoint, None if it has none.
        init_from: exported weights for a new run; None: those that the part begins with, if any (`start_from`). Their
            constants go with them, unless the part says that its constants describe the data alone
            (`constants_of_data`).

    Returns:
        (constants, weights to start from or None). The constants of a run are kept in its folder: they never change.

    Raises:
        UserError: the folder belongs to another config; `init_from` is missing or damaged.
    """
    file, weights = workdir / "constants.npz", None
    if step is None:
        init_from = init_from or config.part.start_from()
        weights, _ = exports.load(init_from) if init_from else (None, None)

    def prepare() -> None:
        if step is not None:
            check_same_run(config, workdir / "config.json")
        else:
            theirs = None if config.part.constants_of_data else (weights or {}).get("constants")
            with atomic_path(file) as out:
                np.savez(out, **(theirs or config.part.constants(data_dir)))
        _sweep(workdir, -1 if step is None else step)
        write_config(config, workdir / "config.json")

    hosts.on_first(prepare)
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored), weights


def _sweep(workdir: Path, step: int) -> None:
    """Removes what a killed run left half-written, and the evaluations beyond `step`, which come again."""
    for name in ("export", "config.json", "constants.npz", "metrics.jsonl", "eval/step_[0-9]*"):
        for leftover in (workdir / name).parent.glob(f".{Path(name).name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
    for folder in (workdir / "eval").glob("step_*"):
        number = folder.name.removeprefix("step_")
        if number.isdecimal() and int(number) > step:
            shutil.rmtree(folder)


def last_figures(workdir: Path) -> dict[str, float]:
    """The figures of a run's newest evaluation."""
    files = sorted((workdir / "eval").glob("step_*/figures.json"))
    return json.loads(files[-1].read_text()) if files else {}
