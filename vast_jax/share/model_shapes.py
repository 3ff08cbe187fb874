"""Whether weights have the shapes of the model that their card describes: traced, so that nothing is allocated."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vast_jax.audio import MELS, PHONES, PPG_FRAMES
from vast_jax.face.mesh_image import MESH_CHANNELS
from vast_jax.models.acoustic_model import AcousticModel
from vast_jax.models.acoustic_transformer import AcousticTransformer
from vast_jax.models.lip_reader import VIEW_SIZE, LipNet
from vast_jax.models.renderer import REDUCTION, Renderer
from vast_jax.models.style_transfer import StyleTransfer
from vast_jax.models.syncnet import SyncNet
from vast_jax.models.syncnet_input import FEATURES_PER_FRAME, PICTURE_SIZE
from vast_jax.types import UserError
from vast_jax.weights import exports

_FRAMES = 8


def check_shapes(module: nn.Module, params: Mapping[str, Any], part: str, source: str | os.PathLike) -> None:
    """UserError where a module cannot be built, or its params {name: ...} have other names or shapes than it needs."""
    try:
        needed = _shapes(module)
    except (TypeError, ValueError, ZeroDivisionError, IndexError, OverflowError) as error:
        why = " ".join(str(error).split())[:120]
        raise UserError(f"{source}: its card describes no model that works ({why}); export it again") from None
    exports.overlay({part: needed}, {part: params}, str(source))


@functools.lru_cache(maxsize=32)
def _shapes(module: nn.Module) -> dict[str, Any]:
    inputs = _INPUTS[type(module)](module)
    return jax.eval_shape(lambda key: module.init(key, *inputs), jax.random.key(0))["params"]


def _of_renderer(module: Renderer) -> tuple:
    side = 2 * REDUCTION
    channels = (MESH_CHANNELS + 3 * module.textured, 3, 1)
    return *(jnp.zeros((1, 1, side, side, c)) for c in channels), jnp.zeros((1, 1, PPG_FRAMES, len(PHONES)))


def _of_style(module: StyleTransfer) -> tuple:
    clip = (
        jnp.zeros((1, _FRAMES, len(module.strong) + len(module.weak))),
        jnp.zeros((1, _FRAMES, len(PHONES))),
        jnp.ones((1, _FRAMES), bool),
    )
    return *clip, *clip, jnp.ones(1, bool), jax.random.key(0)


def _of_syncnet(module: SyncNet) -> tuple:
    side, small = PICTURE_SIZE[module.layout], module.layout == "small"
    frames = jnp.zeros((1, _FRAMES, side, side) if small else (1, _FRAMES, side, side, 3))
    return frames, jnp.zeros((1, _FRAMES * FEATURES_PER_FRAME[module.layout], MELS if small else 13))


_INPUTS: dict[type, Callable[[Any], tuple]] = {
    Renderer: _of_renderer,
    StyleTransfer: _of_style,
    SyncNet: _of_syncnet,
    AcousticModel: lambda _: (jnp.zeros((1, 2 * _FRAMES, MELS)), jnp.ones((1, 2 * _FRAMES), bool)),
    AcousticTransformer: lambda _: (jnp.zeros((1, 2 * _FRAMES, MELS)), jnp.ones((1, _FRAMES), bool)),
    LipNet: lambda _: (jnp.zeros((1, _FRAMES, VIEW_SIZE, VIEW_SIZE, 3)), jnp.ones((1, _FRAMES), bool)),
}
