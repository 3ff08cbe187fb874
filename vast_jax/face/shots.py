"""Where a video is cut: a change from one frame to the next that no motion or flash around it explains."""

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

LOOK = 3  # frames before and after a cut that are compared: a flash of up to two frames is no cut
_THUMBNAIL = 24  # pixels, side
_PICTURE_CHANGE = 0.38  # of a thumbnail's contrast; different shots differ by 0.4 to 1.4
_FACE_CHANGE = 0.1  # of the face's size
_ABRUPT = 4.0  # times the usual change from frame to frame beside it: fast motion is no cut


def with_cuts(frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Each frame uint8 [H, W, 3], and whether a new shot begins with it; reads two frames ahead."""
    waiting: deque[tuple[np.ndarray, np.ndarray]] = deque()
    past: deque[np.ndarray] = deque(maxlen=LOOK)

    def judge() -> tuple[np.ndarray, bool]:
        cut = is_abrupt([*past], [thumbnail for _, thumbnail in waiting], _PICTURE_CHANGE)
        frame, thumbnail = waiting.popleft()
        past.append(thumbnail)
        return frame, cut

    for frame in frames:
        waiting.append((frame, _thumbnail(frame)))
        if len(waiting) == LOOK:
            yield judge()
    while waiting:
        yield judge()


def face_jumps(landmarks: np.ndarray, seen: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Where a face [N, 478, 3] is suddenly elsewhere and stays there, in the same setting: a cut that the picture
    hardly shows. `size` [N] is the face's, pixels. Returns [N] bool; only frames next to each other are compared.
    """
    jumps = np.zeros(len(seen), bool)
    steps = np.linalg.norm(np.diff(landmarks[..., :2].mean(1), axis=0), axis=1)
    near = seen[1:] & seen[:-1]
    for i in np.flatnonzero(near & (steps > _FACE_CHANGE / 2 * size[1:])) + 1:
        before, after = (
            [landmarks[k, :, :2].ravel() / (size[i] * np.sqrt(landmarks.shape[1])) for k in frames if seen[k]]
            for frames in (range(max(i - LOOK, 0), i), range(i, min(i + LOOK, len(seen))))
        )
        jumps[i] = len(before) == len(after) == LOOK and is_abrupt(before, after, _FACE_CHANGE)
    return jumps


def is_abrupt(before: list[np.ndarray], after: list[np.ndarray], least: float) -> bool:
    """Whether even the nearest of `before` and `after` differ by `least`, and by far more than neighbours do."""
    if not before or not after:
        return False
    change = min(float(np.linalg.norm(a - b)) for a in after for b in before)
    if change < least:
        return False
    usual = [float(np.linalg.norm(side[k + 1] - side[k])) for side in (before, after) for k in range(len(side) - 1)]
    # The median, for another cut may be near; at the ends of a video, where there is less to compare, be careful.
    typical = np.median(usual) if len(usual) == 2 * (LOOK - 1) else max(usual, default=0.0)
    return change > _ABRUPT * float(typical)


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """What the picture shows, whatever its brightness: [3 * 24 * 24] float32 of norm about one."""
    small = cv2.resize(frame, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), 1.0)
    small -= small.mean((0, 1))
    return small.ravel() / ((small.std() + 4) * np.sqrt(small.size))
