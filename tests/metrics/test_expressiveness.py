import itertools
from dataclasses import replace

import numpy as np
import pytest

from vast_jax.audio import SILENCE
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.metrics.expressiveness import (
    blink_spans,
    blinks_a_minute,
    count_blinks,
    diversity,
    frame_diversity,
    jitter,
    motion_in_silence,
    motion_stability,
    parameter_groups,
    sequence_diversity,
    silent_frames,
)


@pytest.fixture(scope="module")
def face() -> FaceModel:
    """The shipped head with two shapes: the first moves every vertex by 3 mm, the second those of the lips by 2 mm."""
    model = load_face_model()
    basis = np.zeros((2, *model.neutral.shape), np.float32)
    basis[0, :, 0], basis[1, model.regions["lips"], 1] = 3, -2
    return replace(model, expression_basis=basis, expression_names=("shift", "lips"))


def brute_force(frames) -> float:
    return np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(frames, 2)])


def test_groups_are_a_partition():
    groups = parameter_groups(load_face_model())
    assert sorted([*groups["strong"], *groups["weak"]]) == groups["all"].tolist()
    names = load_face_model().expression_names
    assert names.index("jawOpen") in groups["strong"] and names.index("eyeBlinkLeft") in groups["weak"]


def test_frame_diversity_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(20, 7))
    assert frame_diversity(frames) == pytest.approx(brute_force(frames), rel=1e-12)
    long = np.repeat([[0.0, 0.0], [3.0, 4.0]], 600, axis=0)  # more than are compared at once: half of the pairs are 5
    assert frame_diversity(long) == pytest.approx(5 * 600 * 600 / (1200 * 1199 / 2), rel=1e-12)
    assert np.isnan(frame_diversity(frames[:1]))


def test_sequence_diversity_is_in_deviations_of_the_true_ones():
    rng = np.random.default_rng(0)
    true = [rng.normal(rng.normal(size=3), rng.uniform(0.5, 2), (30, 3)) for _ in range(6)]
    made = [0.5 * x[:25] for x in true]
    features, reference = (np.stack([[*x.mean(0), *x.std(0)] for x in group]) for group in (made, true))
    normed = (features - reference.mean(0)) / reference.std(0)
    assert sequence_diversity(made, true) == pytest.approx(brute_force(normed), rel=1e-9)
    still = [np.c_[x, np.ones(len(x))] for x in true]  # a parameter that never moves weighs nothing
    assert sequence_diversity(still, still) == pytest.approx(sequence_diversity(true, true), rel=1e-9)
    assert np.isnan(sequence_diversity(made[:1], true)) and np.isnan(sequence_diversity(made, [true[0]] * 3))


def test_dvt_is_free_of_the_number_of_parameters():
    rng = np.random.default_rng(0)
    narrow = [rng.normal(size=(15, 2)) for _ in range(3)]
    wide = [np.tile(x, 5) for x in narrow]
    groups = {"one": np.array([0]), "all": np.arange(2)}
    figures = diversity(narrow, narrow, groups)
    assert set(figures) == {f"dvt_{kind}_{group}" for kind in ("frame", "raw", "sequence") for group in groups}
    wider = diversity(wide, wide, {"all": np.arange(10)})
    assert wider["dvt_frame_all"] == pytest.approx(figures["dvt_frame_all"])
    assert wider["dvt_raw_all"] == pytest.approx(figures["dvt_raw_all"] * 5**0.5)
    assert figures["dvt_frame_all"] == pytest.approx(100 * np.mean([brute_force(x) for x in narrow]) / 2**0.5)
    assert figures["dvt_raw_one"] == pytest.approx(np.mean([brute_force(x[:, :1]) for x in narrow]))


def test_jitter_is_the_acceleration_in_millimetres(face):
    t = np.arange(10.0)
    steady = np.stack([0.5 * t, 0 * t], 1)
    assert jitter(face, steady, "face") == pytest.approx(0, abs=1e-5)
    assert jitter(face, 0.25 * np.stack([t**2, 0 * t], 1), "face") == pytest.approx(0.25 * 2 * 3, rel=1e-5)
    lips = face.regions["lips"][face.regions["face"]].mean()
    assert jitter(face, np.stack([0 * t, (-1) ** t], 1), "face") == pytest.approx(4 * 2 * lips, rel=1e-5)
    assert np.isnan(jitter(face, steady[:2], "face"))


def test_motion_stability_is_one_over_the_variance(face):
    rng = np.random.default_rng(0)
    shake = np.stack([np.zeros(50), rng.normal(size=50)], 1)
    acceleration = np.convolve(shake[:, 1], [1, -2, 1], "valid")
    assert motion_stability(face, shake, "face") == pytest.approx(1 / (4 * acceleration.var()), rel=1e-4)
    assert motion_stability(face, 0.1 * shake, "lips") == pytest.approx(
        100 * motion_stability(face, shake, "lips"), 1e-3
    )
    assert np.isnan(motion_stability(face, np.zeros((9, 2))))


def sound(levels_db) -> np.ndarray:
    """A tone of 40 ms for each level, dB of full scale."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(640) / 16000) * 2**0.5
    return np.concatenate([10 ** (level / 20) * tone for level in levels_db])


def test_silence_needs_both_the_level_and_the_phone():
    levels = np.full(20, -20.0)
    levels[5:18] = -40
    ppg = np.full((20, 41), 1e-3)
    ppg[:, SILENCE] = 0.9
    ppg[10, SILENCE] = 0.3
    expected = np.zeros(20, bool)
    expected[[*range(5, 10), *range(11, 18)]] = True
    np.testing.assert_array_equal(silent_frames(sound(levels), ppg, margin=0), expected)
    expected[:] = False
    expected[[7, 13, 14, 15]] = True
    np.testing.assert_array_equal(silent_frames(sound(levels), ppg, margin=2), expected)
    assert not silent_frames(sound(levels), margin=0).any()  # alone, 20 dB are not enough
    levels[15:] = -55
    np.testing.assert_array_equal(silent_frames(sound(levels), margin=1), np.arange(20) >= 16)  # none taken off the end


def test_digital_silence_is_silent():
    assert silent_frames(np.zeros(640 * 3)).all()


def test_motion_in_silence_is_the_speed_of_the_lips(face):
    expression = np.zeros((12, 2))
    expression[:, 1] = [0, 9, 5, 5, 5.2, 5.4, 5.6, 5.8, 0, 0, 0.5, 0.5]
    silent = np.zeros(12, bool)
    silent[[3, 4, 5, 6, 7, 9]] = True
    assert motion_in_silence(face, expression, silent) == pytest.approx(0.2 * 2 * 25, rel=1e-4)
    assert np.isnan(motion_in_silence(face, expression, np.arange(12) % 2 == 0))


def test_blinks_are_counted_with_hysteresis():
    blink = [0.1, 0.6, 0.45, 0.55, 0.35, 0.52, 0.2]  # noise about either threshold is one blink
    assert count_blinks(blink) == 1 and count_blinks([*blink, 0, *blink]) == 2
    assert count_blinks([0.49] * 9) == 0
    assert count_blinks([0.9, 0.9, 0.1]) == 0  # shut from the first frame on
    assert count_blinks([0.1, 0.9, 0.9]) == 1  # cut off by the end
    assert count_blinks([0, *[1] * 12, 0]) == 1 and count_blinks([0, *[1] * 13, 0]) == 0  # half a second at most
    assert count_blinks([0, *[1] * 13, 0, 1, 0]) == 1
    assert blink_spans([*blink, 0, *blink]) == [(1, 6), (9, 14)]


def test_blinks_a_minute_of_a_head():
    model = load_face_model()
    eyes = [model.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    expression = np.zeros((250, len(model.expression_names)))
    for start in (20, 90, 200):
        expression[start : start + 4, eyes] = 0.8
    assert blinks_a_minute(model, expression) == 18
    expression[:, eyes[0]] = 0  # a wink is half a blink: 0.4
    assert blinks_a_minute(model, expression) == 0
    assert np.isnan(blinks_a_minute(replace(model, expression_names=("x",) * len(model.expression_names)), expression))


def test_the_values_stay_what_they_were(face):
    expression = 0.1 * np.random.default_rng(0).random((2, 30, 2))
    figures = diversity(expression, expression[:, :20], {"all": np.arange(2), "first": np.array([0])})
    values = [*figures.values(), jitter(face, expression[0]), motion_stability(face, expression[0])]
    assert values == pytest.approx(
        [3.92181, 0.0554628, 2.19591, 3.32056, 0.0332056, 1.6607, 0.181772, 24.8774], rel=1e-4
    )
