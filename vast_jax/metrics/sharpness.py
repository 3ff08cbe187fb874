"""Sharpness of a frame without a reference: the cumulative probability of blur detection (CPBD).

Source: Narvekar and Karam, "A no-reference image blur metric based on the cumulative probability of blur detection
(CPBD)", TIP 2011; widths of edges after Marziliano et al., "A no-reference perceptual blur metric", ICIP 2002. What the
papers leave open is settled here: see `cpbd`.
"""

import cv2
import numba
import numpy as np

BLOCK = 64  # pixels
EDGE_BLOCK = 0.002  # share of edge pixels above which a block counts
BETA = 3.6
WIDTH_JNB = (5.0, 3.0)  # pixels, width of the edge whose blur is just noticed: at a low and at a high contrast
LOW_CONTRAST = 50  # grey levels, up to here
DETECTED = 63  # per cent: the probability at the just noticeable blur
_CANNY_SIGMA = 2**0.5
_CANNY_NO_EDGE, _CANNY_LOW = (
    0.7,
    0.4,
)  # the high threshold is this quantile of the gradient, the low one this part of it
_SOBEL = 2.0  # vertical edges: gradients above so many times their root mean square
_SLOPE = np.tan(np.pi / 8)  # an edge is vertical if its gradient is this close to horizontal


def cpbd(frame: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Share of a frame's vertical edges at which no blur is seen, in [0, 1]; NaN if there is no edge.

    An edge of width w in a block of contrast C (largest minus smallest grey) is seen as blurred with the probability
    1 - exp(-(w / w_JNB)^3.6), w_JNB = 5 px for C <= 50 and 3 px above; CPBD is the share of edges for which it is 63 %
    at most (whole per cent), hence of those no wider than w_JNB. Only whole blocks of 64 px count that have more than
    0.2 % of Canny's edge pixels (sigma sqrt 2, high threshold at the 70 % quantile of the gradient, low 0.4 of it). An
    edge pixel is a horizontal maximum of the Sobel gradient above twice its root mean square, whose gradient is within
    22.5 degrees of horizontal. Its width is the distance of the grey extrema on either side of it in its row: a step
    between two pixels has width 1. A flank counts once.

    Args:
      frame: uint8 [H, W, 3] RGB or [H, W] grey, 64 pixels or more each way.
      mask: bool [H, W], the edges to judge; none: all.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else np.ascontiguousarray(frame)
    if min(grey.shape) < BLOCK:
        raise ValueError(f"CPBD needs frames of {BLOCK} pixels or more, not {grey.shape[1]} x {grey.shape[0]}")
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, borderType=cv2.BORDER_REPLICATE) for way in ((1, 0), (0, 1)))
    rows, columns = (size // BLOCK for size in grey.shape)
    inside = slice(0, rows * BLOCK), slice(0, columns * BLOCK)
    blocks = (rows, BLOCK, columns, BLOCK)
    has_edges = (_canny(grey)[inside] > 0).reshape(blocks).mean((1, 3)) > EDGE_BLOCK
    tiles = grey[inside].reshape(blocks)
    contrast = tiles.max((1, 3)).astype(int) - tiles.min((1, 3))
    just_noticeable = np.where(contrast <= LOW_CONTRAST, *WIDTH_JNB)
    allowed = np.zeros(grey.shape, bool)
    allowed[inside] = has_edges.repeat(BLOCK, 0).repeat(BLOCK, 1)
    if mask is not None:
        allowed &= mask
    strength = np.abs(across)
    allowed &= (strength > _SOBEL * np.sqrt(np.square(across).mean())) & (np.abs(down) <= _SLOPE * strength)
    y, x, width = _edge_widths(grey, across, allowed)
    if not len(width):
        return float("nan")
    blurred = 1 - np.exp(-((width / just_noticeable[y // BLOCK, x // BLOCK]) ** BETA))
    return float((np.round(100 * blurred) <= DETECTED).mean())


def _canny(grey: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(grey, (0, 0), _CANNY_SIGMA, borderType=cv2.BORDER_REPLICATE)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_16S, *way, borderType=cv2.BORDER_REPLICATE) for way in ((1, 0), (0, 1)))
    magnitude = cv2.magnitude(dx.astype(np.float32), dy.astype(np.float32)).ravel()
    high = np.partition(magnitude, int(_CANNY_NO_EDGE * magnitude.size))[int(_CANNY_NO_EDGE * magnitude.size)]
    high = max(float(high), 1.0)  # most of the frame is flat
    return cv2.Canny(dx, dy, _CANNY_LOW * high, high, L2gradient=True)


@numba.njit(cache=True, nogil=True)
def _edge_widths(grey, gradient, allowed):
    """Row, column and width of each edge: three [N] arrays. Where the row itself does not move there is none."""
    rows, columns = grey.shape
    found = np.empty((rows * columns, 3), np.int32)
    count = 0
    for y in range(rows):
        counted = 0  # up to this column: an edge has one width, however many maxima there are on its flank
        for x in range(1, columns - 1):
            if x < counted or not allowed[y, x]:
                continue
            here = abs(gradient[y, x])
            if here <= abs(gradient[y, x - 1]) or here < abs(gradient[y, x + 1]):
                continue
            sign = 1 if gradient[y, x] > 0 else -1
            left = right = x
            while left > 0 and sign * (np.int32(grey[y, left]) - np.int32(grey[y, left - 1])) > 0:
                left -= 1
            while right < columns - 1 and sign * (np.int32(grey[y, right + 1]) - np.int32(grey[y, right])) > 0:
                right += 1
            if right > left:
                found[count, 0], found[count, 1], found[count, 2] = y, x, right - left
                count += 1
                counted = right
    return found[:count, 0].copy(), found[:count, 1].copy(), found[:count, 2].copy()
