"""The lip-sync protocol on embeddings whose shift is known, and the figures that say how far to trust it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from vast_jax.audio import SAMPLES_PER_FRAME
from vast_jax.metrics import sync, sync_assessment
from vast_jax.metrics.sync import MAX_SHIFT, Sync, compare


def embeddings(count: int, late: int, seed: int = 0, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and sounds [count, 64] where what is seen in window i is heard in window i + late."""
    rng = np.random.default_rng(seed)
    events = rng.normal(size=(count + 60, 64))
    seen = events[30 : 30 + count]
    heard = events[30 - late : 30 - late + count] + noise * rng.normal(size=(count, 64))
    return tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in (seen, heard))


@pytest.mark.parametrize("late", [-15, -4, 0, 1, 9, 15])
def test_the_offset_is_the_frames_that_the_sound_is_late(late):
    found = compare(*embeddings(71, late))
    assert found.offset == late and found.confidence > 0.5
    assert found.distance == found.curve[late + MAX_SHIFT] == found.curve.min()
    assert found.confidence == pytest.approx(np.median(found.curve) - found.curve.min())


def test_a_shift_is_the_mean_over_the_windows_that_have_sound():
    pictures, sounds = embeddings(40, 2)
    curve = compare(pictures, sounds, scale=2.0).curve
    for shift in (-15, -1, 0, 7):
        pairs = [(i, i + shift) for i in range(40) if 0 <= i + shift < 40]
        expected = 2 * np.mean([np.sqrt(np.square(pictures[i] - sounds[j]).sum()) for i, j in pairs])
        assert curve[shift + MAX_SHIFT] == pytest.approx(expected)


def test_shifts_that_leave_less_than_half_of_the_sound_are_left_out():
    curve = compare(*embeddings(21, 3)).curve
    assert np.flatnonzero(np.isfinite(curve)).tolist() == list(range(MAX_SHIFT - 10, MAX_SHIFT + 11))
    assert compare(*embeddings(21, 3)).offset == 3


class Flashes:
    """A stand-in for SyncNet: a picture's brightness and a sound's level, in the middle of each window."""

    unrelated = 2.0

    def pictures(self, crops):
        return self._unit(crops[:, 0, 0, 0].astype(float))

    def sounds(self, speech):
        return self._unit(np.abs(speech.reshape(-1, SAMPLES_PER_FRAME)).mean(1) * 255)

    def _unit(self, x):
        x = x[2:-2] * (np.pi / 2 / 255)
        return np.stack([np.cos(x), np.sin(x)], 1)


def flashing(frames: int, late: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bright = rng.integers(0, 256, frames).astype(np.uint8)
    speech = np.repeat(bright / np.float32(255), SAMPLES_PER_FRAME).astype(np.float32)
    return np.broadcast_to(bright[:, None, None, None], (frames, 96, 96, 3)), sync_assessment.move(speech, late)


class FlashingClip:
    """A clip of 60 frames that flash as they sound."""

    track = SimpleNamespace(landmarks=None)

    def __init__(self, name: str, seed: int):
        self.name, (self.crops, self.speech) = name, flashing(60, seed=seed)

    def __len__(self) -> int:
        return len(self.crops)

    def frames(self) -> np.ndarray:
        return self.crops


@pytest.mark.parametrize("late", [-3, 0, 5])
def test_moved_sound_is_measured_in_frames_and_in_the_model_s_unit(late):
    found = sync.measure(Flashes(), *flashing(60, late))
    assert found.offset == late and found.distance < 0.1
    assert np.nanmedian(found.curve) == pytest.approx(compare(*_both(60, late)).confidence * 5, rel=0.05)


def _both(frames, late):
    crops, speech = flashing(frames, late)
    return Flashes().pictures(crops), Flashes().sounds(speech)


def test_clips_that_cannot_be_measured_are_refused():
    crops, speech = flashing(24)
    with pytest.raises(ValueError, match="24 frames is too short"):
        sync.measure(Flashes(), crops, speech)
    crops, speech = flashing(30)
    with pytest.raises(ValueError, match="19200 samples"):
        sync.measure(Flashes(), crops, speech[:-1])


def test_moving_keeps_the_length_and_lets_silence_in():
    speech = np.arange(1, 4 * SAMPLES_PER_FRAME + 1)
    later, earlier = sync_assessment.move(speech, 1), sync_assessment.move(speech, -1)
    assert len(later) == len(earlier) == len(speech)
    assert not later[:SAMPLES_PER_FRAME].any() and later[SAMPLES_PER_FRAME] == 1
    assert earlier[0] == SAMPLES_PER_FRAME + 1 and not earlier[-SAMPLES_PER_FRAME:].any()


def test_area_under_the_curve_counts_pairs():
    assert sync_assessment.area_under_curve([3, 1], [2, 0]) == 0.75
    assert sync_assessment.area_under_curve([1, 1], [1, 1]) == 0.5


def test_figures_of_known_trials():
    def found(offset, distance, confidence):
        return Sync(offset, distance, confidence, np.array([distance, distance + confidence]))

    good = sync_assessment.Trial("a", 75, found(0, 1, 2), {-3: found(-3, 1, 2), 3: found(4, 1, 2)}, found(7, 2, 0.5))
    bad = sync_assessment.Trial("b", 75, found(2, 3, 1), {-3: found(9, 1, 2), 3: found(5, 1, 2)}, found(1, 4, 1.5))
    figures = sync_assessment.figures([good, bad], unrelated=5.0)
    assert figures["clips"] == 2 and figures["offset_within_1"] == 0.5 and figures["moved_within_1"] == 0.5
    assert figures["confidence_auc"] == 0.75 and figures["distance_auc"] == 0.75
    assert figures["distance"] == 4.0 and figures["other_confidence"] == 2.0


def test_people_of_the_training_are_known_and_those_left_out_unseen(monkeypatch):
    def clip(name, person, frames=75, has_speech=True):
        speech = [0] * frames
        return type("C", (), dict(name=name, person=person, has_speech=has_speech, __len__=lambda self: len(speech)))()

    train = [clip("grid/s1/a", "s1"), clip("grid/others/b", "b"), clip("grid/others/c", "c")]
    held_out = [clip("grid/s1/d", "s1"), clip("grid/s1/e", "s1"), clip("x/y/f", "f"), clip("x/y/short", "g", 49)]
    held_out.append(clip("x/y/silent", "h", 75, False))
    splits = {"train": train, "held_out": held_out}
    monkeypatch.setattr(sync_assessment, "open_clips", lambda data_dir, split: splits[split])
    groups = sync_assessment.groups("data", ("grid/others/*",))
    assert {name: [c.name for c in clips] for name, clips in groups.items()} == {
        "known": ["grid/s1/d", "grid/s1/e"],
        "unseen": ["x/y/f", "grid/others/b", "grid/others/c"],
    }
    assert set(sync_assessment.groups("data")) == {"known"}  # one unseen clip has no other to be compared with


def test_the_command_says_its_figures(monkeypatch, tmp_path, capsys):
    model = Flashes()
    model.card, model.module = {"left_out": []}, SimpleNamespace(layout="small")
    monkeypatch.setattr(sync_assessment, "load_sync", lambda path: model)
    clips = [FlashingClip(f"a/b/{seed}", seed) for seed in range(3)]
    monkeypatch.setattr(sync_assessment, "mouth_crops", lambda frames, landmarks: frames)
    monkeypatch.setattr(sync_assessment, "groups", lambda data_dir, left_out: {"known": clips})
    sync_assessment.main(["--data", str(tmp_path), "--out", str(tmp_path / "out.json")])
    said = capsys.readouterr().out
    assert "known: clips 3, offset_within_1 1" in said and "confidence_auc 1" in said
    told = json.loads((tmp_path / "out.json").read_text())
    assert {name: clip["frames"] for name, clip in told["clips"].items()} == {f"a/b/{seed}": 60 for seed in range(3)}
    assert told["clips"]["a/b/0"]["offset_moved_+3"] == 3  # what is moved is found where it was moved to
