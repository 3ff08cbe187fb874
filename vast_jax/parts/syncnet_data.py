"""Examples for SyncNet: a second and a half of a mouth and its sound, drawn so that nobody drowns the others."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import cv2
import numpy as np

from vast_jax import audio
from vast_jax.data import augmentation, sounds
from vast_jax.data.clips import Clip
from vast_jax.data.pipeline import Example
from vast_jax.face.mouth_crop import mouth_crops
from vast_jax.models.syncnet_input import grey, level
from vast_jax.parts.style_data import shares, usable

AROUND = 40  # frames of sound on either side that level and colour are taken from, as from a whole clip when measuring
_SHIFT, _SCALE, _TURN = 4.0, 0.10, 5.0  # pixels, share, degrees


def clip_crops(clip: Clip) -> np.ndarray:
    """Mouth crops of a prepared clip, [N, 96, 96, 3] uint8."""
    return mouth_crops(clip.frames(), clip.track.landmarks)


def suitable(clips: Sequence[Clip], frames: int, left_out: Sequence[str] = ()) -> list[Clip]:
    """The clips with speech, a face in most frames and at least `frames` of them, but for names that fit `left_out`."""
    long = [clip for clip in usable(clips) if len(clip) >= frames]
    return [clip for clip in long if not any(fnmatchcase(clip.name, pattern) for pattern in left_out)]


class Examples:
    """Makes {"frames" [T, 96, 96] uint8 grey, "sound" [2T, 80] float32} of one time in one clip, both distorted.

    Crops stay in memory once made: 9 kilobytes a frame, 830 megabytes an hour.
    """

    def __init__(self, clips: Sequence[Clip], window: int, grid_share: float):
        self.clips, self.window, self.share = list(clips), window, shares(clips, grid_share)
        self._crops: dict[str, np.ndarray] = {}

    def __call__(self, _index: int, rng: np.random.Generator) -> Example:
        clip = self.clips[rng.choice(len(self.clips), p=self.share)]
        start = int(rng.integers(len(clip) - self.window + 1))
        if clip.name not in self._crops:
            self._crops[clip.name] = grey(clip_crops(clip))
        frames = distort_pictures(self._crops[clip.name][start : start + self.window], rng)
        return {"frames": frames, "sound": self._sound(clip, start, rng)}

    def _sound(self, clip: Clip, start: int, rng: np.random.Generator) -> np.ndarray:
        first, last = max(0, start - AROUND), min(len(clip), start + self.window + AROUND)
        speech = clip.speech_int16[first * audio.SAMPLES_PER_FRAME : last * audio.SAMPLES_PER_FRAME] / np.float32(32768)
        if rng.random() < 0.6:
            loudness = np.sqrt(np.mean(np.square(speech))) * 10 ** (-rng.uniform(5, 40) / 20)
            speech = speech + sounds.coloured_noise(len(speech), rng) * np.float32(loudness)
        speech = np.clip(speech * np.float32(10 ** (rng.uniform(-12, 12) / 20)), -1, 1)
        fbank = audio.log_fbank(speech)
        sound = level(augmentation.colour(fbank, fbank.mean(0), rng))
        return sound[2 * (start - first) : 2 * (start - first + self.window)]


def distort_pictures(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T, H, W] uint8 mirrored, moved, softened, lit otherwise and made noisy; every frame alike but for the noise."""
    height, width = frames.shape[1:]
    angle, scale = np.radians(rng.uniform(-_TURN, _TURN)), 1 + rng.uniform(-_SCALE, _SCALE)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    mirror = rng.choice([-1.0, 1.0])
    turn = np.array([[mirror * cosine, -sine], [mirror * sine, cosine]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.c_[turn, middle + rng.uniform(-_SHIFT, _SHIFT, 2) - turn @ middle]
    softness = rng.uniform(0.3, 1.8) if rng.random() < 0.5 else 0.0
    gamma, slope = np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(-0.4, 0.4, 2)
    at = np.linspace(-0.5, 0.5, height)[:, None] * slope[0] + np.linspace(-0.5, 0.5, width) * slope[1]
    light = np.float32(255 * np.exp(at + rng.uniform(-0.4, 0.3)))
    noise = rng.uniform(0, 6) if rng.random() < 0.5 else 0.0
    table = (np.linspace(0, 1, 256) ** gamma).astype(np.float32)
    out = np.empty_like(frames)
    for index, frame in enumerate(frames):
        frame = cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if softness:
            frame = cv2.GaussianBlur(frame, (0, 0), softness)
        lit = table[frame] * light
        if noise:
            lit = lit + rng.standard_normal(lit.shape, np.float32) * np.float32(noise)
        out[index] = np.clip(lit, 0, 255)
    return out
