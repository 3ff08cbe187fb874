"""The only training loop: every part, on one CPU or many accelerators, resumed exactly.

    python train.py configs/style.py --data DIR --workdir RUN [--steps 1000 --part.d-style 64 ...]

RUN holds config.json, constants.npz, checkpoints/, metrics.jsonl, eval/step_*/ and export/ (shareable weights).
"""

import functools
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vast_jax import checkpoint, cli
from vast_jax.caching import use_compilation_cache
from vast_jax.config import Config, parse_command
from vast_jax.files import atomic_path
from vast_jax.reporting import Progress, Scalars
from vast_jax.types import Array, Batch, Metrics, Params, Part, TrainState, UserError
from vast_jax.workdir import last_figures, open_workdir

__all__ = ["Config", "fit", "init_state", "main", "train_step"]


def init_state(config: Config, part: Part, batch: Batch) -> TrainState:
    """The state before the first step; a pure function of the seed and the shapes of `batch`."""
    init_key, run_key = jax.random.split(jax.random.key(config.seed))
    params = dict(part.init(init_key, batch))
    optimisers = config.part.optimisers(config.steps)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimiser={player: optimisers[player].init(params[player]) for player in part.losses},
        key=run_key,
    )


def train_step(
    part: Part, optimisers: Mapping[str, optax.GradientTransformation], steps: int, state: TrainState, batch: Batch
) -> tuple[TrainState, Metrics]:
    """Updates each player in the order of `part.losses`; a later player sees the new params of the earlier ones.

    Pure in `state` and `batch`. Metrics are scalars named "player/loss", "player/gradient_norm", "player/...".
    """
    progress = jnp.minimum(state.step / steps, 1.0)
    key = jax.random.fold_in(state.key, state.step)
    params, optimiser, metrics = dict(state.params), dict(state.optimiser), {}
    for index, (player, loss_of) in enumerate(part.losses.items()):

        def loss(own: Params, player=player, loss_of=loss_of, index=index) -> tuple[Array, Metrics]:
            return loss_of({**params, player: own}, batch, jax.random.fold_in(key, index), progress)

        (value, extra), gradient = jax.value_and_grad(loss, has_aux=True)(params[player])
        update, optimiser[player] = optimisers[player].update(gradient, optimiser[player], params[player])
        params[player] = optax.apply_updates(params[player], update)
        own = {**extra, "loss": value, "gradient_norm": optax.tree.norm(gradient)}
        metrics |= {f"{player}/{name}": scalar for name, scalar in own.items()}
    return state.replace(step=state.step + 1, params=params, optimiser=optimiser), metrics


def fit(config: Config, data_dir: Path, workdir: Path, init_from: Path | None = None) -> TrainState:
    """Trains until `config.steps`, or until SIGTERM or Ctrl-C; resumes what `workdir` holds, exact to the bit.

    Args:
        config: the run; all but `steps` and the `*_every` fields must be the same at every start.
        data_dir: prepared data, read by the part.
        workdir: folder of the run.
        init_from: exported weights (file or folder) for a run's first start.

    Returns:
        The last state, saved in `workdir`. Its step is below `config.steps` if the run was asked to stop.

    Raises:
        UserError: no data, a workdir of another config, a batch that does not divide over the devices, a loss or
            gradient that is not finite.
    """
    data_dir, workdir = Path(data_dir).absolute(), Path(workdir).absolute()
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such folder of prepared data; `python -m vast_jax.prepare` makes one")
    devices = jax.device_count()
    if config.batch_size % devices:
        raise UserError(f"--batch-size {config.batch_size} does not divide over {devices} devices: give a multiple")
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    with checkpoint.Run(workdir / "checkpoints") as saved:
        constants, weights = open_workdir(config, data_dir, workdir, saved.step, init_from)
        if saved.step is None and hasattr(config.part, "preflight"):
            print(*config.part.preflight(data_dir, workdir), sep="\n", flush=True)
        return _Loop(config, data_dir, workdir, saved, constants, weights, mesh).run()


class _Loop:
    """One start of a run."""

    def __init__(self, config, data_dir, workdir, saved, constants, weights, mesh: Mesh):
        self.config, self.data_dir, self.workdir = config, data_dir, workdir
        self.saved, self.constants, self.mesh = saved, constants, mesh
        replicated = NamedSharding(mesh, PartitionSpec())
        part = config.part.part(constants)
        self.data = iter(_batches(config, data_dir))
        start = self.data.get_state()
        example = self._next_numpy()
        self.data.set_state(start)
        init = jax.jit(functools.partial(init_state, config, part), out_shardings=replicated)
        if saved.step is None:
            self.state = init(example)
            if weights is not None:
                params = checkpoint.overlay(self.state.params, weights, "the weights of --init-from")
                self.state = self.state.replace(params=jax.device_put(params, replicated))
        else:
            shapes = jax.eval_shape(init, example)
            like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated), shapes)
            self.state = saved.restore(like, self.data)
        self.step_fn = jax.jit(
            functools.partial(train_step, part, config.part.optimisers(config.steps), config.steps),
            donate_argnums=0,
            out_shardings=replicated,
        )
        self.step = saved.step or 0
        self.scalars = Scalars(workdir / "metrics.jsonl", keep_until=-1 if saved.step is None else saved.step)
        # Steps queued on several virtual CPU devices can starve each other of threads and never end.
        self.block = jax.default_backend() == "cpu" and mesh.size > 1

    def run(self) -> TrainState:
        config, unread = self.config, None
        with _stop_signals() as stop, Progress(self.step, config.steps) as progress:
            progress.say(f"{self.workdir}: " + (f"resuming at step {self.step}" if self.step else "starting"))
            while True:
                done, stopping = self.step >= config.steps, stop.is_set()
                looks = self._due(config.eval_every) and not stopping
                saves = (self._due(config.save_every) and self.step > 0) or stopping
                if looks or saves:
                    unread = self._read(unread, progress)  # what is not finite is neither shown nor saved
                # The order never changes: evaluate, save state and data iterator together, next batch, step.
                if looks:
                    self._evaluate(progress)
                if saves and self.saved.step != self.step:
                    self._save()
                if done or stopping:
                    break
                batch = self._next_batch()
                self.state, metrics = self.step_fn(self.state, batch)
                self.step += 1
                if self.block:
                    jax.block_until_ready(self.state)
                self._read(unread, progress)  # of the step before: this one is already running
                unread = (self.step, metrics)
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

    def _next_batch(self) -> Batch:
        return jax.device_put(self._next_numpy(), NamedSharding(self.mesh, PartitionSpec("data")))

    def _read(self, unread: tuple[int, Metrics] | None, progress: Progress) -> None:
        if unread is None:
            return
        step, metrics = unread[0], {name: float(value) for name, value in jax.device_get(unread[1]).items()}
        for name, value in metrics.items():
            if name.endswith(("/loss", "/gradient_norm")) and not np.isfinite(value):
                good = "none yet" if self.saved.step is None else self.saved.directory / str(self.saved.step)
                raise UserError(
                    f"{name} is {value} at step {step}: lower the learning rate; last good checkpoint: {good}"
                )
        self.scalars.add(step, metrics)
        if step % self.config.log_every == 0 or step == self.config.steps:
            self.scalars.write(step)
        progress.update(step, metrics)

    def _evaluate(self, progress: Progress) -> None:
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
        with atomic_path(self.workdir / "export") as out:
            out.mkdir()
            self.config.part.export(self._params(), self.constants, out, self.data_dir, last_figures(self.workdir))
        self.saved.save(self.step, self.state, self.data)

    def _params(self) -> dict[str, Params]:
        # Copies: on CPU a view of the state would die with the next step, which is given the state's memory.
        return jax.tree.map(np.array, jax.device_get(self.state.params))


def _batches(config: Config, data_dir: Path) -> grain.IterDataset:
    data = config.part.dataset(data_dir, "train", config.batch_size, config.seed)
    if isinstance(data, grain.MapDataset):
        data = data.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4))
    return data


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event set by SIGTERM or Ctrl-C, so that a run ends between two steps; a second Ctrl-C ends it at once."""
    stop, before = threading.Event(), {}

    def handle(number, _frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str] | None = None) -> None:
    """The training command; exit code 2 for bad input, 130 if it was asked to stop before its last step."""

    def command():
        given = parse_command(sys.argv[1:] if argv is None else argv)
        use_compilation_cache()
        state = fit(given.config, given.data, given.workdir, given.init_from)
        if int(state.step) < given.config.steps:
            sys.exit(130)

    cli.run(command)
