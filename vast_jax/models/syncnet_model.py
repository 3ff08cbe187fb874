"""SyncNet with its weights: whole clips of any length to embeddings."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vast_jax.models.syncnet import SyncNet
from vast_jax.models.syncnet_input import FEATURES_PER_FRAME, PICTURE_SIZE, WINDOW, features, grey, mfcc
from vast_jax.weights import exports, model_config

_SHIPPED = Path(__file__).parent.parent / "assets" / "syncnet.safetensors"
_AT_ONCE = {"small": 64, "original": 8}  # windows: few programs are compiled, and memory is flat


class SyncModel:
    """A SyncNet ready to embed.

    `unrelated` is the distance of real mouths to unrelated speech that was measured with these weights, the unit in
    which `metrics.sync` states distances; None where it is not known.
    """

    def __init__(self, module: SyncNet, params: Mapping[str, Any], unrelated: float | None = None, card=None):
        self.module, self.unrelated, self.card = module, unrelated, dict(card or {})
        variables = {"params": jax.tree.map(np.asarray, params)}
        self._pictures = jax.jit(functools.partial(module.apply, variables, method="pictures"))
        self._sounds = jax.jit(functools.partial(module.apply, variables, method="sounds"))

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> "SyncModel":
        """The model of a .safetensors file or export folder; None: the shipped one. UserError: see exports.load."""
        path = _SHIPPED if path is None else path
        params, constants, card = exports.load_part(path, "syncnet")
        module = model_config.build(SyncNet, card["config"], path)
        model_config.check_constants(constants, {}, path, optional={"unrelated": (1,)})
        unrelated = constants.get("unrelated")
        return cls(module, params, None if unrelated is None else unrelated.item(), card)

    def pictures(self, crops: np.ndarray) -> np.ndarray:
        """[W, E] of [T, S, S, 3] uint8 RGB: 96 pixel mouth crops, or 224 pixel faces in the original layout."""
        size = PICTURE_SIZE[self.module.layout]
        if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3):
            raise ValueError(f"pictures are uint8 [T, {size}, {size}, 3], not {crops.dtype} {list(crops.shape)}")
        frames = grey(crops) if self.module.layout == "small" else crops
        return self._in_pieces(self._pictures, frames, 1)

    def sounds(self, speech: np.ndarray) -> np.ndarray:
        """[W, E] of speech float [640 T] at 16 kHz."""
        heard = features(speech) if self.module.layout == "small" else mfcc(speech)
        return self._in_pieces(self._sounds, heard, FEATURES_PER_FRAME[self.module.layout])

    def _in_pieces(self, run, sequence: np.ndarray, hop: int) -> np.ndarray:
        """`run` on pieces of one length; `hop` elements of the sequence are a frame."""
        count, step = len(sequence) // hop - WINDOW + 1, _AT_ONCE[self.module.layout]
        out = []
        for start in range(0, count, step):
            piece = sequence[start * hop : (start + step + WINDOW - 1) * hop]
            missing = (step + WINDOW - 1) * hop - len(piece)
            padded = np.pad(piece, [(0, missing)] + [(0, 0)] * (piece.ndim - 1), mode="edge")
            out.append(np.asarray(run(padded[None]))[0])
        return np.concatenate(out)[:count]
