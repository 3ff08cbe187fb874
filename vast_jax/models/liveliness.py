"""What neither speech nor style foretells of a talking face: blinks, and the slow wandering of brows, lids and gaze.

The weak branch of the expression decoder computes the course of each parameter, how far it wanders about it, and how
likely a blink is to begin at each frame. This draws both. A regression cannot: its mean of a blink and none is an eye
half shut, its mean of all wanderings is to stand still.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vast_jax.animation.arkit import closing_blinks
from vast_jax.face.model import FaceModel
from vast_jax.media import FPS
from vast_jax.types import Array

BEFORE, AFTER = 3, 6  # frames from the first movement of a blink to its deepest, and from there to the last
SHUT, OPEN = 0.5, 0.3  # share of the way to the closed eye from which it is shut, and from which it is open again
LONGEST_BLINK = 0.5  # seconds; longer ones are eyes that stay closed
USUAL_RATE, RATE_LIMIT = 0.5, 1.2  # blinks a second; logarithm of the rate over it
SETTLE = 100  # frames that the wandering runs before the first one


class Liveliness(NamedTuple):
    """Measured once on training footage (`parts.style_liveliness.measure`); of W weak, normalised parameters."""

    loadings: np.ndarray  # [W, W], of independent wanderings of deviation 1 to the parameters'
    memory: np.ndarray  # [W, P], of each wandering for its own last P frames (autoregressive)
    innovation: np.ndarray  # [W], deviation of what comes new to it in a frame
    wave: np.ndarray  # [BEFORE + AFTER - 1], how far a blink has come in its frames, 0 to 1
    shut: np.ndarray  # [W], where a blink takes the lids, and by how much it moves others
    lids: np.ndarray  # [W], 1 for a parameter that a blink takes somewhere, whatever it was; 0 for others
    closures: np.ndarray  # [D], whose product with activations is how far the eyes are closed

    @classmethod
    def of(cls, constants: Mapping[str, np.ndarray]) -> "Liveliness":
        """From constants named "lively_" and the field's name."""
        return cls(*(np.asarray(constants[f"lively_{name}"]) for name in cls._fields))

    def constants(self) -> dict[str, np.ndarray]:
        """What `of` reads."""
        return {f"lively_{name}": np.asarray(value, np.float32) for name, value in self._asdict().items()}

    def rate(self, expression: np.ndarray) -> float:
        """`blink_rate` of activations [T, D]."""
        return blink_rate(len(blink_spans(expression @ self.closures)), len(expression))

    def wandering(self, log_sigma_TxW: Float[Array, "T W"], seed: int = 0) -> np.ndarray:
        """How far each parameter is from its course, [T, W]. More frames do not change the first, here and below."""
        return np.exp(log_sigma_TxW) * self.wander(len(log_sigma_TxW), seed)

    def blink(self, x_TxW: Float[Array, "T W"], logit_T: Float[Array, " T"], seed: int = 0) -> np.ndarray:
        """Parameters [T, W] with blinks, by the logit of one beginning at each frame."""
        closure = self.closing(logit_T, seed)[:, None]
        return x_TxW + closure * (self.shut - self.lids * x_TxW)

    def wander(self, frames: int, seed: int = 0) -> np.ndarray:
        """[T, W] of deviation 1, smooth, its parameters moving together as faces do."""
        new = np.random.default_rng([seed % 2**32, 0]).standard_normal((SETTLE + frames, len(self.memory)))
        past = self.memory.T[::-1]  # [P, W], the latest frame last
        alone = np.concatenate([np.zeros_like(past), self.innovation * new])
        for t in range(len(new)):  # scipy's lfilter would do, but its module alone takes a second to import
            alone[t + len(past)] += (past * alone[t : t + len(past)]).sum(0)
        return alone[len(past) + SETTLE :] @ self.loadings

    def closing(self, logit_T: Float[Array, " T"], seed: int = 0) -> np.ndarray:
        """How far blinks have come in each frame, [T], 0 to 1: none begins while one is under way."""
        begins = np.random.default_rng([seed % 2**32, 1]).random(len(logit_T)) < 1 / (1 + np.exp(-logit_T))
        closure = np.zeros(len(logit_T) + len(self.wave))
        next_one = 0
        for frame in np.flatnonzero(begins):
            if frame >= next_one:
                next_one = frame + len(self.wave)
                closure[frame:next_one] = self.wave
        return closure[: len(logit_T)]


@functools.lru_cache(maxsize=2)
def eye_closures(model: FaceModel) -> np.ndarray:
    """[D], whose product with an expression is how far its eyes are closed, 0 to 1: mean of the two eyeBlinks.

    The activation that closes the mean head's eye is closure 1. Zeros for a face model without eyeBlinks.
    """
    names = [name.lower() for name in model.expression_names]
    shut = {name.lower(): value for name, value in closing_blinks(model).items()}
    closures = np.array([1 / shut[name] if name in shut else 0.0 for name in names], np.float32)
    return closures / max(np.count_nonzero(closures), 1)


def blink_spans(closure: Sequence[float] | np.ndarray, longest: float = LONGEST_BLINK) -> list[tuple[int, int]]:
    """Blinks, first frame and end, in how far the eyes are closed, [T], 0 open to 1 closed, 25 a second.

    With hysteresis: a blink begins where the closure reaches 0.5 and ends where it falls to 0.3, so that noise about
    one threshold is not many blinks. It counts if it takes `longest` seconds at most; eyes that are shut in the first
    frame have not blinked, a blink that the end cuts off counts.
    """
    spans, begin = [], None
    for t, value in enumerate([*closure, 0.0]):
        if begin is None and value >= SHUT:
            begin = t
        elif begin is not None and value <= OPEN:
            if begin > 0 and t - begin <= longest * FPS:
                spans.append((begin, t))
            begin = None
    return spans


def blink_rate(blinks: int, frames: int) -> float:
    """Logarithm of how often somebody blinks over the usual, which weighs as much as two seconds of footage.

    Within what windows of training can show: a minute without a blink is no stranger than four seconds.
    """
    rate = np.log((blinks + 2 * USUAL_RATE) / (frames / FPS + 2)) - np.log(USUAL_RATE)
    return float(np.clip(rate, -RATE_LIMIT, RATE_LIMIT))
