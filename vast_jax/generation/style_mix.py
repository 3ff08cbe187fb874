"""Styles as material: mixed, strengthened, drawn from the prior, changed over time; gains of what comes out.

A style is the vector that the style encoder and enhancer make of a prompt (paper, §3.2). The same text on the command
line and in saved schedules: "angry.mp4:0.7" is a prompt and its share, "0s calm.style, 4.2s a.mp4:0.5+b.mp4:0.5" a
schedule, "prior" a style that nobody has shown.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vast_jax.media import FPS
from vast_jax.types import UserError

PRIOR = "prior"
FADE = 0.8  # seconds that one style takes to become the next


class Share(NamedTuple):
    """A share of a mix."""

    source: str  # a path, or PRIOR
    weight: float


class Moment(NamedTuple):
    """When a style is reached, and its mix."""

    seconds: float
    shares: tuple[Share, ...]


def parse_share(text: str) -> Share:
    """ "angry.mp4:0.7" or "angry.mp4" (1). UserError: no name, a share that is not above 0."""
    name, _, share = text.strip().rpartition(":")
    if not name or not re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", share):
        name, share = text.strip(), "1"
    try:
        weight = float(share)
    except ValueError:
        weight = 0.0
    if not name or not 0 < weight < float("inf"):
        raise UserError(f"{text!r} is no style: give a prompt, or a prompt and its share, as angry.mp4:0.7")
    return Share(name, weight)


def parse_schedule(text: str) -> list[Moment]:
    """ "0s calm.style, 4.2s a.mp4:0.5+b.mp4:0.5", in order of time. UserError: another form, a time twice."""
    moments = []
    for entry in text.split(","):
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*s\s+(\S.*?)\s*", entry)
        if not found:
            raise UserError(f"{entry.strip()!r} is no part of a schedule: write '0s calm.style, 4.2s angry.mp4'")
        shares = tuple(parse_share(share) for share in found[2].split("+"))
        moments.append(Moment(float(found[1]), shares))
    moments.sort(key=lambda moment: moment.seconds)
    if len({moment.seconds for moment in moments}) < len(moments):
        raise UserError(f"{text!r}: two styles at one time")
    return moments


def mix(styles: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """The weighted mean of style vectors [S]: it lies between them."""
    return np.average(np.stack(styles), axis=0, weights=weights).astype(np.float32)


def strengthen(style: np.ndarray, neutral: np.ndarray, intensity: float) -> np.ndarray:
    """From `neutral` (at 0) through `style` (at 1) and on: neutral + intensity (style - neutral)."""
    return (neutral + intensity * (style - neutral)).astype(np.float32)


def over_time(moments: Sequence[float], styles: Sequence[np.ndarray], n_frames: int, fade: float = FADE) -> np.ndarray:
    """Styles [S] reached at `moments` (seconds, rising), as one for each of `n_frames`, [T, S].

    The first holds from the start, the last to the end. Each becomes the next over `fade` seconds that end at its
    moment, or over all the time there is, smoothly (3x² - 2x³).
    """
    seconds = np.arange(n_frames) / FPS
    out = np.broadcast_to(np.asarray(styles[0], np.float32), (n_frames, len(styles[0]))).copy()
    for i in range(1, len(styles)):
        length = max(min(fade, moments[i] - moments[i - 1]), 1e-6)
        x = np.clip((seconds - moments[i] + length) / length, 0, 1)[:, None]
        out += (x * x * (3 - 2 * x)) * (styles[i] - styles[i - 1])
    return out.astype(np.float32)


def resolve(
    moments: Sequence[Moment], encode: Callable[[str], np.ndarray], neutral: np.ndarray, intensity: float, n_frames: int
) -> np.ndarray:
    """A schedule as styles: [S] where there is one, else [T, S]. `encode` gives the style of a source."""
    vectors = [
        strengthen(
            mix([encode(share.source) for share in shares], [share.weight for share in shares]), neutral, intensity
        )
        for _, shares in moments
    ]
    if len(vectors) == 1:
        return vectors[0]
    return over_time([moment.seconds for moment in moments], vectors, n_frames)
