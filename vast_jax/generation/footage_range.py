"""Keeping an avatar near what its footage shows: beyond it a renderer blurs the mouth (paper, Fig. 7)."""

from collections.abc import Sequence

import numpy as np

BEYOND = 0.5  # activation by which an expression may leave the footage's range unless told otherwise
_TAIL = 0.5  # per cent of the frames at either end that do not count as range


def measure(expression: np.ndarray) -> np.ndarray:
    """The range of each parameter over a person's frames, expression [N, D] to [2, D] float32: lowest and highest."""
    return np.percentile(expression, [_TAIL, 100 - _TAIL], axis=0).astype(np.float32)


def soften(expression: np.ndarray, range_: np.ndarray, beyond: float = BEYOND) -> np.ndarray:
    """Expression [T, D] kept within the range [2, D] and `beyond` of it: what goes further is drawn back smoothly.

    The range itself is left as it is. `beyond` 0 cuts at the range; infinity changes nothing.
    """
    if np.isinf(beyond):
        return expression
    nearest = np.clip(expression, *range_)
    excess = expression - nearest
    return (nearest + (beyond * np.tanh(excess / beyond) if beyond > 0 else 0)).astype(np.float32)


def leaving(expression: np.ndarray, range_: np.ndarray, names: Sequence[str], much: float = 0.1) -> str | None:
    """How expression [T, D] leaves a range [2, D] by more than `much`, in words; None if it hardly does."""
    excess = np.abs(expression - np.clip(expression, *range_))
    frames = (excess > much).any(1).mean()
    if frames < 0.01:
        return None
    most = excess.max(0)
    named = [f"{names[k]} by {most[k]:.2f}" for k in np.argsort(-most)[:3] if most[k] > much]
    return f"{frames:.0%} of the frames leave what the footage shows: {', '.join(named)} at most"
