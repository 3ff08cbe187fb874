"""What can be wrong with a clip beyond its track: sound that is not the mouth's, and blurred pictures."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.audio import SAMPLES_PER_FRAME
from vast_jax.data.clips import Clip
from vast_jax.face.mouth_crop import mouth_crops
from vast_jax.media import FPS
from vast_jax.metrics.sharpness import cpbd
from vast_jax.metrics.sync import LEAST, load_sync, measure

LONGEST = 60 * FPS  # frames about the middle of a clip that are looked at: time and memory stay bounded
MAX_OFFSET = 2  # frames that the sound may be late or early
MIN_CONFIDENCE = 1.0  # of footage in step 1.4 and more, but for faces half turned away
MIN_SHARPNESS = 0.1


class Quality(NamedTuple):
    """Scores of a clip; None where there is no speech, or no edge."""

    sync_offset: int | None = None  # frames that the sound is late, see metrics.sync
    sync_confidence: float | None = None
    sharpness: float | None = None  # CPBD of the face, the median over a frame a second


def quality(clip: Clip) -> Quality:
    """Looks at the middle of a clip, at most a minute of it."""
    start = max(len(clip) - LONGEST, 0) // 2
    stop = min(start + LONGEST, len(clip))
    offset = confidence = None
    if clip.has_speech and stop - start >= LEAST:
        pictures = mouth_crops(clip.frames(start, stop), clip.track.landmarks[start:stop])
        sync = measure(_sync_model(), pictures, clip.speech[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME])
        offset, confidence = sync.offset, round(sync.confidence, 2)
    scores = [_face_sharpness(clip, index) for index in range(start + FPS // 2, stop, FPS)]
    known = [score for score in scores if np.isfinite(score)]
    return Quality(offset, confidence, round(float(np.median(known)), 3) if known else None)


def doubts(found: Quality) -> Iterator[str]:
    """What to look at before training on a clip, in words; the thresholds are the names above."""
    if found.sync_confidence is not None:
        if found.sync_confidence < MIN_CONFIDENCE:
            yield f"lips and sound hardly agree (confidence {found.sync_confidence:.1f})"
        elif abs(found.sync_offset) > MAX_OFFSET:
            yield f"the sound is {abs(found.sync_offset)} frames {'late' if found.sync_offset > 0 else 'early'}"
    if found.sharpness is not None and found.sharpness < MIN_SHARPNESS:
        yield f"blurred (sharpness {found.sharpness:.2f})"


def _face_sharpness(clip: Clip, index: int) -> float:
    frame = clip.frame(index)
    mask = np.zeros(frame.shape[:2], np.uint8)
    hull = cv2.convexHull(clip.track.landmarks[index, :, :2].astype(np.float32))
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1)
    return cpbd(frame, mask.astype(bool))


@functools.cache
def _sync_model():
    return load_sync()  # one a process
