"""Procedural colours of the built-in avatar's skin, brows, hair, eyes and teeth, on the mean head.

Everything is drawn at a point's place on the mean head ("rest", mm, head frame), so that it sticks to the surface.
Colours are linear RGB; `colour` [3] is written in place, from the rows of a `palette` [12, 3].
"""

import numba
import numpy as np


def linear(*srgb: float) -> np.ndarray:
    """Linear RGB [3] float32 of an sRGB colour in [0, 255]."""
    return (np.array(srgb, np.float32) / 255) ** np.float32(2.2)


SKIN, FLUSH, LIPS, BROWS, HAIR, CLOTHES, EYE_WHITE, IRIS, TEETH, GUMS, MOUTH, LASHES = range(12)
PALETTE = np.stack(
    [
        linear(222, 172, 147),
        linear(206, 124, 108),
        linear(180, 100, 96),
        linear(58, 38, 28),
        linear(58, 38, 27),
        linear(54, 74, 104),
        linear(236, 230, 226),
        linear(84, 116, 126),
        linear(244, 238, 224),
        linear(192, 106, 106),
        linear(126, 52, 50),
        linear(46, 29, 25),
    ]
).astype(np.float32)
PAINTS = ("lips", "lash", "inside", "scalp", "flush", "occlusion")  # vertex masks, in the order that the kernels read
P_LIPS, P_LASH, P_INSIDE, P_SCALP, P_FLUSH, P_OCCLUSION = range(6)


@numba.njit(cache=True, fastmath=True, inline="always")
def step(low, high, value):
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@numba.njit(cache=True, fastmath=True)
def _hash(i, j):
    h = np.uint32(i * 374761393 + j * 668265263)
    h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(1274126177))
    return np.float32((h ^ (h >> np.uint32(16))) & np.uint32(0xFFFF)) / np.float32(65535)


@numba.njit(cache=True, fastmath=True)
def noise(x, y):
    """Smooth value noise in [0, 1] with one knot a unit."""
    i, j = int(np.floor(x)), int(np.floor(y))
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    top = _hash(i, j) * (1 - u) + _hash(i + 1, j) * u
    return top * (1 - v) + (_hash(i, j + 1) * (1 - u) + _hash(i + 1, j + 1) * u) * v


@numba.njit(cache=True, fastmath=True, inline="always")
def _set(colour, palette, row, bright):
    for c in range(3):
        colour[c] = palette[row, c] * bright


@numba.njit(cache=True, fastmath=True, inline="always")
def _mix(colour, palette, row, bright, amount):
    for c in range(3):
        colour[c] += (palette[row, c] * bright - colour[c]) * amount


@numba.njit(cache=True, fastmath=True)
def _brow(x, above):
    """How much brow there is at |x| mm from the middle and mm above the eyes."""
    t = (x - 12) / 42
    if t < -0.1 or t > 1.05 or above < 8 or above > 36:
        return 0.0
    ridge = 18.5 + 9.0 * t - 11.0 * max(t - 0.62, 0.0) * (1 + 1.2 * t)  # rises, then falls after the arch
    half = (3.9 - 2.6 * t) * step(-0.1, 0.12, t)
    hairs = 0.75 + 0.5 * noise(x * 1.6 - above * 0.8, above * 0.5)
    return (1 - step(0.45, 1.25, abs(above - ridge) / max(half, 0.3) / hairs)) * (1 - step(0.9, 1.05, t))


@numba.njit(cache=True, fastmath=True)
def skin_colour(colour, palette, rest_x, rest_y, rest_z, paint, eye_y):
    """Skin with its flush, lips, lashes, brows, hair and clothes; returns its gloss."""
    x, above = abs(rest_x), eye_y - rest_y
    front = step(-20, -60, rest_z)
    neckline = 125 - 20 * step(-40.0, 50.0, rest_z)
    clothes = step(-0.5, 0.5, rest_y - neckline)
    if clothes >= 1:
        collar = 1 - 0.35 * step(4.6, 4.0, rest_y - neckline)
        _set(colour, palette, CLOTHES, collar * (0.85 + 0.3 * noise(rest_x * 1.3, (rest_y - rest_z) * 1.3)))
        return 0.0
    _set(colour, palette, SKIN, 0.96 + 0.08 * noise(rest_x * 0.9 + 9, rest_y * 0.9))
    _mix(colour, palette, FLUSH, 1.0, paint[P_FLUSH])
    lips = step(0.3, 0.75, paint[P_LIPS])
    _mix(colour, palette, LIPS, 1.0, 0.85 * lips)
    _mix(colour, palette, LASHES, 1.0, 0.9 * paint[P_LASH])
    if front > 0.5:
        _mix(colour, palette, BROWS, 1.0, 0.9 * _brow(x, above))
    _mix(colour, palette, MOUTH, 1.0, step(0.35, 0.8, paint[P_INSIDE]))
    hair = 0.0
    if paint[P_SCALP] > 0.01:
        turn = np.arctan2(rest_x, -(rest_z - 20)) * 26 + 0.25 * max(above - 40, 0)  # swept to one side
        strand = noise(turn * 1.4 + above * 0.05, above * 0.045 + 40)
        fine = noise(turn * 5 + above * 0.1, above * 0.06)
        hair = step(0.25, 0.75, paint[P_SCALP] + 0.35 * (strand * 0.5 + fine * 0.5 - 0.5))
        _mix(colour, palette, HAIR, 0.55 + 0.5 * strand + 0.45 * fine, hair)
    _mix(colour, palette, CLOTHES, 1.0, clothes)
    return (0.35 + 0.9 * lips) * (1 - clothes) * (1 - 0.5 * hair)


@numba.njit(cache=True, fastmath=True)
def eye_colour(colour, palette, x, y, z):
    """An eyeball at an offset in mm from its centre at rest, where it looks along -z; returns its gloss."""
    radius = np.sqrt(x * x + y * y) if z < 0 else 14.0
    _set(colour, palette, EYE_WHITE, 1.0)
    _mix(colour, palette, GUMS, 1.0, 0.3 * step(8.5, 13.5, radius))
    if radius < 6.6:
        fibres = 0.75 + 0.5 * noise(np.arctan2(y, x) * 9 + 30, radius * 0.5)
        bright = fibres * (0.75 + 0.5 * step(5.0, 2.2, radius))
        _mix(colour, palette, IRIS, bright, 1 - step(5.6, 6.2, radius))
        _mix(colour, palette, LASHES, 0.4, 0.75 * step(4.8, 5.8, radius) * (1 - step(5.8, 6.5, radius)))
        _mix(colour, palette, LASHES, 0.08, 1 - step(2.1, 2.6, radius))
    return 3.0


@numba.njit(cache=True, fastmath=True)
def teeth_colour(colour, palette, x, root, z):
    """A row of teeth, `root` mm beyond the gum line: ivory, thin gaps along the arch, gums; returns its gloss."""
    along = np.arctan2(x, -(z + 48)) * 42 / 7.4
    gap = abs(along - np.round(along))  # the middle of the row is a gap
    _set(colour, palette, TEETH, 1.0)
    _mix(colour, palette, GUMS, 0.4, 0.6 * (1 - step(0.02, 0.1, gap)))
    _mix(colour, palette, GUMS, 1.0, step(-0.7, 0.7, root + 0.9 * (0.5 - 2 * gap)))
    return 1.2


@numba.njit(cache=True, fastmath=True)
def tongue_colour(colour, palette):
    """The tongue; returns its gloss."""
    _set(colour, palette, GUMS, 1.0)
    return 0.6
