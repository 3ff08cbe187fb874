"""Made-up talkers: the jaw follows the speech, the smile the talker."""

import numpy as np

from vast_jax.data.clips import Clip
from vast_jax.face.model import load_face_model
from vast_jax.types import FaceTrack

FACE = load_face_model()
D, P = len(FACE.expression_names), 41
JAW, SMILE = (FACE.expression_names.index(name) for name in ("jawOpen", "mouthSmileLeft"))


def talker(name, person, smile, frames=75, seed=0, **fields):
    """A clip of `frames` frames; `fields` are the Clip's own."""
    rng = np.random.default_rng(seed)
    phones = np.repeat(rng.integers(0, P, frames // 5 + 1), 5)[:frames]
    expression = np.clip(rng.normal(0.1, 0.02, (frames, D)), 0, 1).astype(np.float32)
    expression[:, JAW] = 0.1 + 0.6 * (phones % 3 == 0)
    expression[:, SMILE] = smile + rng.normal(0, 0.02, frames)
    zeros = np.zeros((frames, 3), np.float32)
    track = FaceTrack(
        identity=np.zeros(len(FACE.identity_basis), np.float32), expression=expression, rotation=zeros,
        translation=zeros + np.float32([0, 0, 900]), gaze=np.zeros((frames, 4), np.float32),
        landmarks=np.zeros((frames, 478, 3), np.float32), valid=np.ones(frames, bool),
        crop=np.array([52, 52, 256], np.float32), source_size=np.array([360, 360]), focal=1080.0, fps=25.0,
        face_model=FACE.hash,
    )  # fmt: skip
    values = dict(
        name=name, person=person, fingerprint="", track=track, speech_int16=np.zeros(640 * frames, np.int16),
        has_speech=True, ppg=np.eye(P, dtype=np.float32)[phones], ppg_hash="an acoustic model", jpegs=[],
    )  # fmt: skip
    return Clip(**(values | fields))
