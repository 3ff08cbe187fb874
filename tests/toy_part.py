"""A part small enough to train in a test, and a config file for train.py: a line, and a player that follows it."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vast_jax import reporting
from vast_jax.data import pipeline
from vast_jax.training import Config
from vast_jax.training.example_loss import OfExamples
from vast_jax.training.part import Part
from vast_jax.types import Players
from vast_jax.weights import exports


@dataclasses.dataclass(frozen=True)
class ToyPart(Part):
    """Fits y = slope x; the second player learns the first one's weights."""

    width: int = 3
    """Number of inputs."""
    noise: float = 0.01
    """Of the inputs, so that a step needs its key."""
    learning_rate: float = 0.1

    def constants(self, data_dir):
        return {"slope": np.arange(1, self.width + 1, dtype=np.float32)}

    def players(self, constants):
        def init(key, batch):
            return {
                "line": {"w": 0.1 * jax.random.normal(key, (batch["x"].shape[-1],))},
                "follower": {"w": jnp.zeros(batch["x"].shape[-1])},
            }

        def each(params, batch, key, progress):
            x = batch["x"] + self.noise * jax.random.normal(key, batch["x"].shape)
            return x @ params["line"]["w"] - batch["x"] @ constants["slope"]

        def line(error, batch, progress):
            return jnp.mean(error**2), {"progress": progress}

        def follower(params, batch, key, progress):
            return jnp.sum((params["follower"]["w"] - params["line"]["w"]) ** 2), {}

        return Players(init, {"line": OfExamples(each, line), "follower": follower})

    def dataset(self, data_dir, split, batch_size, seed):
        def example(index, rng):
            return {"x": rng.standard_normal(self.width).astype(np.float32) + 0.01 * np.float32(index)}

        return pipeline.batches(range(20), example, batch_size, seed)

    def optimisers(self, steps):
        return {"line": optax.adam(self.learning_rate), "follower": optax.sgd(0.25)}

    def report(self, params, constants, data_dir, out_dir, step):
        rows = [player["w"][None] for player in params.values()]
        reporting.save_png(out_dir / "weights.png", np.uint8(np.clip(np.concatenate(rows) * 50, 0, 255)))
        return {"distance": np.abs(params["line"]["w"] - constants["slope"]).max()}

    def export(self, params, constants, directory, data_dir, figures):
        card = {"part": "toy", "config": dataclasses.asdict(self), "figures": figures}
        exports.export(directory, "toy", {**params, "constants": constants}, card, dtype=np.float32)


def lines(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


config = Config(part=ToyPart(), steps=12, batch_size=4, log_every=3, eval_every=6, save_every=4)
