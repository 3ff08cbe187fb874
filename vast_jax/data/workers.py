"""Jobs in processes of their own, which may die without ending the run."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TypeVar

from vast_jax.signals import held_back

J = TypeVar("J")
R = TypeVar("R")

_PATIENCE = 2  # seconds to tidy up
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
    Whoever stops reading, as by Ctrl-C, ends the jobs that run; what these write they remove.
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
                pool = pool or _begun(workers)
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
        except BaseException:
            if pool:
                _end(pool)
            raise
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)


def _begun(workers: int) -> ProcessPoolExecutor:
    """Its processes run already: the terminal's Ctrl-C reaches none of them."""
    spawn = multiprocessing.get_context("spawn")  # MediaPipe and JAX do not survive a fork
    pool = ProcessPoolExecutor(workers, spawn, _begin)
    resource_tracker.ensure_running()  # which would let Ctrl-C through when it begins
    with held_back():
        start_all(pool, workers)
    return pool


def start_all(pool: ProcessPoolExecutor, count: int) -> None:
    """Starts a new pool's processes, for each begins with a job that finds none idle."""
    for _ in range(count):
        pool.submit(int)


def _begin() -> None:
    signal.signal(signal.SIGTERM, _stop)
    end_with_parent()


def _stop(number, _frame):
    """Leaves the job, so that it removes what it has half-written: a second signal, as the parent's, does not cut
    that short."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(1)


def end_with_parent() -> None:
    """Of a process: so that a parent that is killed leaves none behind."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(0)), daemon=True).start()


def _end(pool: ProcessPoolExecutor) -> None:
    """Ends its processes: those that do not leave their jobs soon, by force."""
    processes = list((pool._processes or {}).values())  # Python 3.14 has terminate_workers
    manager = pool._executor_manager_thread
    for process in processes:
        process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    if manager:
        manager.join(_PATIENCE)  # it tidies up semaphores, and would be cut short where the command ends at once


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
