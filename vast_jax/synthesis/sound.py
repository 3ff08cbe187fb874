"""A made-up voice in step with the phones: harmonics with formants, noise for fricatives, bursts for stops."""

from typing import NamedTuple

import numpy as np

from vast_jax.audio import SAMPLE_RATE
from vast_jax.synthesis.speech import SILENCE, Phone


class _Timbre(NamedTuple):
    voice: float  # loudness of the harmonics
    noise: float  # loudness of the noise
    formants: tuple[float, float, float] = (500.0, 1500.0, 2500.0)  # Hz
    band: tuple[float, float] = (1500.0, 6000.0)  # Hz, of the noise
    gap: float = 0.0  # share of the phone that is silent, at its start


def _vowel(*formants: float) -> _Timbre:
    return _Timbre(1.0, 0.0, formants)


# Formants of male American vowels, Peterson and Barney, "Control methods used in a study of the vowels", 1952.
_TIMBRES = {
    "AA": _vowel(730, 1090, 2440),
    "AE": _vowel(660, 1720, 2410),
    "AH": _vowel(640, 1190, 2390),
    "AO": _vowel(570, 840, 2410),
    "EH": _vowel(530, 1840, 2480),
    "ER": _vowel(490, 1350, 1690),
    "IH": _vowel(390, 1990, 2550),
    "IY": _vowel(270, 2290, 3010),
    "OW": _vowel(480, 900, 2400),
    "UH": _vowel(440, 1020, 2240),
    "UW": _vowel(300, 870, 2240),
    "M": _Timbre(0.35, 0, (250, 1100, 2200)),
    "N": _Timbre(0.35, 0, (250, 1500, 2500)),
    "L": _Timbre(0.6, 0, (360, 1200, 2700)),
    "R": _Timbre(0.6, 0, (330, 1100, 1600)),
    "W": _Timbre(0.6, 0, (300, 700, 2200)),
    "B": _Timbre(0.25, 0.1, (250, 900, 2200), (300, 2000), 0.5),
    "D": _Timbre(0.25, 0.2, (250, 1700, 2600), (2500, 5000), 0.5),
    "G": _Timbre(0.25, 0.2, (250, 1900, 2300), (1500, 3000), 0.5),
    "P": _Timbre(0, 0.25, band=(300, 2500), gap=0.6),
    "T": _Timbre(0, 0.4, band=(3000, 7000), gap=0.6),
    "K": _Timbre(0, 0.35, band=(1500, 3500), gap=0.6),
    "F": _Timbre(0, 0.25, band=(1500, 7500)),
    "TH": _Timbre(0, 0.2, band=(1500, 7500)),
    "S": _Timbre(0, 0.6, band=(4000, 7500)),
    "SH": _Timbre(0, 0.6, band=(2000, 5500)),
    "HH": _Timbre(0, 0.25, band=(500, 3000)),
    "CH": _Timbre(0, 0.6, band=(2000, 5500), gap=0.4),
    "V": _Timbre(0.4, 0.15, (250, 1100, 2300), (1500, 7500)),
    "Z": _Timbre(0.35, 0.4, (250, 1600, 2500), (4000, 7500)),
    "JH": _Timbre(0.3, 0.4, (250, 1700, 2400), (2000, 5500), 0.4),
    SILENCE: _Timbre(0, 0),
}
_BANDWIDTH = np.array([80.0, 110.0, 160.0])  # Hz, of the formants
_RAMP = 0.012  # seconds, from one phone to the next
_PEAK = 0.5


def voice(phones: tuple[Phone, ...], seconds: float, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """The sound float32 [SAMPLE_RATE * seconds] in [-1, 1] of `phones` said by a voice of about `pitch` Hz."""
    count = round(SAMPLE_RATE * seconds)
    time = np.arange(count) / SAMPLE_RATE
    timbres = [_TIMBRES[phone.name] for phone in phones]
    loud = [_envelope(phone, timbre, time) for phone, timbre in zip(phones, timbres, strict=True)]
    middle = np.array([(phone.start + phone.stop) / 2 for phone in phones])
    formants = [np.interp(time, middle, [timbre.formants[k] for timbre in timbres]) for k in range(3)]
    melody = 1 + 0.08 * np.sin(2 * np.pi * (0.7 * time + rng.random())) + 0.04 * np.sin(2 * np.pi * 2.3 * time)
    f0 = pitch * melody
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    voiced = np.zeros(count)
    for harmonic in range(1, int(4000 / pitch)):
        gain = sum(1 / (1 + ((harmonic * f0 - f) / b) ** 2) for f, b in zip(formants, _BANDWIDTH, strict=True))
        voiced += (0.03 + gain) / harmonic**0.5 * np.sin(harmonic * phase)
    sound = voiced * sum(timbre.voice * gain for timbre, gain in zip(timbres, loud, strict=True))
    spectrum, frequency = np.fft.rfft(rng.normal(size=count)), np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    for band in sorted({timbre.band for timbre in timbres if timbre.noise}):
        hiss = np.fft.irfft(spectrum * ((frequency >= band[0]) & (frequency < band[1])), count)
        gains = (t.noise * gain for t, gain in zip(timbres, loud, strict=True) if t.noise and t.band == band)
        sound += 1.5 * hiss * sum(gains)
    return (sound * _PEAK / max(np.abs(sound).max(), 1e-9)).astype(np.float32)


def _envelope(phone: Phone, timbre: _Timbre, time: np.ndarray) -> np.ndarray:
    """1 within the sounding part of a phone, with ramps half inside and half outside."""
    start = phone.start + timbre.gap * (phone.stop - phone.start)
    inside = np.minimum(time - start, phone.stop - time)
    return np.clip(inside / _RAMP + 0.5, 0, 1)
