import builtins

import numpy as np
import pytest

from vast_jax.face import landmarks as lm
from vast_jax.face.following import follow_face
from vast_jax.media import read_frames
from vast_jax.types import UserError


def face_at(x, y, size=60.0):
    rng = np.random.default_rng(0)
    face = np.c_[rng.uniform(-0.5, 0.5, (478, 2)), np.zeros(478)] * size + [x, y, 0]
    face[33], face[263] = [x - size / 3, y, 0], [x + size / 3, y, 0]
    return face.astype(np.float32)


def test_crop_places_the_eyes_by_the_spec():
    clip = np.stack([face_at(400 + i, 300, 300) for i in range(5)])
    box = lm.crop_box(clip)
    inside = lm.to_crop(clip, box)
    corners = inside[2][list(lm.OUTER_EYE_CORNERS), :2]
    assert abs(np.linalg.norm(corners[1] - corners[0]) - lm.EYE_DISTANCE) < 0.2
    np.testing.assert_allclose(corners.mean(0), lm.EYE_MIDPOINT, atol=0.6)


@pytest.mark.parametrize("side", [32, 256, 700])
def test_crop_frame_agrees_with_landmark_coordinates(side):
    """A bright spot lands where `to_crop` says; outside the picture its edge is repeated."""
    frame = np.zeros((300, 400, 3), np.uint8)
    frame[150:152, 200:202] = 255
    box = np.array([200 - side * 0.4, 150 - side * 0.3, side], np.float32).round()
    crop = lm.crop_frame(frame, box)
    assert crop.shape == (256, 256, 3)
    weight = crop[..., 0].astype(float)
    rows, columns = np.mgrid[:256, :256] + 0.5
    centre = [(columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()]
    expected = lm.to_crop(np.array([[201.0, 151.0, 0]]), box)[0, :2]
    np.testing.assert_allclose(centre, expected, atol=0.6)


def test_crop_frame_repeats_edges():
    frame = np.full((50, 60, 3), 200, np.uint8)
    for box in ((-40, -40, 100), (-300, 10, 64), (30, 200, 64), (100, -500, 64), (10, 10, 20)):
        assert (lm.crop_frame(frame, np.array(box, np.float32)) == 200).all()


def test_missing_system_library_names_its_package(monkeypatch):
    real_import = builtins.__import__

    def without_egl(name, *args, **kwargs):
        if name.startswith("mediapipe"):
            raise OSError("libEGL.so.1: cannot open shared object file: No such file or directory")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_egl)
    with pytest.raises(UserError, match="libegl1 libgles2"):
        lm.Landmarker()
    with pytest.raises(UserError, match="missing"):
        lm.Landmarker("nowhere.task")


def test_a_real_face(recordings, capfd):
    frames = [frame for _, frame in zip(range(4), read_frames(recordings / "grid/s1/bbaz7a.mkv"), strict=False)]
    with lm.Landmarker() as landmarker:
        found = follow_face(frames, landmarker)
    assert found.seen.all() and found.landmarks.shape == (4, 478, 3)
    face = lm.crop_frame(frames[0], lm.crop_box(found.landmarks))
    with lm.Landmarker(num_faces=1) as landmarker:
        again = landmarker.detect(face)[0]
    direct = lm.to_crop(found.landmarks[0], lm.crop_box(found.landmarks))
    assert np.linalg.norm((again - direct)[:, :2], axis=1).mean() < 2.0
    assert again[33, 0] < again[263, 0]  # the subject's right is on the image's left
    assert capfd.readouterr().err == ""
