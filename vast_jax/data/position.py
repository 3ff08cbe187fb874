"""Where a data iterator is, kept in checkpoints."""

import json
from typing import TYPE_CHECKING

from vast_jax import hosts

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
