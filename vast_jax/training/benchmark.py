"""python -m vast_jax.training.benchmark [--parts style acoustic renderer] [--batch-size N]

Seconds a training step and examples a second of the three parts in the paper's size, and frames a second that the
renderer draws, on made-up data, and what share of the device's peak that is: the peak is that of a large matrix
product, measured here. On a single core the processor's own time is counted, so that what else runs does not matter.
"""

import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from vast_jax import audio, cli
from vast_jax.training import precision
from vast_jax.training.config import Config, read_config
from vast_jax.training.flops import products
from vast_jax.training.step import init_state, train_step

CONFIGS = {"style": "style_paper.py", "acoustic": "acoustic_paper.py", "renderer": "renderer_full.py"}
D, STRONG, LIPS = 233, 85, 3  # expression parameters of the paper, of the mouth; lip measures
SIDE, MESH, AROUND, BOXES = 256, 7, 9, 3  # of the renderer's pictures
DRAWN = 25  # frames that the renderer draws at once
PEAK_SIZES = (2048, 4096, 8192, 16384)  # rows and columns of the product that shows the peak: the first that ...
PEAK_SECONDS = 0.02  # ... takes so long


@dataclass(frozen=True)
class Args:
    """Seconds a training step of the three parts in the paper's size, and the share of the device's peak."""

    parts: tuple[Literal["style", "acoustic", "renderer"], ...] = ("style", "acoustic", "renderer")
    """which"""
    configs: Path = Path("configs")
    """folder of the configs"""
    batch_size: int | None = None
    """examples a step; none: the config's"""
    frames: int | None = None
    """frames of an example of the renderer; none: the config's 16"""
    compute: Literal["float32", "bfloat16"] = "float32"
    """of the products"""
    accumulate: int = 1
    """parts of a batch"""
    remat: bool = False
    """of the renderer"""
    steps: int | None = None
    """timed, after one that compiles; none: 2 on processors, 20 on accelerators"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: benchmark(cli.parse(Args, argv, prog="python -m vast_jax.training.benchmark")))


def benchmark(args: Args) -> None:
    """Times all parts and prints the table. UserError: no configs."""
    peak = measured_peak(args.compute)
    print(f"peak of {args.compute}: {peak / 1e9:.0f} GFLOP/s on {jax.devices()[0].device_kind}, {_cores()} cores\n")
    print("| part | batch | products a step, GFLOP | memory, GB | compiling, s | a step, s | examples/s | of peak |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in args.parts:
        print(_row(name, args, peak), flush=True)
    if "renderer" in args.parts:
        print("\n| renderer, drawing | frames at once | products a frame, GFLOP | a frame, ms | frames/s | of peak |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for config, side in (("renderer_full.py", SIDE), ("renderer.py", None)):
            print(_drawing_row(read_config(args.configs / config).part, side, args, peak), flush=True)


def _row(name: str, args: Args, peak: float) -> str:
    path = args.configs / CONFIGS[name]
    config = read_config(path)
    changes = {"accumulate": args.accumulate, "compute": args.compute}
    config = replace(config, batch_size=args.batch_size or config.batch_size, **changes)
    if name == "renderer":
        frames = args.frames or config.part.clip_frames
        config = replace(config, part=replace(config.part, clip_frames=frames, start="scratch", remat=args.remat))
    constants, batch = made_up(name, config)
    players = config.part.players(constants)
    state = jax.jit(functools.partial(init_state, config, players))(batch)
    optimisers = config.part.optimisers(config.steps)
    step = functools.partial(
        train_step, players, optimisers, config.steps, accumulate=args.accumulate, compute=args.compute
    )
    work = products(step, state, batch)
    started = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    compiling = time.perf_counter() - started
    memory = compiled.memory_analysis().temp_size_in_bytes
    batch = jax.device_put(batch)

    def run():
        nonlocal state
        state, _ = compiled(state, batch)
        jax.block_until_ready(state)

    seconds = _fastest(run, _repeats(args))
    cells = f"{config.batch_size} | {work / 1e9:.0f} | {memory / 1e9:.1f} | {compiling:.0f} | {seconds:.3g}"
    return f"| {name} | {cells} | {config.batch_size / seconds:.2f} | {100 * work / seconds / peak:.0f} % |"


def _drawing_row(part, side: int | None, args: Args, peak: float) -> str:
    """Of the renderer alone: pictures of `side`, or of the part's own region."""
    side = side or part.region
    renderer, rng = part.module(), np.random.default_rng(0)
    shape = (1, DRAWN, side, side)
    channels = MESH + 3 * renderer.textured
    inputs = [jnp.asarray(rng.standard_normal((*shape, c), np.float32)) for c in (channels, 3, 1)]
    inputs.append(jnp.asarray(rng.standard_normal((1, DRAWN, AROUND, len(audio.PHONES)), np.float32)))
    params = jax.jit(renderer.init)(jax.random.key(0), *inputs)

    def draw(params, *inputs):
        with precision.products_in(args.compute):
            return renderer.apply(params, *inputs)

    work = products(draw, params, *inputs) / DRAWN
    draw = jax.jit(draw)
    run = lambda: jax.block_until_ready(draw(params, *inputs))  # noqa: E731
    seconds = _fastest(run, _repeats(args)) / DRAWN
    cells = (
        f"{DRAWN} | {work / 1e9:.1f} | {1e3 * seconds:.2f} | {1 / seconds:.0f} | {100 * work / seconds / peak:.0f} %"
    )
    return f"| {side}x{side}, widths {'-'.join(map(str, renderer.widths))} | {cells} |"


def _repeats(args: Args) -> int:
    return args.steps or (2 if jax.default_backend() == "cpu" else 20)


def made_up(name: str, config: Config) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(constants, batch) of a part, random, of the shapes that its own data have."""
    rng, b, part = np.random.default_rng(0), config.batch_size, config.part

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    if name == "acoustic":
        mask = np.ones((b, 2 * part.window), bool)
        labels = rng.integers(0, len(audio.PHONES), mask.shape).astype(np.uint8)
        zeros = np.zeros(audio.MELS, np.float32)
        return {"mean": zeros, "std": zeros + 1}, {
            "fbank": normal(*mask.shape, audio.MELS),
            "mask": mask,
            "labels": labels,
        }
    if name == "style":
        mask, phones = np.ones((b, part.example_frames), bool), len(audio.PHONES)
        clip = {
            "expression": normal(b, part.example_frames, D),
            "ppg": np.abs(normal(b, part.example_frames, phones)),
            "mask": mask,
        }
        ones = np.ones(D, np.float32)
        constants = dict(mean=0 * ones, std=ones, weight=ones, lips=normal(D, LIPS))
        constants |= dict(strong=np.arange(STRONG), weak=np.arange(STRONG, D))
        prompt = {f"prompt_{key}": value for key, value in clip.items()}
        return constants, clip | prompt | {"valid": mask, "prompt_has_speech": np.ones(b, bool)}
    frames = (b, part.clip_frames)
    pictures = {"mesh": MESH, "frames": 3, "hole": 1}
    batch = {key: rng.integers(0, 256, (*frames, SIDE, SIDE, c), np.uint8) for key, c in pictures.items()}
    boxes = np.tile(np.int32([100, 100, 150, 150]), (b, BOXES, 1))
    return {}, batch | {"ppg": np.abs(normal(*frames, AROUND, len(audio.PHONES))), "boxes": boxes}


def measured_peak(compute: str) -> float:
    """Floating-point operations a second of a large square matrix product."""
    multiply = jax.jit(lambda a: a @ a)
    for size in PEAK_SIZES:
        matrix = jnp.ones((size, size), compute)
        run = lambda matrix=matrix: jax.block_until_ready(multiply(matrix))  # noqa: E731
        seconds = _fastest(run, 3)
        if seconds >= PEAK_SECONDS:
            break
    return 2 * size**3 / seconds


def _fastest(run: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest call, after one that compiles."""
    run()
    return min(_seconds(run) for _ in range(repeats))


def _seconds(run: Callable[[], object]) -> float:
    clock = time.process_time if jax.default_backend() == "cpu" and _cores() == 1 else time.perf_counter
    started = clock()
    run()
    return clock() - started


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
