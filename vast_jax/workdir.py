"""The folder of a run: what must agree with it before it goes on, and what a killed run left in it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from vast_jax import checkpoint
from vast_jax.config import Config, check_same_run, write_config
from vast_jax.files import atomic_path


def open_workdir(
    config: Config, data_dir: Path, workdir: Path, step: int | None, init_from: Path | None
) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Prepares a new run's folder, or checks that of a run to resume.

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
    if step is not None:
        check_same_run(config, workdir / "config.json")
        with np.load(file, allow_pickle=False) as stored:
            constants = dict(stored)
    else:
        init_from = init_from or getattr(config.part, "start_from", lambda: None)()
        weights, _ = checkpoint.load(init_from) if init_from else (None, None)
        theirs = None if getattr(config.part, "constants_of_data", False) else (weights or {}).get("constants")
        constants = theirs or config.part.constants(data_dir)
        with atomic_path(file) as out:
            np.savez(out, **constants)
    _sweep(workdir, -1 if step is None else step)
    write_config(config, workdir / "config.json")
    return constants, weights


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
