"""What was measured of a clip, on disk: an interrupted evaluation goes on where it stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vast_jax.evaluate.measuring import Measured
from vast_jax.files import atomic_path, sha256

VERSION = "2"  # of the measuring: another number measures everything anew


class Stored(NamedTuple):
    """What was found of a clip."""

    measured: dict[str, Measured]  # by system
    remarks: dict[str, str]  # by clip and system: what was wrong, or is worth knowing
    seconds: float  # that it took


def key_of(paths: Mapping[str, Path], instruments: str) -> str:
    """A hash of the videos' contents and of the instruments."""
    parts = [VERSION, instruments, *(f"{system} {sha256(path)}" for system, path in sorted(paths.items()))]
    return sha256("\n".join(parts).encode())


def save(path: Path, key: str, found: Stored) -> None:
    """Writes one clip."""
    about = {
        "key": key,
        "systems": {system: [m.figures, m.words] for system, m in found.measured.items()},
        "remarks": found.remarks,
        "seconds": found.seconds,
    }
    arrays = {
        f"{system}|{name}": array.astype(np.float32)
        for system, m in found.measured.items()
        for name, array in m.arrays.items()
    }
    with atomic_path(path) as part:
        np.savez(part, about=json.dumps(about), **arrays)


def load(path: Path, key: str) -> Stored | None:
    """What `save` wrote under the same key; None if there is none, or it is damaged: it is measured anew."""
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
            return Stored(measured, about["remarks"], about["seconds"])
    except Exception:  # a file cut short fails in many ways
        return None
