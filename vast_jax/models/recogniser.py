"""An acoustic model with its weights: speech of any length to its phonetic posteriorgram, in flat memory."""

import functools
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.audio import HOP, MELS, PHONES, fit, to_video_rate
from vast_jax.models.acoustic_model import AcousticModel
from vast_jax.models.acoustic_transformer import AcousticTransformer
from vast_jax.types import UserError
from vast_jax.weights import exports, model_config

CTC_TEMPERATURE = 2.0  # of the posteriors without blank, which CTC makes too sure (docs/paper.md, Speech)
Module = AcousticModel | AcousticTransformer
_SHIPPED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "assets", "acoustic.safetensors")


class Recogniser:
    """An acoustic model with its weights: speech of any length to its PPG, piece by piece in flat memory.

    A recording is cut into pieces of one of two fixed lengths, so that only two programs are ever compiled; each piece
    is given the frames around it that its output depends on.
    """

    SHORT, LONG = 256, 1024  # frames of a piece with its surroundings

    def __init__(
        self,
        module: Module,
        params: Mapping,
        constants: Mapping[str, np.ndarray],
        hash: str,
        card: Mapping[str, Any] = MappingProxyType({}),
    ):
        self.module, self.hash, self.card = module, hash, card
        self._params, self._constants = params, constants
        if module.lookback + module.lookahead >= self.SHORT:
            self.SHORT = self.LONG

    def __call__(self, signal: np.ndarray, n_frames: int) -> np.ndarray:
        """PPG float32 [n_frames, 41] of `signal` float [n] in [-1, 1] at 16 kHz, padded or trimmed to n_frames."""
        return to_video_rate(self.posteriors(fit(signal, n_frames)))

    def posteriors(self, signal: np.ndarray) -> np.ndarray:
        """Phone posteriors at 50 Hz, [640 T] -> [2T, 41] float32."""
        lookback, lookahead, frames = self.module.lookback, self.module.lookahead, len(signal) // HOP
        length = self.SHORT if frames <= self.SHORT else self.LONG
        out = np.empty((frames, len(PHONES)), np.float32)
        done = 0
        while done < frames:
            start = max(0, (done - lookback) // 2 * 2)  # even, as all borders are: pairs stay together
            there = min(length, frames - start)
            piece = self.module.features(signal, start, start + there)
            padded = np.pad(piece, ((0, len(piece) // there * (length - there)), (0, 0)))
            posteriors = np.asarray(self._run(padded[None], np.arange(length)[None] < there))[0]
            end = frames if start + length >= frames else start + length - lookahead - lookahead % 2
            out[done:end] = posteriors[done - start : end - start]
            done = end
        return out

    @functools.cached_property
    def _run(self):
        mean, std = self._constants["mean"], self._constants["std"]
        params = jax.tree.map(jnp.asarray, self._params)

        @jax.jit
        def run(params, fbank_BxTxF, mask_BxT):
            logits_BxTxC = self.module.apply({"params": params}, (fbank_BxTxF - mean) / std, mask_BxT)
            if self.module.blank is not None:
                logits_BxTxC = logits_BxTxC[..., : self.module.blank] / CTC_TEMPERATURE
            return nn.softmax(logits_BxTxC)

        return functools.partial(run, params)


def load_acoustic(path: str | os.PathLike | None = None) -> Recogniser:
    """The acoustic model of an export folder or .safetensors file; None: the one shipped with the package.

    Raises:
        UserError: as `exports.load`; weights of another part, or of no acoustic model here.
    """
    path = _SHIPPED if path is None else path
    params, constants, card = exports.load_part(path, "acoustic")
    config = dict(card["config"])
    network = AcousticTransformer if config.pop("network", None) == "transformer" else AcousticModel
    module = model_config.build(network, config, path)
    model_config.check_constants(constants, {"mean": (MELS,), "std": (MELS,)}, path)
    if network is AcousticTransformer:
        misfit = module.back is None  # a teacher, whose positions end after 30 s
    else:
        misfit = module.ahead is not None and len(module.ahead) != len(module.dilations)
    if misfit or module.classes - len(PHONES) not in (0, 1) or not constants["std"].all():
        raise UserError(f"{path}: its card or constants are those of no acoustic model here; train it again")
    return Recogniser(module, params, constants, card["sha256"], card)
