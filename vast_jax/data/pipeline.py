"""Prepared clips in memory, and batches of examples made from them: seeded, shared by hosts, exactly resumable."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, overload

import grain
import jax
import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.data.example_processes import InProcesses, processes
from vast_jax.types import UserError

Example = dict[str, np.ndarray]


class Clips(Sequence[Clip]):
    """Clips by index or name; a source for grain."""

    def __init__(self, clips: Sequence[Clip]):
        self._clips = list(clips)
        self._by_name = {clip.name: clip for clip in self._clips}

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "Clips": ...
    def __getitem__(self, index):
        return Clips(self._clips[index]) if isinstance(index, slice) else self._clips[index]

    @property
    def names(self) -> list[str]:
        return [clip.name for clip in self._clips]

    @property
    def ppg_hash(self) -> str:
        """Hash of the acoustic model that all phone posteriors come from.

        Raises:
          UserError: they come from several, or have not been computed.
        """
        hashes = {clip.ppg_hash for clip in self._clips}
        if len(hashes) > 1 or "" in hashes:
            raise UserError(
                "clips lack phone posteriors of one acoustic model: python -m vast_jax.prepare --update-ppg --out DIR"
            )
        return hashes.pop()

    def named(self, name: str) -> Clip:
        """The clip of this name.

        Raises:
          UserError: there is none.
        """
        if name not in self._by_name:
            raise UserError(f"no clip {name} among the {len(self)} prepared ones, e.g. {self.names[0]}")
        return self._by_name[name]

    def matching(self, *patterns: str) -> "Clips":
        """The clips whose name fits any of the shell patterns, e.g. "grid/s1/*".

        Raises:
          UserError: none does.
        """
        kept = [clip for clip in self._clips if any(fnmatchcase(clip.name, pattern) for pattern in patterns)]
        if not kept:
            raise UserError(f"no clip fits {' or '.join(patterns)} among the {len(self)} prepared ones")
        return Clips(kept)


def open_clips(data_dir: str | os.PathLike, split: str = "train") -> Clips:
    """All clips of a split under a data directory (as `vast_jax.prepare` leaves it), by name.

    Args:
      data_dir: the --out of `prepare`, or a folder above several.
      split: "train" or "held_out".

    Raises:
      UserError: no prepared clips there, none in the split, or tracks of different face models.
    """
    from vast_jax.data import builders  # tensorflow_datasets takes seconds to import

    if split not in builders.SPLITS:
        raise ValueError(f"split {split!r} is none of {builders.SPLITS}")
    if not Path(data_dir).is_dir():
        raise UserError(f"no folder {data_dir}: prepare clips with python -m vast_jax.prepare VIDEOS --out {data_dir}")
    clips = [clip for folder in builders.folders(data_dir) for clip in builders.read_folder(folder, split)]
    if not clips:
        raise UserError(f"{data_dir} holds no clip of the split {split}: prepare more videos")
    models = {clip.track.face_model for clip in clips}
    if len(models) > 1:
        raise UserError(f"{data_dir} mixes tracks of {len(models)} face models: prepare all its videos again")
    return Clips(sorted(clips, key=lambda clip: clip.name))


def spread(items: Sequence, count: int | None) -> list:
    """At most `count` of the items, evenly over the sequence; None: all."""
    count = len(items) if count is None else min(count, len(items))
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


@dataclass(frozen=True)
class Window:
    """Frames [start, stop) of a clip."""

    clip: Clip
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def windows(clips: Sequence[Clip], length: int, hop: int | None = None, min_valid: float = 1.0) -> list[Window]:
    """Windows of `length` frames every `hop` (default: `length`) frames in which at least `min_valid` of the frames
    show a face. A window that would pass the end is moved back to end with the clip; a clip shorter than `length` is
    one shorter window.
    """
    hop = hop or length
    found = []
    for clip in clips:
        last = max(len(clip) - length, 0)
        for start in sorted({*range(0, last, hop), last}):
            stop = min(start + length, len(clip))
            if clip.track.valid[start:stop].mean() >= min_valid:
                found.append(Window(clip, start, stop))
    return found


def pad_frames(array: np.ndarray, length: int) -> np.ndarray:
    """[n, ...] to [length, ...] by zeros at the end (n <= length)."""
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


def batches(
    source: Sequence[Any],
    make_example: Callable[[Any, np.random.Generator], Example],
    batch_size: int,
    seed: int,
    prefetch: int = 4,
    workers: int | None = None,
) -> grain.IterDataset:
    """Batches for training, without end: shuffled anew every epoch; of several hosts each makes its own rows of them.

    The k-th batch depends on `seed` and k alone; host i of h has its rows from i B / h on. `iter()` of the result has
    `get_state` and `set_state`, which resume exactly, on another number of hosts too (`training.checkpoints`).

    Args:
      source: items, e.g. `Clips` or `windows(...)`.
      make_example: an item and a generator of its own to a flat dict of arrays, of the same shapes for every item.
      batch_size: of all hosts together.
      prefetch: batches kept ready.
      workers: processes that make the examples, for which `source` and `make_example` must be picklable; 0: two
        threads of this one. By default as many as serve (`example_processes.processes`). It changes no batch.

    Raises:
      UserError: a batch size the hosts cannot share.
    """
    hosts = jax.process_count()
    if batch_size % hosts:
        raise UserError(f"batches of {batch_size} cannot be shared by {hosts} hosts")
    examples = grain.MapDataset.source(source).seed(seed).shuffle().repeat().random_map(make_example)
    workers = processes() if workers is None else workers
    if workers:
        examples, prefetch = grain.MapDataset.source(InProcesses(examples, workers)), max(prefetch, 2 * workers)
    if hosts > 1:
        examples = grain.MapDataset.source(_Rows(examples, batch_size, hosts, jax.process_index()))
    return examples.batch(batch_size // hosts, drop_remainder=True).to_iter_dataset(
        grain.ReadOptions(num_threads=min(prefetch, workers or 2), prefetch_buffer_size=prefetch)
    )


class _Rows(Sequence):
    """The rows of one host in each batch of endless examples, in a row; made when they are asked for."""

    def __init__(self, examples: grain.MapDataset, batch_size: int, hosts: int, host: int):
        self.examples, self.batch_size, self.hosts, self.host = examples, batch_size, hosts, host

    def __len__(self) -> int:
        return len(self.examples) // self.hosts

    def __getitem__(self, index):
        share = self.batch_size // self.hosts
        batch, row = divmod(index, share)
        return self.examples[batch * self.batch_size + self.host * share + row]
