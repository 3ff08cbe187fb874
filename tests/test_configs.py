"""Every config that ships can be read, and a step of what it describes be traced: else a field that was renamed, or
sizes that do not fit each other, would show only when somebody trains."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import batch_of, constants_of

from vast_jax.training import Config
from vast_jax.training.config import read_config
from vast_jax.training.step import init_state, train_step
from vast_jax.weights import exports

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
ASSETS = Path(exports.__file__).parents[1] / "assets"
PARAMETERS = {"acoustic": 7.6e6, "acoustic_scratch": 2.9e6, "acoustic_paper": 5.7e6}  # as their texts say
SHIPPED = ("acoustic", "lipreader", "renderer", "style", "syncnet")  # configs of weights that come with vast_jax


def read(name: str) -> Config:
    return read_config(CONFIGS[0].with_name(f"{name}.py"))


def small(config: Config) -> Config:
    """With little data: sizes of the networks are the config's own."""
    part = config.part
    if hasattr(part, "clip_frames"):
        part = dataclasses.replace(part, clip_frames=2, patch=64, judged_frames=min(part.judged_frames, 2))
    return dataclasses.replace(config, part=part, batch_size=2)


def shapes(config: Config) -> dict:
    """Of all params, {player: params}."""
    players = config.part.players(constants_of(config.part))
    return jax.eval_shape(players.init, jax.random.key(0), batch_of(config.part))


def size(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def test_there_are_configs():
    assert {*SHIPPED, *PARAMETERS} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_step_can_be_traced(path):
    config = small(read_config(path))
    part, batch = config.part, batch_of(config.part)
    players, optimisers = part.players(constants_of(part)), part.optimisers(config.steps)
    assert set(optimisers) == set(players.losses)
    before = jax.eval_shape(functools.partial(init_state, config, players), batch)
    step = functools.partial(train_step, players, optimisers, config.steps)
    after, metrics = jax.eval_shape(step, before, batch)
    assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, before.params)
    assert {f"{player}/loss" for player in players.losses} <= set(metrics)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_networks_are_as_large_as_their_texts_say(name, count):
    assert size(shapes(read(name))) == pytest.approx(count, rel=0.02)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "style"])
def test_a_config_makes_what_is_shipped(name):
    """Each says that it made the weights that come with vast_jax: then its network has their shapes."""
    weights, _ = exports.load(ASSETS / f"{name}.safetensors")
    wanted = shapes(small(read(name)))[name]
    assert jax.tree.map(jnp.shape, weights[name]) == jax.tree.map(jnp.shape, wanted)


def test_the_config_of_the_shipped_style_makes_it():
    weights, _ = exports.load(ASSETS / "style.safetensors")
    part = read("style").part
    constants = constants_of(part) | {name: weights["constants"][name] for name in ("mean", "std", "strong", "weak")}
    batch = dict(batch_of(part))
    for expression in ("expression", "prompt_expression"):
        batch[expression] = np.zeros((*batch[expression].shape[:2], len(constants["mean"])), np.float32)
    wanted = jax.eval_shape(part.players(constants).init, jax.random.key(0), batch)["style"]
    assert jax.tree.map(jnp.shape, weights["style"]) == jax.tree.map(jnp.shape, wanted)
