"""One training done in several ways, which must agree: python tests/agreement.py toy|style prints by how much they do.

Called with more arguments it is one of the processes that does it.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

STEPS = 10
RATES = {"toy": 1e-2, "style": 1e-4}  # of the descent: where it swings, rounding grows from step to step
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # to compile; it runs for seconds
TWO_DEVICES = {"XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count=2"}
WAYS = {  # (number of processes, environment, accumulate)
    "one device": (1, {}, 1),
    "two devices": (1, TWO_DEVICES, 1),
    "two processes": (2, {}, 1),
    "two parts": (1, {}, 2),
    "two parts on two devices": (1, TWO_DEVICES, 2),
}


def train(name: str, out: Path, accumulate: int, workdir: Path) -> None:
    """Ten steps of plain gradient descent; writes the first gradients, all losses and the last parameters."""
    import jax
    import optax

    from vast_jax.training.config import Config
    from vast_jax.training.loop import fit

    def keeps_gradient(rate):
        def first(params):
            return jax.tree.map(lambda x: jax.numpy.full_like(x, jax.numpy.nan), params)

        def update(gradient, kept, params=None):
            kept = jax.tree.map(lambda new, old: jax.numpy.where(jax.numpy.isnan(old), new, old), gradient, kept)
            return jax.tree.map(lambda g: -rate * g, gradient), kept

        return optax.GradientTransformation(first, update)

    part = {"toy": toy, "style": style}[name]()
    descending = type(
        "Descending",
        (type(part),),
        {
            "optimisers": lambda self, steps: {p: keeps_gradient(RATES[name]) for p in ("line", "follower", "style")},
            "report": lambda self, *_: {},
            "export": lambda self, *_: None,
        },
    )
    part = descending(**{field.name: getattr(part, field.name) for field in dataclasses.fields(part)})
    config = Config(part, steps=STEPS, batch_size=4, log_every=1, eval_every=0, save_every=0, accumulate=accumulate)
    state = fit(config, workdir.parent, workdir)
    gradients, params = jax.device_get((state.optimiser, state.params))
    if jax.process_index() == 0:
        lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        found = {f"loss/{key}/{line['step']}": line[key] for line in lines for key in line if key.endswith("/loss")}
        for kind, tree in (("gradient", gradients), ("parameter", params)):
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                found[kind + jax.tree_util.keystr(path, separator="/", simple=True)] = leaf
        np.savez(out, **found)


def toy():
    from toy_part import ToyPart

    return ToyPart(noise=0.5)


def style():
    from talkers import talker

    from vast_jax.data import pipeline
    from vast_jax.parts.style import StylePart

    clips = pipeline.Clips([talker(f"a/{person}/0", person, 0.2, 60 + i, i) for i, person in enumerate("bcde")])
    pipeline.open_clips = lambda data_dir, split="train": clips
    return StylePart(
        d_style=4, encoder_channels=(8, 8, 8, 8), encoder_state=8, strong_width=16, strong_layers=1, strong_heads=2,
        attention_window=8, weak_width=8, example_frames=32,
    )  # fmt: skip


def run(name: str, way: str, folder: Path) -> dict[str, np.ndarray]:
    """What `train` writes, done in one of the WAYS."""
    processes, environment, accumulate = WAYS[way]
    out, workdir = folder / f"{way}.npz", folder / way / "run"
    workdir.parent.mkdir(parents=True)
    port = str(free_port())
    started = []
    for process in range(processes):
        torchrun = dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(processes), RANK=str(process))
        own = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": QUICK,
            **environment,
            **(torchrun if processes > 1 else {}),
        }
        command = [sys.executable, __file__, name, str(out), str(accumulate), str(workdir)]
        started.append(subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, said = process.communicate(timeout=1800)
        assert process.returncode == 0, said[-3000:]
    with np.load(out) as found:
        return dict(found)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def distances(found: dict[str, np.ndarray], alone: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest relative difference of the losses, of first gradients and of last parameters, by player and array; of a
    small array, such as a bias that began at 0, relative to 0.001."""
    assert found.keys() == alone.keys()
    out = {"gradient": 0.0, "loss": 0.0, "parameter": 0.0}
    for name, value in found.items():
        kind = next(known for known in out if name.startswith(known))
        scale = max(np.linalg.norm(alone[name]), 1e-3 if kind == "parameter" else 1e-6)
        out[kind] = max(out[kind], float(np.linalg.norm(value - alone[name]) / scale))
    return out


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if len(sys.argv) > 2:
        from vast_jax.training import hosts

        hosts.connect(hosts.Hosts())
        train(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            alone = run(sys.argv[1], "one device", Path(folder))
            for way in list(WAYS)[1:]:
                print(way, distances(run(sys.argv[1], way, Path(folder)), alone), flush=True)
