"""Examples made in processes of their own, so that an accelerator does not wait for one core."""

import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import jax

from vast_jax.data.workers import end_with_parent, single_threaded, start_all
from vast_jax.types import UserError

MOST = 16  # processes; more than that no training here has needed
_all: "weakref.WeakSet[InProcesses]" = weakref.WeakSet()
_examples: Sequence[Any] | None = None  # in a process that makes them


def processes() -> int:
    """How many serve this machine: none where the processor trains, which needs its cores itself, else a core each
    but one, shared with the other processes of one training that run here (torchrun's LOCAL_WORLD_SIZE).
    """
    if jax.default_backend() == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get("LOCAL_WORLD_SIZE", "1")
    cores //= max(1, int(share)) if share.isdecimal() else 1
    return min(MOST, cores - 1) if cores > 2 else 0


class InProcesses(Sequence):
    """The items of a picklable sequence, each made by whichever process is free; several threads may ask at a time.

    What an item is does not depend on which process makes it. The processes end with `none_left`, or with the process
    that this object is in, however that ends.
    """

    def __init__(self, examples: Sequence[Any], count: int):
        self._examples, self._count = examples, count
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        _all.add(self)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index):
        """UserError: a process died."""
        with self._lock:
            pool = self._pool = self._pool or self._begun()
        try:
            return pool.submit(_make, index).result()
        except BrokenProcessPool:
            raise UserError("a process that makes training examples died, perhaps for want of memory") from None

    def _begun(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")  # JAX does not survive a fork
        pool = ProcessPoolExecutor(self._count, spawn, _begin, (self._examples,))
        with single_threaded():
            start_all(pool, self._count)
        return pool

    def end(self) -> None:
        """Ends its processes; items cannot be had any more."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)


@contextmanager
def none_left() -> Iterator[None]:
    """Ends all processes that made examples inside, which what reads ahead would keep."""
    before = set(_all)
    try:
        yield
    finally:
        for others in set(_all) - before:
            others.end()


def _begin(examples: Sequence[Any]) -> None:
    global _examples
    _examples = examples
    for number in (signal.SIGINT, signal.SIGTERM):  # the training decides when to stop
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()


def _make(index: int) -> Any:
    return _examples[index]
