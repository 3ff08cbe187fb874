"""Lips meet at b, p and m in every style, as they do in every talker: a constraint, not a habit to be learned.

A model that has seen a style for seconds moves the mouth to that style's rest and scale, and where it errs by two
millimetres a closed mouth is an open one. Which frames must close is in the speech.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vast_jax.audio import PHONES
from vast_jax.types import Array

BILABIAL = [PHONES.index(phone) for phone in ("B", "P", "M")]
_UNHEARD, _HEARD = 0.2, 0.6  # posterior of b, p and m up to which nothing is done, and from which lips meet
_STEPS = 3
_BESIDE = 0.5  # of a closing reaches the frames before and after: lips need time


class Closing(NamedTuple):
    """How lips close; of D activations."""

    gap: np.ndarray  # [D], mm of lip gap for each
    way: np.ndarray  # [D], how a face that closes by a millimetre moves on average; way @ gap is 1
    shut: np.ndarray  # mm of `gap` at which lips meet

    @classmethod
    def of(cls, constants: Mapping[str, np.ndarray]) -> "Closing | None":
        """From constants named "closing_" and the field's name; None where there are none."""
        if "closing_gap" not in constants:
            return None
        return cls(*(np.asarray(constants[f"closing_{name}"]) for name in cls._fields))

    def constants(self) -> dict[str, np.ndarray]:
        """What `of` reads."""
        return {f"closing_{name}": np.asarray(value, np.float32) for name, value in self._asdict().items()}

    def close(
        self,
        x_TxD: Float[Array, "T D"],
        ppg_TxP: Float[Array, "T P"],
        low_D: Float[Array, "#T D"] | Float[Array, " D"],
        high_D: Float[Array, "#T D"] | Float[Array, " D"],
    ) -> np.ndarray:
        """Activations [T, D] whose lips meet where the PPG [T, 41] hears b, p or m; elsewhere as they were.

        Within `low_D` and `high_D`: what cannot go further leaves the rest of the way to the others.
        """
        heard = np.clip((ppg_TxP[:, BILABIAL].sum(1) - _UNHEARD) / (_HEARD - _UNHEARD), 0, 1)
        beside = np.maximum(np.r_[heard[1:], 0], np.r_[0, heard[:-1]])
        share = np.maximum(heard, _BESIDE * beside)
        x_TxD = np.clip(x_TxD, low_D, high_D)
        gap = x_TxD @ self.gap
        goal = gap - share * np.maximum(gap - self.shut, 0)
        for _ in range(_STEPS):
            excess = np.maximum(x_TxD @ self.gap - goal, 0)
            x_TxD = np.clip(x_TxD - excess[:, None] * self.way, low_D, high_D)
        return x_TxD.astype(np.float32)
