"""What SyncNet sees and hears: grey pictures, a levelled log filter bank at 50 Hz, or the original's MFCC at 100 Hz."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.fft import dct

from vast_jax.audio import SAMPLE_RATE, SAMPLES_PER_FRAME, log_fbank
from vast_jax.types import Array

WINDOW = 5  # video frames that an embedding sees, with the sound of the same 0.2 s
FEATURES_PER_FRAME = {"small": 2, "original": 4}  # sound features a video frame: 50 and 100 a second
PICTURE_SIZE = {"small": 96, "original": 224}  # pixels: a mouth crop in grey; a face in colour
RANGE = 12.0  # nats below the loudest that count: 52 dB, so that a room's noise is silence
CEPSTRA = 13
_SPREAD = 1.5  # nats, about the deviation of speech
_LENGTH, _HOP, _FFT, _BANDS = 400, 160, 512, 26  # samples: 25 and 10 ms; mel bands up to 8 kHz
_PREEMPHASIS, _LIFTER = 0.97, 22


def windows(x_BxTxC: Float[Array, "B T *C"], length: int, hop: int) -> Array:
    """[B, T, ...] to [B, W, length, ...]: every `hop`-th window."""
    count = (x_BxTxC.shape[1] - length) // hop + 1
    return jnp.stack([x_BxTxC[:, k : k + hop * (count - 1) + 1 : hop] for k in range(length)], axis=2)


def grey(crops: np.ndarray) -> np.ndarray:
    """[..., H, W, 3] uint8 RGB to [..., H, W] uint8 luma."""
    luma = crops @ np.array([77, 150, 29], np.uint32)
    return ((luma + 128) >> 8).astype(np.uint8)


def features(speech: np.ndarray) -> np.ndarray:
    """[640 T] float in [-1, 1] at 16 kHz -> [2T, 80] float32, whatever the level and colour of the recording.

    Digital silence is all 0.
    """
    return level(log_fbank(speech))


def level(fbank: np.ndarray) -> np.ndarray:
    """A log filter bank [2T, 80] held at 52 dB below its loudest, less each band's mean."""
    fbank = np.maximum(fbank, np.quantile(fbank, 0.999) - RANGE)
    return ((fbank - fbank.mean(0)) / _SPREAD).astype(np.float32)


def mfcc(speech: np.ndarray) -> np.ndarray:
    """[640 T] float in [-1, 1] at 16 kHz -> [4T, 13] float32: mel cepstrum with log energy, as the original's.

    The conventions are python_speech_features': 16-bit amplitudes, pre-emphasis 0.97, rectangular windows of 25 ms
    every 10 ms, 512-point power spectra, 26 mel triangles, orthonormal DCT-II, lifter 22, and log energy in place of
    the first coefficient. The end is padded with silence to a 4T-th frame, which the original lacks.
    """
    if len(speech) % SAMPLES_PER_FRAME:
        raise ValueError(f"{len(speech)} samples are no whole number of video frames: call audio.fit first")
    signal = np.asarray(speech, np.float64) * 32768
    signal = np.append(signal[:1], signal[1:] - _PREEMPHASIS * signal[:-1])
    padded = np.pad(signal, (0, _LENGTH - _HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _LENGTH)[::_HOP]
    power = np.square(np.abs(np.fft.rfft(frames, _FFT))) / _FFT
    tiny = np.finfo(np.float64).eps
    bands = np.maximum(power @ _triangles().T, tiny)
    cepstrum = dct(np.log(bands), norm="ortho")[:, :CEPSTRA]
    cepstrum *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
    cepstrum[:, 0] = np.log(np.maximum(power.sum(1), tiny))
    return cepstrum.astype(np.float32)


@functools.cache
def _triangles() -> np.ndarray:
    """[26, 257] mel triangles between whole FFT bins."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _BANDS + 2) / 2595) - 1)
    low, middle, high = (np.floor((_FFT + 1) * hertz / SAMPLE_RATE)[k : k + _BANDS, None] for k in range(3))
    bins = np.arange(_FFT // 2 + 1)
    rising, falling = (bins - low) / np.maximum(middle - low, 1), (high - bins) / np.maximum(high - middle, 1)
    return np.where(bins < middle, rising, falling).clip(0) * (bins >= low)
