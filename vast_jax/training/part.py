"""What a part is to the loop that trains it."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

import grain
import numpy as np
import optax

from vast_jax.types import Params, Players


class Part(Protocol):
    """A part of the system that can be trained: its players, what they learn from and what is told of them.

    A frozen dataclass whose fields are options of the command line. Params are numpy arrays, {player: params}. What has
    a body here is right for most parts.
    """

    constants_of_data: ClassVar[bool] = False
    """Whether the constants describe the data alone: then weights to begin with come without theirs."""
    renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Fields of runs that were begun before they had their names of today: {then: now}."""

    def constants(self, data_dir: str | os.PathLike) -> Mapping[str, np.ndarray]:
        """What is measured on the data once, such as mean and deviation."""
        ...

    def players(self, constants: Mapping[str, np.ndarray]) -> Players:
        """The players with their losses."""
        ...

    def dataset(self, data_dir: str | os.PathLike, split: str, batch_size: int, seed: int) -> grain.IterDataset:
        """Endless batches, dicts of numpy arrays, as of `data.pipeline.batches`."""
        ...

    def optimisers(self, steps: int) -> Mapping[str, optax.GradientTransformation]:
        """{player: optimiser} of a run of so many steps."""
        ...

    def report(
        self,
        params: Mapping[str, Params],
        constants: Mapping[str, np.ndarray],
        data_dir: str | os.PathLike,
        out_dir: Path,
        step: int,
    ) -> Mapping[str, float]:
        """Figures of the held-out data, and PNGs written to `out_dir`."""
        ...

    def export(
        self,
        params: Mapping[str, Params],
        constants: Mapping[str, np.ndarray],
        directory: Path,
        data_dir: str | os.PathLike,
        figures: Mapping[str, float],
    ) -> None:
        """Writes what can be shared, by `exports.export`; `figures` are those of the last report."""
        ...

    def start_from(self) -> Path | None:
        """Weights that a new run begins with, unless it is given others; None: random ones."""
        return None

    def preflight(self, data_dir: str | os.PathLike, out_dir: Path) -> list[str]:
        """Lines about the data, printed before a new run begins."""
        return []
