"""Does a video hold still where it should, and does its mouth tremble? Figures of one video, beside the real one's.

A renderer that makes each frame alone flickers: skin that does not move changes its grain, teeth come and go. Both
figures are in grey levels, so that a blurred video is steadier than the real one, and noise counts in both.
"""

from itertools import pairwise

import numpy as np

from vast_jax.media import FPS

TREMBLE_HERTZ = 6.0  # above it speech hardly moves the lips: syllables come at 4 to 5 a second


def still_pixels(frames: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The half of a region that changes least from frame to frame in the real video: bool [H, W].

    Args:
      frames: the real video, uint8 [T, H, W, 3].
      region: bool [H, W].
    """
    if not region.any() or len(frames) < 2:
        return np.zeros_like(region)
    change = _changes(frames).mean(0)
    return region & (change <= np.median(change[region]))


def flicker(frames: np.ndarray, still: np.ndarray) -> float:
    """Mean absolute difference of successive frames uint8 [T, H, W, 3] over the pixels `still`; NaN without any."""
    if not still.any() or len(frames) < 2:
        return float("nan")
    return float(_changes(frames)[:, still].mean())


def tremble(mouths: np.ndarray) -> float:
    """Root mean square of what changes faster than 6 Hz in crops of a mouth, uint8 [T, H, W, 3] at 25 a second.

    The crops follow the head (`face.mouth_crop`). Each pixel's course, grey, is weighted by a Hann window first, for a
    clip's ends do not meet. NaN for less than a second.
    """
    if len(mouths) < FPS:
        return float("nan")
    grey = mouths.astype(np.float32).mean(-1).reshape(len(mouths), -1)
    window = np.hanning(len(grey) + 2)[1:-1, None].astype(np.float32)
    spectrum = np.fft.rfft((grey - grey.mean(0)) * window, axis=0)
    power = np.square(np.abs(spectrum)).mean(1) * 2 / len(grey) / np.square(window).sum()
    fast = np.fft.rfftfreq(len(grey), 1 / FPS) > TREMBLE_HERTZ
    return float(np.sqrt(power[fast].sum()))


def _changes(frames: np.ndarray) -> np.ndarray:
    """Mean absolute difference over the colours of each frame to the next, float32 [T - 1, H, W]."""
    return np.stack([np.abs(b.astype(np.int16) - a).mean(-1, dtype=np.float32) for a, b in pairwise(frames)])
