"""A trace of a few training steps for TensorBoard or Perfetto."""

import jax

from vast_jax.training.step import TrainState
from vast_jax.types import UserError

SKIPPED, TRACED = 2, 3  # steps: the first ones compile


class Trace:
    """Traces some steps of a start of a run into a folder; does nothing without one.

    `before(count, state)` is called before each step, with the steps since the start; `stop(state)` at the end.
    """

    def __init__(self, folder: str | None):
        self.folder, self.running = folder, False

    def before(self, count: int, state: TrainState) -> None:
        if self.folder is None:
            return
        if count == SKIPPED:
            try:
                jax.profiler.start_trace(self.folder)
            except (OSError, RuntimeError) as error:
                raise UserError(f"--profile {self.folder}: {error}") from error
            self.running = True
        elif count == SKIPPED + TRACED:
            self.stop(state)

    def stop(self, state: TrainState) -> None:
        if self.running:
            self.running = False
            jax.block_until_ready(state)  # steps are traced as they run, not as they are asked for
            jax.profiler.stop_trace()
