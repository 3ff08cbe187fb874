import numpy as np
import pytest

from vast_jax import audio
from vast_jax.data import augmentation, sounds
from vast_jax.data.labels import Utterance


def test_cut_follows_the_pitch(monkeypatch):
    labels = np.repeat(np.arange(40, dtype=np.uint8), 3)
    speech = np.repeat(labels.astype(np.int16) * 100, 320)
    monkeypatch.setattr(augmentation, "PACE_SHARE", 0)
    for seed in range(5):
        cut, cut_labels = augmentation.cut(Utterance("a", speech, labels), 20, np.random.default_rng(seed))
        assert cut.shape == (20 * 640,) and cut_labels.shape == (40,)
        heard = np.round(cut.reshape(40, 320)[:, 160] * 32768 / 100)
        assert np.abs(heard - cut_labels).max() <= 1


def test_beyond_the_utterance_is_silence():
    short = Utterance("a", np.full(640 * 4, 1000, np.int16), np.full(8, 5, np.uint8))
    speech, labels = augmentation.cut(short, 20, np.random.default_rng(0))
    still = speech.reshape(40, 320).any(1) == 0
    assert still.sum() > 25 and (labels[still] == audio.SILENCE).all() and (labels == 5).sum() >= 6


def test_distortion_keeps_labels_true():
    speech, labels = np.full(640 * 20, 0.1, np.float32), np.full(40, 5, np.uint8)
    for seed in range(20):
        out, new = augmentation.distort(speech, labels, np.random.default_rng(seed))
        assert np.isfinite(out).all() and np.abs(out).max() <= 1
        assert set(np.unique(new)) <= {5, audio.SILENCE, augmentation.NOISE}
    np.testing.assert_array_equal(labels, 5)


def test_colour_stays_on_the_floor_for_silence():
    silence, mean = audio.log_fbank(np.zeros(640 * 10, np.float32)), np.zeros(audio.MELS)
    out = augmentation.colour(silence, mean, np.random.default_rng(0))
    assert out.shape == silence.shape and out.min() >= np.log(audio.FLOOR) - 1e-5


def bursts(frames: int = 100, length: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A buzz that is on and off for `length` frames in turn, and labels that say so."""
    labels = np.where(np.arange(frames) % (2 * length) < length, 5, audio.SILENCE).astype(np.uint8)
    buzz = 0.1 * np.sign(np.sin(2 * np.pi * 150 * np.arange(frames * audio.HOP) / audio.SAMPLE_RATE))
    return (buzz * np.repeat(labels == 5, audio.HOP)).astype(np.float32), labels


def test_labels_follow_the_pace(monkeypatch):
    monkeypatch.setattr(augmentation, "PACE_SHARE", 1)
    speech, labels = bursts(300, 10)
    utterance = Utterance("a", np.round(speech * 32767).astype(np.int16), labels)
    for seed in range(5):
        cut, cut_labels = augmentation.cut(utterance, 60, np.random.default_rng(seed))
        assert cut.shape == (60 * 640,) and cut_labels.shape == (120,)
        heard = np.abs(cut.reshape(120, 320)).mean(1) > 0.02
        agree = [(np.roll(heard, shift)[3:-3] == (cut_labels == 5)[3:-3]).mean() for shift in (-2, -1, 0, 1, 2)]
        assert np.argmax(agree) == 2 and agree[2] > 0.85  # the vocoder smears edges, but moves none


@pytest.mark.parametrize(
    "change",
    [
        sounds.telephone,
        sounds.mu_law,
        lambda speech: sounds.band_pass(speech, 100, 5000),
        lambda speech: sounds.reverberate(speech, np.random.default_rng(0)),
    ],
    ids=["telephone", "mu_law", "band_pass", "reverberate"],
)
def test_channels_do_not_delay(change):
    speech, _ = bursts()
    lags = range(-40, 41)
    changed = change(speech)
    assert changed.dtype == np.float32 and changed.shape == speech.shape
    assert lags[np.argmax([changed @ np.roll(speech, lag) for lag in lags])] == 0
    assert 0.1 < np.square(changed).sum() / np.square(speech).sum() < 1.1


def test_mu_law_rounds_finely():
    speech = np.linspace(-1, 1, 1001)
    error = np.abs(sounds.mu_law(speech) - speech)
    assert error.max() < 0.03 and error[450:551].max() < 0.003


@pytest.mark.parametrize("make", [sounds.music, sounds.coloured_noise])
def test_sounds_are_seeded_and_of_unit_power(make):
    for seed in range(5):
        sound = make(3200, np.random.default_rng(seed))
        assert sound.dtype == np.float32 and sound.shape == (3200,)
        np.testing.assert_allclose(np.square(sound).mean(), 1, rtol=1e-3)
        np.testing.assert_array_equal(sound, make(3200, np.random.default_rng(seed)))


def test_stretches_without_speech_are_labelled(monkeypatch):
    monkeypatch.setattr(augmentation, "WORDLESS_SHARE", 1)
    monkeypatch.setattr(augmentation, "REVERBERATION_SHARE", 0)
    monkeypatch.setattr(augmentation, "NOISE_SHARE", -augmentation.MUSIC_SHARE)  # no noise
    monkeypatch.setattr(augmentation, "channel", lambda speech, rng: speech)
    speech, labels = np.full(320 * 40, 0.1, np.float32), np.full(40, 5, np.uint8)
    kinds = set()
    for seed in range(30):
        out, new = augmentation.distort(speech, labels, np.random.default_rng(seed))
        frames = out.reshape(40, 320)
        assert not frames[new == audio.SILENCE].any()
        np.testing.assert_array_equal(np.ptp(frames, axis=1) > 0, new == augmentation.NOISE)
        assert (frames[new == 5] > 0).all()
        kinds |= set(np.unique(new))
    assert kinds == {5, audio.SILENCE, augmentation.NOISE}
