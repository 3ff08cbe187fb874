import numpy as np
import pytest

from vast_jax import audio
from vast_jax.audio import PHONES, SILENCE, log_fbank
from vast_jax.data.labels import UNLABELLED, Utterance
from vast_jax.parts import acoustic_report


def index(text: str) -> np.ndarray:
    return np.array([PHONES.index(phone) for phone in text.split()], np.uint8)


def test_every_phone_has_one_viseme():
    phones = [phone for group in audio.VISEMES for phone in group]
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


def test_a_video_frame_is_right_with_either_half_and_near_with_its_neighbours():
    labels = index("M M M AA AA AA SIL SIL")  # video frames: M M, M AA, AA AA, nothing
    figures = acoustic_report._video_accuracy([(labels, index("M AA M SIL"))])
    assert figures == {"accuracy_video": 2 / 3, "near_video": 1, "near_video_phone": 1}
    figures = acoustic_report._video_accuracy([(labels, index("AA SIL SIL M"))])
    third = pytest.approx(1 / 3)  # silence, heard in the third, is said in the fourth
    assert figures == {"accuracy_video": 0, "near_video": pytest.approx(2 / 3), "near_video_phone": third}


def test_middles_of_phones():
    labels = index("SIL SIL P P P AA AA T SIL")
    labels[7] = UNLABELLED
    assert list(acoustic_report._middles(labels)) == [3, 6]


@pytest.mark.parametrize("hears_phones", [True, False])
def test_speakers_apart_from_phones(hears_phones):
    """Posteriors that tell only the phone, or only who speaks it."""
    phones, utterances, posteriors = index("P AA T IY"), [], []
    rng = np.random.default_rng(0)
    for voice in range(3):
        order = rng.permutation(np.tile(phones, 6))
        labels = np.repeat(order, 3)
        speech = rng.integers(-9, 9, len(labels) * 320).astype(np.int16)
        utterances.append(Utterance(f"a/{voice}-0", speech, labels))
        posteriors.append(np.eye(len(PHONES))[labels if hears_phones else np.full(len(labels), voice)])
    figures = acoustic_report.speaker_independence(utterances, posteriors)
    assert figures["apart_ppg"] == figures["retrieved_ppg"] == 1 if hears_phones else figures["apart_ppg"] == 0
    assert figures["retrieved_fbank"] < 0.6 and 0.3 < figures["apart_fbank"] < 0.7  # of noise: by chance
    assert acoustic_report.speaker_independence(utterances[:1], posteriors[:1]) == {}


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
    utterance = Utterance("a/b", speech.astype(np.int16), labels, index("AA AA"))
    figures = acoustic_report.robustness(Loudness(), {"a": [utterance]})
    assert set(figures) >= {"clean", "noise_10db", "telephone", "half_level", "double_level", "pace_0.85", "pace_1.15"}
    assert figures["clean"] > 0.95 and figures["pace_0.85"] > 0.9 and figures["pace_1.15"] > 0.9
    assert acoustic_report.without_speech(Loudness())["digital_silence"] == 1
