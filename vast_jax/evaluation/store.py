"""What was measured of a clip, on disk: an interrupted evaluation goes on where it stopped."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vast_jax.evaluation.measuring import Measured
from vast_jax.files import atomic_path, sha256

VERSION = "1"  # of the measuring: another number measures everything anew


def key_of(paths: Mapping[str, Path], instruments: str) -> str:
    """A hash of the videos' contents and of the instruments."""
    parts = [VERSION, instruments, *(f"{system} {sha256(path)}" for system, path in sorted(paths.items()))]
    return sha256("\n".join(parts).encode())


def save(path: Path, key: str, measured: Mapping[str, Measured], failed: Mapping[str, str]) -> None:
    """Writes one clip's systems, and what was wrong with those that could not be measured."""
    about = {system: [m.figures, m.words] for system, m in measured.items()}
    arrays = {
        f"{system}|{name}": array.astype(np.float32)
        for system, m in measured.items()
        for name, array in m.arrays.items()
    }
    with atomic_path(path) as part:
        np.savez(part, about=json.dumps({"key": key, "systems": about, "failed": dict(failed)}), **arrays)


def load(path: Path, key: str) -> tuple[dict[str, Measured], dict[str, str]] | None:
    """What `save` wrote under the same key, else None."""
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].item())
            if about["key"] != key:
                return None
            measured = {system: Measured(figures, words, {}) for system, (figures, words) in about["systems"].items()}
            for name in file.files:
                system, _, array = name.partition("|")
                if array:
                    measured[system].arrays[array] = file[name]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return measured, about["failed"]
