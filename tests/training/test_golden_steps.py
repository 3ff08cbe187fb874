"""One training step of every part on made-up data: its losses and gradients are the numbers written here.

They tell a change of the mathematics from one of the form, which is what most changes are meant to be. The numbers were
made with jax 0.10.2 on a CPU. Another jax, and so a newer Python, or another machine may round otherwise and sum in
another order: they are compared to one in ten thousand.
"""

import functools

import jax
import jax.numpy as jnp
import pytest
from batches import batch_of, constants_of
from random_params import random_like

from vast_jax.parts.acoustic import AcousticPart
from vast_jax.parts.lipreader import LipReaderPart
from vast_jax.parts.renderer import RendererPart
from vast_jax.parts.style import StylePart
from vast_jax.parts.syncnet import SyncNetPart
from vast_jax.training.step import TrainState, train_step

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiling is most of a test
STEPS = 100  # of the run whose middle the step is: warm-ups are over, the adversary and CTC take part

PARTS = {
    "style": StylePart(
        d_style=8, encoder_channels=(8, 8, 8, 8), encoder_state=8, strong_width=16, strong_layers=1, strong_heads=2,
        attention_window=8, weak_width=8, example_frames=32,
    ),
    "renderer": RendererPart(
        clip_frames=2, region=64, patch=64, widths=(4, 4, 8), ppg_features=4, discriminator_widths=(4, 4, 4),
        judged_frames=1, perceptual_weight=0.0,  # for VGG16's weights are not everywhere
    ),
    "acoustic": AcousticPart(context=1, dense=16, width=16, dilations=(1, 2), ahead=(0, 1), window=10),
    "lipreader": LipReaderPart(channels=(4, 4, 8), width=16, state=8, window=24),
    "syncnet": SyncNetPart(
        picture_widths=(4, 4, 4, 4), sound_widths=(4, 4, 4), hidden=8, embedding=6, window=12, most_late=2
    ),
}  # fmt: skip

# part -> player -> loss and norm of its gradient
GOLDEN = {
    "style": {"style": (55.25114, 1177.292)},
    "renderer": {"renderer": (13.67728, 7.347046), "discriminator": (1.542609, 0.9108384)},
    "acoustic": {"acoustic": (3.92908, 3.033126)},
    "lipreader": {"lipreader": (11.96625, 11.77465)},
    "syncnet": {"syncnet": (4.432375, 59.48622)},
}


def step_of(part) -> dict[str, tuple[float, float]]:
    """{player: loss and norm of the gradient} of a step in the middle of a run."""
    batch, players, optimisers = batch_of(part), part.players(constants_of(part)), part.optimisers(STEPS)
    params = random_like(jax.eval_shape(players.init, jax.random.key(0), batch))
    optimiser = {player: optimisers[player].init(params[player]) for player in players.losses}
    state = TrainState(jnp.int32(STEPS // 2), params, optimiser, jax.random.key(1))
    step = jax.jit(functools.partial(train_step, players, optimisers, STEPS), compiler_options=QUICK)
    after, metrics = step(state, batch)
    assert after.step == STEPS // 2 + 1
    return {
        player: (float(metrics[f"{player}/loss"]), float(metrics[f"{player}/gradient_norm"]))
        for player in players.losses
    }


@pytest.mark.parametrize("name", PARTS)
def test_a_step_is_the_golden_one(name):
    found, golden = step_of(PARTS[name]), GOLDEN[name]
    lines = ", ".join(f'"{player}": ({loss:.7g}, {norm:.7g})' for player, (loss, norm) in found.items())
    advice = (
        f"a step of {name} is no longer the golden one. If you meant to change its loss, its network, its optimiser's "
        f'players or how noise is drawn, put this into GOLDEN and say so in the commit:\n    "{name}": {{{lines}}},\n'
        "If you did not, the change is a fault: `git stash` and `git bisect` find what made it. If only jax changed, "
        "look at how far apart the numbers are: beyond 1e-3 is no rounding."
    )
    assert found.keys() == golden.keys(), advice
    for player, numbers in golden.items():
        assert found[player] == pytest.approx(numbers, rel=1e-4), advice
