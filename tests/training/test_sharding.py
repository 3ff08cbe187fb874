import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vast_jax.training import sharding
from vast_jax.training.step import TrainState

ROOT = Path(__file__).resolve().parents[2]


def state_of(params) -> TrainState:
    optimiser = {"net": optax.adam(0.1).init(params["net"])}
    return TrainState(step=jnp.zeros((), jnp.int32), params=params, optimiser=optimiser, key=jax.random.key(0))


def check_on_two_devices() -> None:
    """The moments of a large array lie half on each device; a step on them gives what a step on whole ones gives."""
    mesh = sharding.mesh_of(4)
    rng = np.random.default_rng(0)
    params = {"net": {"large": rng.normal(size=(3, 512, 512)).astype(np.float32), "small": np.ones(8, np.float32)}}
    state = state_of(params)
    shardings = sharding.of_state(jax.eval_shape(lambda: state), mesh)
    placed = jax.device_put(state, shardings)
    moments = placed.optimiser["net"][0].mu
    assert moments["large"].addressable_shards[0].data.shape == (3, 256, 512)
    assert moments["small"].addressable_shards[0].data.shape == (8,)
    assert placed.params["net"]["large"].is_fully_replicated

    def step(state, batch):
        gradient = jax.grad(lambda p: jnp.square((batch["x"] @ p["net"]["large"]).mean(0)).sum())(state.params)
        update, optimiser = optax.adam(0.1).update(gradient["net"], state.optimiser["net"])
        params = {"net": optax.apply_updates(state.params["net"], update)}
        return state.replace(params=params, optimiser={"net": optimiser})

    batch = {"x": rng.normal(size=(4, 512)).astype(np.float32)}
    split = jax.jit(step, out_shardings=shardings)(placed, sharding.over_devices(batch, mesh))
    whole = jax.jit(step)(state, batch)
    np.testing.assert_allclose(split.params["net"]["large"], whole.params["net"]["large"], rtol=1e-5, atol=1e-6)
    assert split.optimiser["net"][0].mu["large"].addressable_shards[0].data.shape == (3, 256, 512)


@pytest.mark.slow
def test_large_moments_are_split_over_two_devices():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, __file__], env={**os.environ, **flags, "PYTHONPATH": path}, check=True, timeout=300)


if __name__ == "__main__":
    check_on_two_devices()
