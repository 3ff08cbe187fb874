"""What real recordings add to clean speech, to train the acoustic model on; labels stay true in time."""

import librosa
import numpy as np

from vast_jax.audio import FLOOR, HOP, NOISE, SAMPLES_PER_FRAME, SILENCE
from vast_jax.data import sounds
from vast_jax.data.labels import Utterance

PITCH = 0.12  # share by which speech is played faster or slower, pitch with it: other vocal tracts
PACE = 0.2  # share by which it is then stretched or squeezed at the same pitch
PACE_SHARE = 0.12  # of examples
LONGEST = 1 / ((1 - PITCH) * (1 - PACE))  # how much longer an utterance may become
LEVEL = (-22.0, 8.0)  # dB: quiet recordings are common, and the features are not normalised
SNR = (3.0, 40.0)  # dB
NOISE_SHARE = 0.7
MUSIC_SHARE = 0.1  # of examples have music instead of noise
REVERBERATION_SHARE = 0.3
TELEPHONE_SHARE = 0.1
NARROW_SHARE = 0.1  # lose what is above LOW_PASS, as codecs drop it
LOW_PASS = (3500.0, 7500.0)  # Hz
WORDLESS_SHARE = 0.25  # of examples have a stretch without speech
TILT = 6.0  # dB over the whole band, either way: other microphones
WARP = 0.06  # share by which the mel axis is stretched


def cut(utterance: Utterance, n_frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window of T = `n_frames` video frames at a random pitch and pace: float32 [640 T], labels uint8 [2T].

    Beyond the utterance there is digital silence, labelled so. One that lasts at most 1 / LONGEST of the window is
    whole in it.
    """
    pitch = 1 + rng.uniform(-PITCH, PITCH)
    pace = 1 + rng.uniform(-PACE, PACE) if rng.random() < PACE_SHARE else 1.0
    samples, labels = n_frames * SAMPLES_PER_FRAME, 2 * n_frames
    spare = len(utterance.speech) - samples * pitch * pace
    start = rng.uniform(0, spare) if spare > 0 else rng.uniform(spare, 0)
    at = start + np.arange(round(samples * pace)) * pitch
    first = max(0, int(start))
    heard = utterance.speech[first : int(at[-1]) + 2] / np.float32(32768)
    speech = np.interp(at - first, np.arange(len(heard)), heard, left=0, right=0)
    if pace != 1:
        speech = librosa.effects.time_stretch(speech.astype(np.float32), rate=pace, n_fft=512)
        speech = librosa.util.fix_length(speech, size=samples)
    label_at = np.floor((start + (np.arange(labels) + 0.5) * HOP * pitch * pace) / HOP).astype(int)
    inside = (label_at >= 0) & (label_at < len(utterance.labels))
    picked = utterance.labels[np.clip(label_at, 0, len(utterance.labels) - 1)]
    return speech.astype(np.float32), np.where(inside, picked, SILENCE).astype(np.uint8)


def distort(
    speech: np.ndarray, labels: np.ndarray, rng: np.random.Generator, wordless: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Another level, room, noise and channel for `speech` [320 T] with `labels` [T], and stretches without speech.

    Such a stretch, if `wordless` allows it, is silence, digital or filled by the noise (SIL), or music (NSN).
    """
    speech, labels = speech * np.float32(10 ** (rng.uniform(*LEVEL) / 20)), labels.copy()
    level = np.sqrt(np.mean(np.square(speech))) + 1e-6
    if rng.random() < REVERBERATION_SHARE:
        speech = sounds.reverberate(speech, rng)
    kind, noise = rng.random(), np.zeros_like(speech)
    if kind < MUSIC_SHARE + NOISE_SHARE:
        make = sounds.music if kind < MUSIC_SHARE else sounds.coloured_noise
        noise = make(len(speech), rng) * np.float32(level * 10 ** (-rng.uniform(*SNR) / 20))
    if wordless and rng.random() < WORDLESS_SHARE:
        length = rng.integers(5, max(6, len(labels) // 2)) if rng.random() < 0.8 else len(labels)
        start = rng.integers(0, len(labels) - length + 1)
        span = slice(start * HOP, (start + length) * HOP)
        labels[start : start + length] = SILENCE
        speech = speech.copy()
        speech[span] = 0
        filling = rng.random()
        if filling < 0.35:
            noise[span] = 0
        elif filling < 0.65:
            labels[start : start + length] = NOISE
            speech[span] = sounds.music(length * HOP, rng) * np.float32(level * 10 ** (rng.uniform(-12, 6) / 20))
    return channel(np.clip(speech + noise, -1, 1), rng), labels


def channel(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`speech` [n] as recorded, or through a telephone, or without what a codec drops and with its rounding."""
    kind = rng.random()
    if kind < TELEPHONE_SHARE:
        return sounds.telephone(speech)
    if kind < TELEPHONE_SHARE + NARROW_SHARE:
        speech = sounds.band_pass(speech, rng.uniform(0, 150), rng.uniform(*LOW_PASS))
        return sounds.mu_law(speech) if rng.random() < 0.3 else speech
    return speech


def colour(fbank: np.ndarray, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tilts and warps the spectrum of a log filter bank [T, 80] and hides some bands and moments (SpecAugment)."""
    frames, mels = fbank.shape
    scale = np.log(10) / 10
    bands = np.linspace(-0.5, 0.5, mels, dtype=np.float32)
    fbank = fbank + np.float32(rng.uniform(-TILT, TILT) * scale) * bands
    at = np.clip(np.arange(mels) * (1 + rng.uniform(-WARP, WARP)), 0, mels - 1)
    low = np.minimum(at.astype(int), mels - 2)
    share = (at - low).astype(np.float32)
    fbank = fbank[:, low] * (1 - share) + fbank[:, low + 1] * share
    fbank = np.maximum(fbank, np.float32(np.log(FLOOR)))
    for _ in range(2):
        width = rng.integers(0, mels // 8)
        start = rng.integers(0, mels - width)
        fbank[:, start : start + width] = mean[start : start + width]
        width = rng.integers(0, 8)
        start = rng.integers(0, frames - width)
        fbank[start : start + width] = mean
    return fbank
