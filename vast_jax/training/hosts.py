"""Several processes that train one run together: how they find each other, and what only the first of them does."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from vast_jax.types import UserError

_SAID = 400  # bytes of a message that all processes end with
_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")


@dataclass(frozen=True)
class Hosts:
    """How this process finds the others; by default it is alone, unless its environment says otherwise."""

    coordinator: str | None = None
    """HOST:PORT of process 0, which all processes can reach; needs the next two."""
    processes: int | None = None
    """Number of processes."""
    process: int | None = None
    """Which of them this is, from 0."""
    distributed: bool = False
    """Let JAX find the processes itself: TPU pods, Kubernetes, Open MPI. Slurm's srun and torchrun's variables are seen
    without it; JAX gives each of Slurm's tasks one GPU, and so do we for torchrun's processes on one machine."""


def connect(hosts: Hosts, environment: Mapping[str, str] = os.environ) -> None:
    """Joins the processes of a run, before anything else of JAX is used; does nothing where there is but one.

    Raises:
        UserError: flags or variables that do not belong together; the others cannot be reached.
    """
    arguments = _arguments(hosts, environment)
    if arguments is None:
        return
    try:
        jax.distributed.initialize(**arguments)
    except (RuntimeError, ValueError) as error:  # JaxRuntimeError is a RuntimeError
        cause = " ".join(str(error).split())[:200]
        raise UserError(f"the processes did not find each other ({cause})") from error


def _arguments(hosts: Hosts, environment: Mapping[str, str]) -> dict | None:
    """Of `jax.distributed.initialize`; None: this process is alone."""
    given = (hosts.coordinator, hosts.processes, hosts.process)
    if any(value is not None for value in given):
        if any(value is None for value in given):
            raise UserError("--coordinator HOST:PORT, --processes N and --process I belong together")
        return _process(*given)
    if environment.get("WORLD_SIZE", "1") != "1" and not hosts.distributed:
        missing = [name for name in _TORCHRUN if name not in environment]
        if missing:
            raise UserError(f"WORLD_SIZE is set but not {', '.join(missing)}: set all of {', '.join(_TORCHRUN)}")
        try:
            count, own = int(environment["WORLD_SIZE"]), int(environment["RANK"])
            here, among = int(environment.get("LOCAL_RANK", 0)), int(environment.get("LOCAL_WORLD_SIZE", 1))
        except ValueError:
            raise UserError("WORLD_SIZE, RANK, LOCAL_RANK and LOCAL_WORLD_SIZE must be numbers") from None
        one_device = {"local_device_ids": [here]} if among > 1 else {}  # of several here each has a GPU of its own
        return _process(f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}", count, own, **one_device)
    if hosts.distributed or environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return {}
    return None


def _process(coordinator: str, count: int, own: int, **devices) -> dict | None:
    if not 0 <= own < count:
        raise UserError(f"process {own} of {count}: they are counted from 0")
    if ":" not in coordinator:
        raise UserError(f"--coordinator {coordinator}: give HOST:PORT")
    if count == 1:
        return None
    return dict(coordinator_address=coordinator, num_processes=count, process_id=own, **devices)


def several() -> bool:
    """Whether more than one process trains."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this process writes what a run leaves beside its checkpoints."""
    return jax.process_index() == 0


def on_first(function: Callable[[], object]) -> None:
    """Calls a function in the first process while the others wait; an error in it ends all of them."""
    if not several():
        function()
        return
    failure = None
    if is_first():
        try:
            function()
        except Exception as error:
            failure = error
    said = b"" if failure is None else (str(failure) or type(failure).__name__).encode()[:_SAID]
    padded = np.frombuffer(said.ljust(_SAID, b"\0"), np.uint8)
    said = bytes(multihost_utils.broadcast_one_to_all(padded)).rstrip(b"\0")
    if failure is not None:
        raise failure
    if said:
        raise UserError(f"process 0: {said.decode(errors='replace')}")
