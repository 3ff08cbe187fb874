"""What real recordings add to clean speech, to train the acoustic model on: pace, level, noise, silence, colour."""

import numpy as np

from vast_jax.audio import FLOOR, HOP, SAMPLES_PER_FRAME, SILENCE
from vast_jax.data.labels import Utterance

PACE = 0.12  # share by which speech is played faster or slower, pitch with it: other vocal tracts
LEVEL = (-22.0, 8.0)  # dB: quiet recordings are common, and the features are not normalised
SNR = (3.0, 40.0)  # dB
TILT = 6.0  # dB over the whole band, either way: other microphones
WARP = 0.06  # share by which the mel axis is stretched


def cut(utterance: Utterance, n_frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window of `n_frames` video frames at a random pace: float32 [640 n_frames], labels uint8 [2 n_frames].

    Beyond the utterance there is digital silence, labelled so.
    """
    pace = 1 + rng.uniform(-PACE, PACE)
    samples, labels = n_frames * SAMPLES_PER_FRAME, 2 * n_frames
    spare = len(utterance.speech) - samples * pace
    start = rng.uniform(0, spare) if spare > 0 else rng.uniform(spare, 0)
    at = start + np.arange(samples) * pace
    speech = np.interp(at, np.arange(len(utterance.speech)), utterance.speech / np.float32(32768), left=0, right=0)
    label_at = np.floor((start + (np.arange(labels) + 0.5) * HOP * pace) / HOP).astype(int)
    inside = (label_at >= 0) & (label_at < len(utterance.labels))
    picked = utterance.labels[np.clip(label_at, 0, len(utterance.labels) - 1)]
    return speech.astype(np.float32), np.where(inside, picked, SILENCE).astype(np.uint8)


def distort(speech: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Another level, coloured noise, and now and then a stretch of silence (digital, or filled by the noise)."""
    speech, labels = speech * np.float32(10 ** (rng.uniform(*LEVEL) / 20)), labels.copy()
    level = np.sqrt(np.mean(np.square(speech))) + 1e-6
    noise = np.zeros_like(speech)
    if rng.random() < 0.7:
        noise = coloured_noise(len(speech), rng) * np.float32(level * 10 ** (-rng.uniform(*SNR) / 20))
    silent = slice(0, 0)
    if rng.random() < 0.2:
        length = rng.integers(5, max(6, len(labels) // 2)) if rng.random() < 0.9 else len(labels)
        start = rng.integers(0, len(labels) - length + 1)
        silent = slice(start * HOP, (start + length) * HOP)
        labels[start : start + length] = SILENCE
        speech = speech.copy()
        speech[silent] = 0
    if rng.random() < 0.5:
        noise[silent] = 0
    return np.clip(speech + noise, -1, 1), labels


def coloured_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit power whose spectrum falls by 0 (white) to 9 dB an octave, float32 [n_samples]."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples, np.float32))
    spectrum *= np.arange(1, len(spectrum) + 1, dtype=np.float32) ** -rng.uniform(0, 1.5)
    noise = np.fft.irfft(spectrum, n_samples).astype(np.float32)
    return noise / np.sqrt(np.mean(np.square(noise)) + 1e-12)


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
