"""Speech as numbers: log mel filter bank at 50 Hz and phonetic posteriorgrams (PPG) at the video's 25 Hz.

Every signal is first padded or trimmed to whole video frames, so the counts are exact: T video frames are 640 T samples
and 2T filter-bank frames, the i-th of them centred on (i + 0.5) * 20 ms. The step from 50 to 25 Hz happens here only.
"""

import functools
from itertools import pairwise
from typing import Literal

import numpy as np

FPS = 25  # video frames a second of everything inside the project
SAMPLE_RATE = 16000  # Hz
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640 of a video frame, 40 ms
WINDOW = 640  # samples, 40 ms, Hann
HOP = 320  # samples, 20 ms: 50 frames a second
FFT = 1024
MELS = 80
MEL_RANGE = (20.0, 8000.0)  # Hz
MEL_WINDOW, MEL_HOP = 400, 160  # samples of Whisper's features: 25 ms, 10 ms
PPG_FRAMES = 9  # of the PPG window around a frame: 0.36 s
FLOOR = 1e-6  # power; 16-bit rounding noise lies below it, so digital silence and a dithered one look alike
PHONES = (
    *("SIL", "NSN"),  # silence; a noise of the speaker (breath, cough)
    *("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"),
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG"),
    *("P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)  # ARPAbet without stress
VISEMES = (  # phones that look alike on the lips
    *(("SIL", "NSN"), ("P", "B", "M"), ("F", "V"), ("TH", "DH"), ("T", "D", "S", "Z", "N", "L")),
    *(("CH", "JH", "SH", "ZH"), ("K", "G", "NG", "HH"), ("Y", "IY", "IH"), ("EY", "EH", "AE")),
    *(("AA", "AH", "AY", "AW"), ("R", "ER"), ("W", "UW", "UH"), ("OW", "AO", "OY")),
)
SILENCE, NOISE = PHONES.index("SIL"), PHONES.index("NSN")
_FRAMES_AT_ONCE = 4096  # keeps the memory of an hour of speech flat


def video_frames(n_samples: int, rate: int) -> int:
    """Video frames that cover `n_samples` at `rate` Hz: ceil(25 n / rate)."""
    return -(-FPS * n_samples // rate)


def runs(values: np.ndarray) -> list[slice]:
    """The runs of one value in `values` [T], such as the phones in a row of labels: slices, one behind the other."""
    borders = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1), len(values)]
    return [slice(int(start), int(end)) for start, end in pairwise(borders) if end > start]


def fit(signal: np.ndarray, n_frames: int) -> np.ndarray:
    """`signal` [n] padded with zeros or trimmed to exactly the samples of `n_frames` video frames, [640 n_frames].

    A view where nothing is missing: ten minutes are 38 MB.
    """
    length = n_frames * SAMPLES_PER_FRAME
    return signal[:length] if len(signal) >= length else np.pad(signal, (0, length - len(signal)))


def _hann(length: int) -> np.ndarray:
    """Periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def _triangles(corners: np.ndarray, fft: int) -> np.ndarray:
    """Filters [fft / 2 + 1, n] that rise from one of `corners` [n + 2] in Hz to the next and fall to the one after."""
    hertz = np.linspace(0, SAMPLE_RATE / 2, fft // 2 + 1)[:, None]
    rising = (hertz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hertz) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


@functools.cache
def _filters() -> tuple[np.ndarray, np.ndarray]:
    """Hann window [640] and the triangles of librosa.filters.mel(htk=True, norm=None), [513, 80]."""
    low, high = (2595 * np.log10(1 + f / 700) for f in MEL_RANGE)
    corners = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    return _hann(WINDOW), _triangles(corners, FFT).astype(np.float32)


def _log_power(windows: np.ndarray, window: np.ndarray, mel: np.ndarray) -> np.ndarray:
    """Log mel power of `windows` [..., T, samples], [..., T, 80] float32, some at a time."""
    fft = 2 * (len(mel) - 1)
    out = np.empty((*windows.shape[:-1], MELS), np.float32)
    for start in range(0, windows.shape[-2], _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        power = np.square(np.abs(np.fft.rfft(windows[..., part, :] * window, fft)))
        out[..., part, :] = np.log(np.maximum(power @ mel, FLOOR))
    return out


def log_fbank(signal: np.ndarray) -> np.ndarray:
    """Natural log of the mel power spectrum, [..., 640 T] float in [-1, 1] -> [..., 2T, 80] float32.

    Frame i sees the 40 ms around (i + 0.5) * 20 ms; beyond its ends the signal is silence. There is no normalisation
    of level: digital silence is the constant log(1e-6) whatever comes before or after it, and frames depend on their
    own samples only.
    """
    if signal.shape[-1] % SAMPLES_PER_FRAME:
        raise ValueError(f"{signal.shape[-1]} samples are no whole number of video frames: call fit first")
    window, mel = _filters()
    edge = (WINDOW - HOP) // 2
    padded = np.pad(signal.astype(np.float32), [(0, 0)] * (signal.ndim - 1) + [(edge, edge)])
    if not signal.shape[-1]:
        return np.empty((*signal.shape[:-1], 0, MELS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=-1)[..., ::HOP, :]
    return _log_power(windows, window, mel)


@functools.cache
def _mel_filters() -> tuple[np.ndarray, np.ndarray]:
    """Hann window [400] and the triangles of librosa.filters.mel(n_mels=80), [201, 80]."""
    mel = np.linspace(0, 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4), MELS + 2)  # of Slaney
    corners = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    triangles = _triangles(corners, MEL_WINDOW) * 2 / (corners[2:] - corners[:-2])
    return _hann(MEL_WINDOW), triangles.astype(np.float32)


def log_mel(signal: np.ndarray) -> np.ndarray:
    """Natural log of Whisper's mel power spectrum (Radford et al. 2022), 100 a second: [640 T] -> [4T, 80] float32.

    Frame j sees the 25 ms around (j + 1) * 10 ms, so that frames 2i - 1 to 2i + 1 lie around the middle of frame i of
    `log_fbank`. As there, silence is the constant log(1e-6), and frames depend on their own samples only.
    """
    if len(signal) % SAMPLES_PER_FRAME:
        raise ValueError(f"{len(signal)} samples are no whole number of video frames: call fit first")
    window, mel = _mel_filters()
    before = MEL_WINDOW // 2 - MEL_HOP  # samples of the first window that lie before the signal
    padded = np.pad(signal.astype(np.float32), (before, MEL_WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEL_WINDOW)[::MEL_HOP]
    return _log_power(windows[: len(signal) // MEL_HOP], window, mel)


def to_video_rate(x: np.ndarray, mode: Literal["centre", "voca"] = "centre") -> np.ndarray:
    """From 50 to 25 Hz, [..., 2T, C] -> [..., T, C].

    "centre" interpolates at the middle of each video frame, which is the mean of its two frames; "voca" is what VOCA's
    interpolation at j / 25 against i / 50 comes to: frames 0, 2, 4, ...
    """
    return (x[..., 0::2, :] + x[..., 1::2, :]) / 2 if mode == "centre" else x[..., 0::2, :]


def ppg_windows(ppg: np.ndarray) -> np.ndarray:
    """PPG [N, A] to the windows around each frame, [N, PPG_FRAMES, A], a view; the ends repeat their frame."""
    reach = PPG_FRAMES // 2
    padded = np.pad(ppg, ((reach, reach), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, PPG_FRAMES, axis=0).swapaxes(1, 2)
