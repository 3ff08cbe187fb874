import dataclasses

import numpy as np
import pytest
from footage import made_up_clip

from vast_jax.data.clips import encode_jpeg
from vast_jax.face.model import load_face_model
from vast_jax.parts.renderer_preflight import measure, preflight, weaknesses


@pytest.fixture(scope="module")
def clip():
    return made_up_clip(frames=12)


def changed(clip, **fields):
    return dataclasses.replace(clip, track=clip.track._replace(**fields))


def test_length_speech_and_size_are_the_clips(clip):
    valid = np.ones(12, bool)
    valid[:3] = False
    mute = dataclasses.replace(changed(clip, valid=valid, crop=np.float32([0, 0, 128])), has_speech=False)
    figures = measure([clip, mute, mute], load_face_model())
    assert figures["seconds"] == pytest.approx(30 / 25)
    assert figures["with_speech"] == pytest.approx(12 / 30)
    assert figures["magnified"] == 2


def test_pose_is_in_degrees_whichever_way_the_head_turns(clip):
    angles = np.radians(np.linspace(-20, 20, 12))
    for axis, turned, still in ((1, "yaw_degrees", "pitch_degrees"), (0, "pitch_degrees", "yaw_degrees")):
        rotation = np.zeros((12, 3), np.float32)
        rotation[:, axis] = angles
        figures = measure([changed(clip, rotation=rotation)], load_face_model())
        assert figures[turned] == pytest.approx(36, abs=0.1) and figures[still] < 0.1  # nine tenths of 40 degrees


def test_mouth_and_eyes_are_seen_to_move(clip):
    model = load_face_model()
    expression = np.zeros_like(clip.track.expression)
    still = measure([changed(clip, expression=expression)], model)
    assert still["eyes_shut"] == 0
    expression[5] = clip.track.expression[5]
    expression[5, [model.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]] = 1
    assert measure([changed(clip, expression=expression)], model)["eyes_shut"] > 0.9
    points = clip.track.landmarks.copy()
    points[6:, 61, 0] -= 15
    wider = measure([changed(clip, landmarks=points)], model)
    assert wider["mouth_widens"] > measure([clip], model)["mouth_widens"] + 0.05


def test_light_is_the_faces(clip):
    shades = [np.full((256, 256, 3), 40 + 10 * t, np.uint8) for t in range(12)]
    figures = measure([dataclasses.replace(clip, jpegs=[encode_jpeg(shade) for shade in shades])], load_face_model())
    assert figures["brightness"] == pytest.approx(95, abs=1)
    assert figures["brightness_varies"] == pytest.approx(10 * np.std(range(12)), abs=1)


def test_weaknesses_are_said_and_good_footage_has_none(clip, tmp_path):
    lines = preflight([clip], load_face_model(), tmp_path)
    assert any("under 20 s" in line for line in lines) and lines[0].startswith("footage  0 s of s1 in 1 clip,")
    assert (tmp_path / "preflight.png").is_file() and "under 20 s" in (tmp_path / "preflight.md").read_text()
    good = dict(
        seconds=60, yaw_degrees=9, pitch_degrees=7, mouth_opens=0.15, mouth_widens=0.16, mouth_narrows=0.15,
        eyes_shut=0.9, brightness=136, brightness_varies=1, magnified=0.9, cpbd=0.27, with_speech=1,
    )  # fmt: skip
    assert weaknesses(good) == [] and set(good) == set(measure([clip], load_face_model()))
    assert len(weaknesses(good | {"brightness": 20, "yaw_degrees": 60})) == 2
