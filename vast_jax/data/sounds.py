"""Synthetic sounds and channels that no labelled speech comes with: noise, music, rooms, telephones. All 16 kHz.

None of the channels delays the speech, so that labels stay true.
"""

import numpy as np
from scipy.signal import oaconvolve

from vast_jax.audio import SAMPLE_RATE

TELEPHONE = (300.0, 3400.0)  # Hz
MU = 255  # of G.711
_SCALE = np.array([0, 2, 3, 5, 7, 8, 10])  # semitones, natural minor
_TABLE = 512  # points of one period of an instrument


def coloured_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit power whose spectrum falls by 0 (white) to 9 dB an octave, float32 [n_samples]."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples, np.float32))
    spectrum *= np.arange(1, len(spectrum) + 1, dtype=np.float32) ** -rng.uniform(0, 1.5)
    return unit_power(np.fft.irfft(spectrum, n_samples))


def music(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Music of unit power: one to four instruments of random timbre and, mostly, drums, float32 [n_samples]."""
    beat = SAMPLE_RATE * 60 / rng.uniform(60, 180)
    key, out = rng.uniform(33, 57), np.zeros(n_samples)
    for _ in range(rng.integers(1, 5)):
        out += rng.uniform(0.3, 1) * _voice(n_samples, beat, key + 12 * rng.integers(0, 3), rng)
    if rng.random() < 0.6:
        for start in np.arange(rng.uniform(0, beat), n_samples, beat / rng.choice([1, 2])).astype(int):
            stroke = np.arange(min(n_samples - start, SAMPLE_RATE // 5)) / SAMPLE_RATE
            fade = np.exp(-stroke / rng.uniform(0.01, 0.06))
            out[start : start + len(fade)] += rng.uniform(0.2, 1) * rng.standard_normal(len(fade)) * fade
    return unit_power(out)


def _voice(n_samples: int, beat: float, key: float, rng: np.random.Generator) -> np.ndarray:
    """Notes of one instrument: a random wave form, each note with its attack and decay."""
    length = beat * rng.choice([0.5, 1, 2, 4])
    starts = np.arange(-rng.uniform(0, length), n_samples, length)
    degrees = rng.integers(0, len(_SCALE) * 2, len(starts))
    midi = key + _SCALE[degrees % len(_SCALE)] + 12 * (degrees // len(_SCALE))
    time = np.arange(n_samples)
    note = np.searchsorted(starts, time, side="right") - 1
    since = (time - starts[note]) / SAMPLE_RATE
    pitch = 440 * 2 ** ((midi[note] - 69) / 12)
    pitch = pitch * (1 + rng.uniform(0, 0.01) * np.sin(2 * np.pi * rng.uniform(4, 7) * time / SAMPLE_RATE))
    harmonics = np.arange(1, 1 + rng.integers(2, 25))
    harmonics = harmonics[harmonics * pitch.max() < SAMPLE_RATE / 2]
    weights = harmonics ** -rng.uniform(0.5, 2.5) * rng.uniform(0.1, 1, len(harmonics))
    phases = 2 * np.pi * (np.outer(np.arange(_TABLE) / _TABLE, harmonics) + rng.random(len(harmonics)))
    table = np.append(wave := np.sin(phases) @ weights, wave[0])
    envelope = np.minimum(since / rng.uniform(0.003, 0.1), 1) * np.exp(-since / rng.uniform(0.1, 3))
    return envelope * np.interp(np.cumsum(pitch / SAMPLE_RATE) % 1 * _TABLE, np.arange(_TABLE + 1), table)


def reverberate(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`speech` [n] in a room: the direct sound and exponentially decaying echoes after it, at the same level."""
    decay = rng.uniform(0.1, 0.7)  # seconds until the echoes are 60 dB down
    time = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    response = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay)
    response[: int(rng.uniform(0.001, 0.01) * SAMPLE_RATE)] = 0  # before the first wall answers
    response *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt(np.square(response).sum())
    response[0] = 1
    wet = oaconvolve(speech, response)[: len(speech)]
    return (wet * np.sqrt(np.square(speech).sum() / (np.square(wet).sum() + 1e-12))).astype(np.float32)


def band_pass(speech: np.ndarray, low: float, high: float) -> np.ndarray:
    """What of `speech` [n] lies between two frequencies in Hz, 24 dB an octave beyond them, without delay."""
    hertz = np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE)
    gain = 1 / np.sqrt(1 + (low / np.maximum(hertz, 1)) ** 8) / np.sqrt(1 + (hertz / high) ** 8)
    return np.fft.irfft(np.fft.rfft(speech) * gain, len(speech)).astype(np.float32)


def mu_law(speech: np.ndarray, bits: int = 8) -> np.ndarray:
    """`speech` after G.711's logarithmic quantisation to `bits`."""
    steps = 2 ** (bits - 1) - 1
    coded = np.round(steps * np.log1p(MU * np.minimum(np.abs(speech), 1)) / np.log1p(MU)) / steps
    return (np.sign(speech) * np.expm1(coded * np.log1p(MU)) / MU).astype(np.float32)


def telephone(speech: np.ndarray) -> np.ndarray:
    """`speech` through a telephone: 300 to 3400 Hz, 8 bits."""
    return mu_law(band_pass(speech, *TELEPHONE))


def unit_power(sound: np.ndarray) -> np.ndarray:
    """`sound` scaled to a mean square of 1, float32."""
    return (sound / np.sqrt(np.mean(np.square(sound)) + 1e-12)).astype(np.float32)
