import librosa
import numpy as np
import pytest
import scipy.signal

from vast_jax import audio
from vast_jax.audio import ppg_windows


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(seconds * audio.SAMPLE_RATE))).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "rate", "frames"), [(0, 16000, 0), (1, 16000, 1), (640, 16000, 1), (641, 16000, 2), (44100, 44100, 25)]
)
def test_video_is_never_shorter_than_its_speech(samples, rate, frames):
    assert audio.video_frames(samples, rate) == frames


def test_runs_of_one_value():
    assert audio.runs(np.array([3, 3, 0, 3, 5, 5, 5])) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 7)]
    assert audio.runs(np.array([True])) == [slice(0, 1)] and audio.runs(np.zeros(0, int)) == []


def test_fit_pads_with_silence_and_trims():
    signal = np.ones(1000, np.float32)
    padded = audio.fit(signal, 2)
    assert padded.shape == (1280,) and padded[:1000].all() and not padded[1000:].any()
    assert audio.fit(signal, 1).shape == (640,)


def test_filters_are_librosas():
    window, filters = audio._filters()
    oracle = librosa.filters.mel(
        sr=audio.SAMPLE_RATE, n_fft=audio.FFT, n_mels=audio.MELS, fmin=20, fmax=8000, htk=True, norm=None
    )
    np.testing.assert_allclose(filters.T, oracle, atol=1e-6)
    np.testing.assert_allclose(window, librosa.filters.get_window("hann", audio.WINDOW), atol=1e-6)
    assert filters.sum(0).min() > 0  # no empty band


def test_fbank_is_librosas_melspectrogram_padded_by_hand():
    signal = audio.fit(speech_like(0.4), 10)
    padded = np.pad(signal, (audio.WINDOW - audio.HOP) // 2)
    frames = librosa.util.frame(padded, frame_length=audio.WINDOW, hop_length=audio.HOP).T
    power = np.abs(np.fft.rfft(frames * np.hanning(audio.WINDOW + 1)[:-1], audio.FFT)) ** 2
    oracle = librosa.filters.mel(
        sr=audio.SAMPLE_RATE, n_fft=audio.FFT, n_mels=audio.MELS, fmin=20, fmax=8000, htk=True, norm=None
    )
    np.testing.assert_allclose(audio.log_fbank(signal), np.log(np.maximum(power @ oracle.T, 1e-6)), atol=1e-3)


@pytest.mark.parametrize("frame", [0, 7, 19])
def test_frame_is_centred(frame):
    signal = np.zeros(10 * audio.SAMPLES_PER_FRAME, np.float32)
    signal[round((frame + 0.5) * audio.HOP)] = 1
    energy = audio.log_fbank(signal).mean(1)
    assert len(energy) == 20 and energy.argmax() == frame
    np.testing.assert_allclose(energy[[max(frame - 2, 0) if frame else 5]], np.log(audio.FLOOR), rtol=1e-6)


def test_mel_is_librosas():
    window, mel = audio._mel_filters()
    np.testing.assert_allclose(window, scipy.signal.get_window("hann", 400), atol=1e-6)
    np.testing.assert_allclose(mel.T, librosa.filters.mel(sr=16000, n_fft=400, n_mels=80), atol=1e-6)
    signal = 0.1 * np.random.default_rng(0).standard_normal(640 * 5).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=np.pad(signal, (40, 400)), sr=16000, n_fft=400, hop_length=160, n_mels=80, center=False
    )[:, :20]
    np.testing.assert_allclose(audio.log_mel(signal), np.log(np.maximum(power, audio.FLOOR)).T, atol=2e-3)
    assert audio.log_mel(signal[:0]).shape == (0, 80)
    with pytest.raises(ValueError, match="whole number"):
        audio.log_mel(signal[:-1])


def test_mel_frame_is_centred():
    signal = np.zeros(640 * 4, np.float32)
    signal[1600] = 1.0  # at 100 ms: the middle of frame 9
    loud = audio.log_mel(signal).mean(-1)
    assert loud.argmax() == 9 and loud[8] == pytest.approx(loud[10], abs=0.05)


def test_silence_is_silence_whatever_surrounds_it():
    signal = np.concatenate([speech_like(1), np.zeros(16000, np.float32), 100 * speech_like(1)])
    fbank = audio.log_fbank(signal)
    np.testing.assert_allclose(fbank[51:99], np.log(audio.FLOOR), rtol=1e-6)


def test_rounding_to_16_bits_stays_near_the_floor():
    dither = np.round(np.random.default_rng(0).uniform(-1, 1, 640 * 25)) / 32768
    assert audio.log_fbank(dither.astype(np.float32)).mean() < np.log(audio.FLOOR) + 3


def test_fbank_of_pieces_is_that_of_the_whole(monkeypatch):
    signal = audio.fit(speech_like(2), 50)
    whole = audio.log_fbank(signal)
    monkeypatch.setattr(audio, "_FRAMES_AT_ONCE", 17)
    np.testing.assert_allclose(audio.log_fbank(signal), whole, atol=1e-5)
    np.testing.assert_allclose(audio.log_fbank(np.stack([signal, signal]))[1], whole, atol=1e-5)


def test_fbank_refuses_broken_frames():
    with pytest.raises(ValueError, match="fit"):
        audio.log_fbank(np.zeros(1000, np.float32))


def test_video_rate():
    x = np.arange(12.0).reshape(6, 2)
    np.testing.assert_allclose(audio.to_video_rate(x), [[1, 2], [5, 6], [9, 10]])
    np.testing.assert_allclose(audio.to_video_rate(x, "voca"), [[0, 1], [4, 5], [8, 9]])
    # VOCA's own way: linear interpolation at j / 25 of samples at i / 50
    at = np.arange(3) / 25
    np.testing.assert_allclose(audio.to_video_rate(x, "voca")[:, 0], np.interp(at, np.arange(6) / 50, x[:, 0]))


def test_phones_are_arpabet():
    assert len(audio.PHONES) == len(set(audio.PHONES)) == 41
    assert audio.PHONES[audio.SILENCE] == "SIL"


def test_ppg_windows_are_centred_and_repeat_the_ends():
    ppg = np.arange(5, dtype=np.float32)[:, None]
    windows = ppg_windows(ppg)
    assert windows.shape == (5, audio.PPG_FRAMES, 1)
    np.testing.assert_array_equal(windows[0, :, 0], [0, 0, 0, 0, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(windows[:, audio.PPG_FRAMES // 2], ppg)
