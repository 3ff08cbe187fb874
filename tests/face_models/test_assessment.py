"""The figures of a track against cases whose answer is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from footage import made_up_clip

from vast_jax.data import builders
from vast_jax.face.landmarks import INNER_LIPS
from vast_jax.face.model import load_face_model
from vast_jax.face.overlay import landmarks_in_camera
from vast_jax.face.rasterise import camera_of, project
from vast_jax.face_models import assessment
from vast_jax.types import UserError

MODEL = replace(load_face_model(), detector_bias=None)  # whose landmarks are taken as they come


@pytest.fixture
def clip():
    """A clip whose landmarks are exactly those of its own fitted face, talking."""
    clip = made_up_clip(frames=75)
    time = np.arange(75) / 25
    clip.track.expression[:] = 0
    clip.track.expression[:, MODEL.expression_names.index("jawOpen")] = 0.2 + 0.2 * np.sin(2 * np.pi * time)
    blink = [MODEL.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    clip.track.expression[:, blink] = np.exp(-(((time - 1.5) / 0.1) ** 2))[:, None]
    return _with_own_landmarks(clip)


def _with_own_landmarks(clip):
    points = project(landmarks_in_camera(MODEL, clip.track), camera_of(clip.track))
    clip.track.landmarks[:] = points
    return clip


def test_a_perfect_track_scores_perfectly(clip):
    figures, _ = assessment.assess(MODEL, clip)
    assert figures["residual"] < 1e-3 and figures["lips"] < 1e-3
    assert figures["gap"] == pytest.approx(1, abs=1e-4) and figures["slope"] == pytest.approx(1, abs=1e-3)
    assert figures["blink"] == pytest.approx(1, abs=1e-4)
    assert figures["calm"] < 0.2  # jaw nearly shut, eyes open


def test_a_shift_of_two_pixels_is_a_residual_of_two(clip):
    clip.track.landmarks[..., 0] += 2
    figures, _ = assessment.assess(MODEL, clip)
    assert figures["residual"] == pytest.approx(2, abs=1e-3) and figures["lips"] == pytest.approx(2, abs=1e-3)
    assert figures["gap"] == pytest.approx(1, abs=1e-4)


def test_half_the_movement_is_half_the_slope(clip):
    upper, lower = INNER_LIPS
    middle = clip.track.landmarks[:, [upper, lower]].mean(1, keepdims=True)
    clip.track.landmarks[:, [upper, lower]] = middle + 2 * (clip.track.landmarks[:, [upper, lower]] - middle)
    assert assessment.assess(MODEL, clip)[0]["slope"] == pytest.approx(0.5, abs=1e-3)


def test_jitter_is_the_deviation_of_white_noise():
    clip = made_up_clip(frames=75)
    clip.track.expression[:] = 0.1
    rng = np.random.default_rng(0)
    clip.track.translation[:] = [0, 0, 400]
    clip.track.translation[:, :2] += rng.normal(0, 0.2, (75, 2))
    _with_own_landmarks(clip)
    pixels = 0.2 * 1.2 * 256 / 330  # at the depth of the face
    mean_length = pixels * np.sqrt(np.pi / 2)  # of a difference in two directions
    # The stillest fifth of the frames is measured, so the figure is below the deviation, but of its size.
    assert 0.1 * mean_length < assessment.assess(MODEL, clip)[0]["jitter"] < mean_length


def test_closings_are_the_least_gap_near_the_word(clip):
    shut = round(0.75 * 25)  # the jaw is shut three quarters through its period
    _, closings = assessment.assess(MODEL, clip, [(shut, "bin"), (shut, "lay"), (6, "place"), (74, "at the end b")])
    assert len(closings) == 2
    assert closings[0] < 0.6 * closings[1]


def test_retrieval_counts_people_with_two_clips_only():
    identities = np.array([[1, 0.1], [1, 0], [0, 1], [-1, 0.0]])
    assert assessment.retrieval(identities, ["a", "a", "b", "c"]) == (1.0, 2)
    assert assessment.retrieval(identities, ["a", "b", "a", "c"]) == (0.5, 2)
    assert np.isnan(assessment.retrieval(identities, list("abcd"))[0])


def test_alignments_are_frames_of_the_clip(tmp_path):
    path = tmp_path / "x.align"
    path.write_text("0 12000 sil\n12000 20000 bin\n20000 30000 sp\n30000 90000 blue\n")
    clip = made_up_clip(frames=60)
    assert assessment.read_alignment(path, clip) == [(12, "bin"), (30, "blue")]
    assert assessment.read_alignment(path, clip, start=20) == [(10, "blue")]


def test_the_command_prints_a_table_and_writes_figures(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(assessment, "load_face_model", lambda path: MODEL)
    builders.write_folder(tmp_path / "data" / "grid+s1", [clip])
    assessment.main(["--data", str(tmp_path / "data"), "--split", "all", "--json", str(tmp_path / "figures.json")])
    assert "grid+s1" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["grid+s1"]["residual"] < 0.01
    with pytest.raises(SystemExit):
        assessment.main(["--data", str(tmp_path / "data"), "--split", "held_out"])
    with pytest.raises(UserError, match="no held_out clips"):
        assessment.report(assessment.Args(tmp_path / "data"))


def test_opposites_count_where_both_act(clip):
    left, right = (MODEL.expression_names.index(name) for name in ("mouthLeft", "mouthRight"))
    expression = np.zeros((10, len(MODEL.expression_names)), np.float32)
    expression[:6, left], expression[4:, right] = 0.3, 0.2
    assert assessment.opposites_together(MODEL, expression) == pytest.approx(0.2)


def test_what_a_face_holds_is_told_by_one_clip_as_far_as_it_is(tmp_path, capsys):
    """A smile held through one clip of two; with as many clips as are compared the truth is the fit together."""
    held = made_up_clip("a/b/held", frames=30)
    smile = [MODEL.expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    held.track.expression[:, smile] = 0.7
    clips = [_with_own_landmarks(made_up_clip("a/b/neutral", frames=30)), _with_own_landmarks(held)]
    figures = assessment.held(MODEL, clips)
    assert 0.3 < figures["slope"] < 1.3 and figures["correlation"] > 0.8 and figures["neutral"] < figures["mean"]
    builders.write_folder(tmp_path / "a+b", clips)
    result = assessment.report(assessment.Args(tmp_path, split="all", rest=True))
    assert list(result) == ["a+b s1"] and "slope" in capsys.readouterr().out
    builders.write_folder(tmp_path / "a+b", clips[:1])
    with pytest.raises(UserError, match="two"):
        assessment.report(assessment.Args(tmp_path, split="all", rest=True))
