"""The only training loop: every part, on one CPU or many accelerators and hosts, resumed exactly.

    python train.py configs/style.py --data DIR --workdir RUN [--steps 1000 --part.d-style 64 ...]

RUN holds config.json, constants.npz, checkpoints/, metrics.jsonl, eval/step_*/ and export/ (shareable weights).
docs/scaling.md tells how to start it on several devices and hosts.
"""

import functools
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from vast_jax import cli
from vast_jax.data import example_processes
from vast_jax.files import atomic_path
from vast_jax.reporting import Progress, Scalars
from vast_jax.signals import stop_signals
from vast_jax.training import hosts, sharding
from vast_jax.training.checkpoints import Run, newest
from vast_jax.training.config import Config, parse_command
from vast_jax.training.profiling import Trace
from vast_jax.training.step import TrainState, init_state, train_step
from vast_jax.training.workdir import disk_errors, last_figures, locked, open_workdir
from vast_jax.types import Array, Batch, Metrics, Params, UserError
from vast_jax.weights import exports


def fit(
    config: Config, data_dir: Path, workdir: Path, init_from: Path | None = None, profile: Path | None = None
) -> TrainState:
    """Trains until `config.steps`, or until SIGTERM or Ctrl-C; resumes what `workdir` holds, exact to the bit.

    On another number of devices or hosts it resumes with the same examples and draws, exact but for rounding.

    Args:
        config: the run; all but the fields in `config.MAY_CHANGE` must be the same at every start.
        data_dir: prepared data, read by the part.
        workdir: folder of the run.
        init_from: exported weights (file or folder) for a run's first start.
        profile: folder for a trace of a few steps.

    Returns:
        The last state, saved in `workdir`. Its step is below `config.steps` if the run was asked to stop.

    Raises:
        UserError: no data, a workdir of another config or in use, a batch that does not divide over the devices, a
            full disk, a loss or gradient that is not finite.
    """
    data_dir, workdir = Path(data_dir).absolute(), Path(workdir).absolute()
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such folder of prepared data; `python -m vast_jax.prepare` makes one")
    mesh = sharding.mesh_of(config.batch_size, config.accumulate)
    checkpoints = workdir / "checkpoints"
    with (
        disk_errors(workdir, lambda: newest(checkpoints)),
        locked(workdir),
        Run(checkpoints) as saved,
        example_processes.none_left(),
    ):
        constants, weights = open_workdir(config, data_dir, workdir, saved.step, init_from)
        if saved.step is None:
            hosts.on_first(lambda: [print(line, flush=True) for line in config.part.preflight(data_dir, workdir)])
        trace = Trace(profile if hosts.is_first() else None)
        return _Loop(config, data_dir, workdir, saved, constants, weights, mesh, trace).run()


class _Loop:
    """One start of a run."""

    def __init__(self, config, data_dir, workdir, saved, constants, weights, mesh: Mesh, trace: Trace):
        self.config, self.data_dir, self.workdir = config, data_dir, workdir
        self.saved, self.constants, self.mesh, self.trace = saved, constants, mesh, trace
        players = config.part.players(constants)
        self.data = iter(config.part.dataset(data_dir, "train", config.batch_size, config.seed))
        example = self._shapes()
        shapes = jax.eval_shape(functools.partial(init_state, config, players), example)
        shardings = sharding.of_state(shapes, mesh)
        if saved.step is None:
            self.state = jax.jit(functools.partial(init_state, config, players), out_shardings=shardings)(example)
            if weights is not None:
                params = exports.overlay(self.state.params, weights, "the weights of --init-from")
                self.state = self.state.replace(params=sharding.replicate(params, mesh))
        else:
            like = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
            self.state = saved.restore(like, self.data)
        optimisers, own = config.part.optimisers(config.steps), (config.accumulate, config.compute)

        def step(state: TrainState, batch: Batch, stop: Array) -> tuple[TrainState, Metrics, Array]:
            return *train_step(players, optimisers, config.steps, state, batch, *own), stop.any()

        everywhere = sharding.everywhere(mesh)
        self.step_fn = jax.jit(step, donate_argnums=0, out_shardings=(shardings, everywhere, everywhere))
        self.start = self.step = saved.step or 0
        self.told = False  # to stop, by a signal to any of several processes
        self.scalars = None
        if hosts.is_first():
            self.scalars = Scalars(workdir / "metrics.jsonl", keep_until=-1 if saved.step is None else saved.step)
        # Steps queued on several virtual CPU devices can starve each other of threads and never end.
        self.block = jax.default_backend() == "cpu" and mesh.size > 1

    def run(self) -> TrainState:
        config, unread = self.config, None
        console = None if hosts.is_first() else io.StringIO()
        with stop_signals() as stop, Progress(self.step, config.steps, console) as progress:
            progress.say(f"{self.workdir}: " + (f"resuming at step {self.step}" if self.step else "starting"))
            while True:
                done, stopping = self.step >= config.steps, self.told if hosts.several() else stop.is_set()
                looks = self._due(config.eval_every) and not stopping
                saves = (self._due(config.save_every) and self.step > 0) or stopping
                if looks or saves:
                    unread = self._read(unread, progress)  # what is not finite is neither shown nor saved
                # The order never changes: evaluate, save state and data iterator together, next batch, step.
                if looks:
                    hosts.on_first(functools.partial(self._evaluate, progress))
                if saves and self.saved.step != self.step:
                    self._save()
                if done or stopping:
                    break
                batch = sharding.over_devices(self._next_numpy(), self.mesh)
                self.trace.before(self.step - self.start, self.state)
                # All processes must stop at the same step: the signal to one is seen by all in the step's own result.
                asked = sharding.over_devices({"stop": np.full(jax.local_device_count(), stop.is_set())}, self.mesh)
                self.state, metrics, told = self.step_fn(self.state, batch, asked["stop"])
                self.step += 1
                if self.block:
                    jax.block_until_ready(self.state)
                self._read(unread, progress)  # of the step before: this one is already running
                unread = (self.step, metrics, told)
            self.trace.stop(self.state)
            end = f"done: {self.step} steps" if done else f"stopped and saved at step {self.step}"
            progress.say(f"{end}, weights in {self.workdir / 'export'}")
            progress.say("--steps with a larger number goes on" if done else "run the same command again to go on")
        return self.state

    def _due(self, every: int) -> bool:
        return self.step >= self.config.steps or (every > 0 and self.step % every == 0)

    def _next_numpy(self) -> Batch:
        try:
            return next(self.data)
        except StopIteration:
            raise UserError(f"{self.data_dir} holds no training data that this part can use") from None

    def _shapes(self) -> Batch:
        """Zeros like the first batch of all hosts."""
        start = self.data.get_state()
        rows = self._next_numpy()
        self.data.set_state(start)
        return {name: np.zeros((self.config.batch_size, *array.shape[1:]), array.dtype) for name, array in rows.items()}

    def _read(self, unread: tuple[int, Metrics, Array] | None, progress: Progress) -> None:
        if unread is None:
            return
        step, metrics, told = jax.device_get(unread)
        metrics, self.told = {name: float(value) for name, value in metrics.items()}, bool(told)
        for name, value in metrics.items():
            if name.endswith(("/loss", "/gradient_norm")) and not np.isfinite(value):
                good = newest(self.saved.directory)
                raise UserError(
                    f"{name} is {value} at step {step}: lower the learning rate; last good checkpoint: {good}"
                )
        if self.scalars is None:
            return
        self.scalars.add(step, metrics)
        if step % self.config.log_every == 0 or step == self.config.steps:
            self.scalars.write(step)
        progress.update(step, metrics)

    def _evaluate(self, progress: Progress) -> None:
        """In the first process."""
        folder = self.workdir / "eval" / f"step_{self.step:06d}"
        if folder.is_dir():
            return  # looked at before a restart
        progress.say(f"evaluating at step {self.step}")
        with atomic_path(folder) as out:
            out.mkdir()
            figures = self.config.part.report(self._params(), self.constants, self.data_dir, out, self.step)
            figures = {name: float(value) for name, value in figures.items()}
            (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
        self.scalars.write(self.step, {f"eval/{name}": value for name, value in figures.items()})

    def _save(self) -> None:
        # Weights first: once a checkpoint says that a step is done, nothing of it is missing.
        hosts.on_first(self._export)
        self.saved.save(self.step, self.state, self.data)

    def _export(self) -> None:
        with atomic_path(self.workdir / "export") as out:
            out.mkdir()
            self.config.part.export(self._params(), self.constants, out, self.data_dir, last_figures(self.workdir))

    def _params(self) -> dict[str, Params]:
        # Copies: on CPU a view of the state would die with the next step, which is given the state's memory.
        return jax.tree.map(np.array, jax.device_get(self.state.params))


def main(argv: Sequence[str] | None = None) -> None:
    """The training command; exit code 2 for bad input, 130 if it was asked to stop before its last step."""

    def command():
        given = parse_command(argv)
        cli.use_compilation_cache()
        hosts.connect(given.hosts)
        state = fit(given.config, given.data, given.workdir, given.init_from, given.profile)
        if int(state.step) < given.config.steps:
            sys.exit(130)

    cli.run(command)
