import numpy as np
import pytest

from vast_jax.audio import PHONES, SILENCE, log_fbank
from vast_jax.data.labels import UNLABELLED, Utterance
from vast_jax.parts import acoustic_report


def index(text: str) -> np.ndarray:
    return np.array([PHONES.index(phone) for phone in text.split()], np.uint8)


def test_every_phone_has_one_viseme():
    phones = [phone for group in acoustic_report.VISEMES for phone in group]
    assert sorted(phones) == sorted(PHONES)
    assert acoustic_report._VISEME[PHONES.index("M")] == acoustic_report._VISEME[PHONES.index("P")]


def test_accuracies():
    labels, heard = index("SIL P P AA AA T SIL SIL"), index("SIL P AA AA D D SIL T")
    labels[5] = UNLABELLED
    figures = acoustic_report._accuracy([(labels, heard)])
    assert figures["accuracy"] == pytest.approx(2 / 4)
    assert figures["near"] == pytest.approx(3 / 4)  # the third frame's phone is that of the fourth
    assert figures["viseme"] == pytest.approx(2 / 4)
    assert figures["silence"] == pytest.approx(2 / 3)
    alike = acoustic_report._accuracy([(index("P D"), index("M S"))])
    assert alike["viseme"] == 1 and alike["accuracy"] == 0 and "silence" not in alike


class Loudness:
    """Hears AA where it is loud, else silence."""

    def posteriors(self, signal: np.ndarray) -> np.ndarray:
        loud = log_fbank(signal).mean(-1) > -4
        out = np.zeros((len(loud), len(PHONES)), np.float32)
        out[loud, PHONES.index("AA")] = out[~loud, SILENCE] = 1
        return out


def test_robustness_and_sounds_without_speech():
    rng = np.random.default_rng(0)
    labels = np.repeat(index("SIL AA SIL AA SIL"), 20)
    speech = np.where(np.repeat(labels, 320) == SILENCE, 0, 3000 * rng.standard_normal(len(labels) * 320))
    utterance = Utterance("a/b", speech.astype(np.int16), labels)
    figures = acoustic_report.robustness(Loudness(), {"a": [utterance]})
    assert set(figures) >= {"clean", "noise_10db", "telephone", "half_level", "double_level", "pace_0.85", "pace_1.15"}
    assert figures["clean"] > 0.95 and figures["pace_0.85"] > 0.9 and figures["pace_1.15"] > 0.9
    assert acoustic_report.without_speech(Loudness())["digital_silence"] == 1
