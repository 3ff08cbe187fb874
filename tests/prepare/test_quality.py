import dataclasses

import cv2
import numpy as np
from footage import made_up_clip

from vast_jax.data.clips import encode_jpeg
from vast_jax.metrics.sync import Sync
from vast_jax.prepare import quality as module
from vast_jax.prepare.quality import Quality, doubts, quality


def test_the_middle_is_measured_with_its_own_sound(monkeypatch):
    clip = made_up_clip(frames=60)
    clip = dataclasses.replace(clip, speech_int16=np.repeat(np.arange(60, dtype=np.int16), 640))
    seen = []

    def measure(model, pictures, speech):
        seen.append((len(pictures), speech[0] * 32768, len(speech)))
        return Sync(-3, 5.0, 2.004, np.zeros(31))

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "_sync_model", lambda: None)
    monkeypatch.setattr(module, "LONGEST", 40)
    found = quality(clip)
    assert seen == [(40, 10, 40 * 640)]  # frames 10 to 49
    assert (found.sync_offset, found.sync_confidence) == (-3, 2.0)
    silent = quality(dataclasses.replace(clip, has_speech=False))
    assert silent[:2] == (None, None) and len(seen) == 1


def test_a_blurred_face_is_less_sharp():
    clip = made_up_clip(frames=26)
    clip = dataclasses.replace(clip, has_speech=False)
    blurred = [encode_jpeg(cv2.GaussianBlur(clip.frame(i), (0, 0), 4)) for i in range(26)]
    sharp, soft = quality(clip).sharpness, quality(dataclasses.replace(clip, jpegs=blurred)).sharpness
    assert sharp > 2 * soft and not list(doubts(Quality(sharpness=sharp)))


def test_doubts():
    assert not list(doubts(Quality())) and not list(doubts(Quality(2, 1.0, 0.1)))
    assert list(doubts(Quality(-3, 2.0, 0.3))) == ["the sound is 3 frames early"]
    (words,) = doubts(Quality(12, 0.4, 0.3))
    assert words == "lips and sound hardly agree (confidence 0.4)"  # then the offset says nothing
    assert list(doubts(Quality(0, 2.0, 0.05))) == ["blurred (sharpness 0.05)"]
