"""Checkpoints of a run by Orbax: the state and the place in the data, saved and restored together."""

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vast_jax.training import hosts
from vast_jax.training.step import TrainState
from vast_jax.types import UserError

if TYPE_CHECKING:
    import grain  # a second of every command that only loads weights


class Position:
    """A grain iterator to Orbax: one file for all hosts, which are at the same batch, whatever their number.

    The file's name is that which grain itself gives it on one host.
    """

    FILE = "process_0-of-1.json"

    def __init__(self, data: "grain.DatasetIterator"):
        self._data = data

    async def save(self, directory):
        state = json.dumps(self._data.get_state(), indent=4)

        async def write() -> None:
            folder = await directory.await_creation()
            if hosts.is_first():
                (folder / self.FILE).write_text(state)

        return write()

    async def load(self, directory):
        async def read() -> None:
            self._data.set_state(json.loads((directory / self.FILE).read_text()))

        return read()


class Run:
    """The checkpoints of a run: the state and the data iterator, saved and restored together; the last two are kept.

    A save is complete when it returns, and Orbax renames it into place: one that was killed leaves nothing behind that
    counts. `step` is that of the newest checkpoint, None if there is none.
    """

    def __init__(self, directory: str | os.PathLike):
        from orbax.checkpoint import v1 as ocp  # here, for only training needs what takes so long to import

        logging.getLogger("absl").setLevel(logging.CRITICAL)  # errors are raised too, and said in one line
        self.directory = Path(directory).absolute()
        self._checkpointer = ocp.training.Checkpointer(
            self.directory,
            save_decision_policy=_Always(),
            preservation_policy=ocp.training.preservation_policies.LatestN(2),
            cleanup_tmp_directories=True,
        )
        latest = self._checkpointer.latest
        self.step: int | None = None if latest is None else latest.step

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_) -> None:
        self._checkpointer.close()

    def save(self, step: int, state: TrainState, data: "grain.DatasetIterator") -> None:
        """Saves as `step`; returns when it is on disk, so that the state may be donated."""
        self._checkpointer.save_checkpointables(step, {"state": state, "data": Position(data)}, force=True)
        self.step = step

    def restore(self, like: TrainState, data: "grain.DatasetIterator") -> TrainState:
        """The newest state, in the shapes and shardings of `like`; `data` is set to where it was."""
        try:
            found = self._checkpointer.load_checkpointables(self.step, {"state": like, "data": Position(data)})
            return found["state"]
        except (ValueError, TypeError, KeyError, OSError) as error:
            cause = " ".join(str(error).split())[:200]
            found = self.directory / str(self.step)
            raise UserError(f"{found} does not fit this version ({cause}): use a new --workdir") from error


def newest(directory: Path) -> Path | str:
    """The newest whole checkpoint in a run's folder of them, or "none yet"; for messages."""
    steps = [int(path.name) for path in directory.glob("[0-9]*") if path.name.isdecimal()]  # half-written: another name
    return directory / str(max(steps)) if steps else "none yet"


class _Always:
    def should_save(self, step, previous_steps, *, context) -> bool:
        return True
