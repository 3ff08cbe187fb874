"""One step of training: the state before the first, and each player's update in turn."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from vast_jax.training.config import Config
from vast_jax.training.example_loss import OfExamples
from vast_jax.types import Array, Batch, Metrics, Params, Players


class TrainState(flax.struct.PyTreeNode):
    """All that a step changes: saved and restored together."""

    step: Array  # [] int32, steps done
    params: Mapping[str, Params]  # {player: params}
    optimiser: Mapping[str, Any]  # {player: optax state}
    key: Array  # typed PRNG key


def init_state(config: Config, players: Players, batch: Batch) -> TrainState:
    """The state before the first step; a pure function of the seed and the shapes of `batch`."""
    init_key, run_key = jax.random.split(jax.random.key(config.seed))
    params = dict(players.init(init_key, batch))
    optimisers = config.part.optimisers(config.steps)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimiser={player: optimisers[player].init(params[player]) for player in players.losses},
        key=run_key,
    )


def train_step(
    players: Players,
    optimisers: Mapping[str, optax.GradientTransformation],
    steps: int,
    state: TrainState,
    batch: Batch,
    accumulate: int = 1,
    compute: str = "float32",
) -> tuple[TrainState, Metrics]:
    """Updates each player in the order of `players.losses`; a later player sees the new params of the earlier ones.

    Pure in `state` and `batch`. Metrics are scalars named "player/loss", "player/gradient_norm", "player/...".
    `accumulate` and `compute` are those of `Config`, for losses that are `OfExamples`.
    """
    progress = jnp.minimum(state.step / steps, 1.0)
    key = jax.random.fold_in(state.key, state.step)
    params, optimiser, metrics = dict(state.params), dict(state.optimiser), {}
    for index, (player, loss_of) in enumerate(players.losses.items()):
        if isinstance(loss_of, OfExamples):
            loss_of = dataclasses.replace(loss_of, pieces=accumulate, compute=compute)

        def loss(own: Params, player=player, loss_of=loss_of, index=index) -> tuple[Array, Metrics]:
            return loss_of({**params, player: own}, batch, jax.random.fold_in(key, index), progress)

        (value, extra), gradient = jax.value_and_grad(loss, has_aux=True)(params[player])
        update, optimiser[player] = optimisers[player].update(gradient, optimiser[player], params[player])
        params[player] = optax.apply_updates(params[player], update)
        own = {**extra, "loss": value, "gradient_norm": optax.tree.norm(gradient)}
        metrics |= {f"{player}/{name}": scalar for name, scalar in own.items()}
    return state.replace(step=state.step + 1, params=params, optimiser=optimiser), metrics
