"""Jobs in processes of their own, which may die without ending the run."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")

# Workers beside each other are faster than one whose libraries spin threads for every small matrix.
_SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


def run_jobs(function: Callable[[J], R], jobs: Iterable[J], workers: int) -> Iterator[tuple[J, R | None]]:
    """Yields (job, function(job)) as they finish; the result is None where the process died, with this job or with
    one that ran beside it. `function` and the jobs must be picklable. One worker: no other process, but in order.
    """
    if workers <= 1:
        yield from ((job, function(job)) for job in jobs)
        return
    queue = iter(jobs)
    running = {}
    pool = None
    with single_threaded():
        try:
            while True:
                # spawn: MediaPipe and JAX do not survive a fork
                pool = pool or ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
                while len(running) < workers and (job := next(queue, None)) is not None:
                    running[pool.submit(function, job)] = job
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    done, pool = wait(running).done, None  # one death breaks all that run beside it
                for future in done:
                    job = running.pop(future)
                    died = isinstance(future.exception(), BrokenProcessPool)
                    yield job, None if died else future.result()
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)


@contextmanager
def single_threaded() -> Iterator[None]:
    """For processes started inside."""
    before = {key: os.environ.get(key) for key in _SINGLE_THREAD}
    os.environ.update(_SINGLE_THREAD)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key)
            else:
                os.environ[key] = value
