import subprocess
from dataclasses import replace
from types import SimpleNamespace

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from vast_jax import media
from vast_jax.face import tracking
from vast_jax.face.clip_fit import Fit
from vast_jax.face.landmarks import crop_frame
from vast_jax.face.model import load_face_model
from vast_jax.face.tracking import MIN_CROP, MIN_STRETCH, track_all, track_video
from vast_jax.types import UserError

MODEL = SimpleNamespace(hash="head", detector_bias=None, rest=None)
SIZE = (160, 120)
_SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3)).astype(np.float32)
_SHAPE[33], _SHAPE[263] = (-0.3, -0.1, 0), (0.3, -0.1, 0)


class RedDiscs:
    """A landmarker for which faces are red discs: a face is as large as its disc and in the middle of it."""

    def detect(self, rgb):
        red = (rgb[..., 0] > 150) & (rgb[..., 1] < 90)
        _, _, boxes, centres = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        return [
            _SHAPE * box[2] + np.array([*(centre + 0.5), 0], np.float32)
            for box, centre in list(zip(boxes, centres, strict=True))[1:]
            if box[2] >= 6
        ]


def scene(number, x=None, radius=17, size=SIZE, y=60):
    """A made-up background, and a face at x."""
    picture = np.random.default_rng(number).integers(0, 255, (4, 5, 1)).repeat(3, 2).astype(np.uint8)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    if x is not None:
        cv2.circle(picture, (round(x * size[0] / 160), round(y * size[1] / 120)), radius, (230, 20, 20), -1)
    return picture


@pytest.fixture(autouse=True)
def fit(monkeypatch):
    def fit_clips(model, clips):
        counts = [len(clip.landmarks) for clip in clips]
        shapes = [(2, (n, 3), (n, 3), (n, 3), (n, 4)) for n in counts]
        return [Fit(*(np.zeros(shape, np.float32) for shape in of_clip)) for of_clip in shapes]

    monkeypatch.setattr(tracking, "fit_clips", fit_clips)


@pytest.fixture
def video(tmp_path):
    def make(frames, name="video.mp4"):
        media.write_video(tmp_path / name, frames, frames[0].shape[1::-1])
        return tmp_path / name

    return make


SHOTS = [
    *[scene(1, 50 + t / 4) for t in range(30)],
    *[scene(1)] * 6,  # bridged
    *[scene(1, 60 + t / 4) for t in range(20)],  # frames 36 to 55
    *[scene(2, 110)] * 12,  # too short
    *[scene(3, 100)] * 10,
    *[scene(3)] * 15,  # too long a gap
    *[scene(3, 90)] * 40,  # frames 93 to 132
]


def test_every_stretch_of_a_second_is_kept_and_the_report_says_why_it_was_split(video):
    path = video(SHOTS)
    found = track_all(path, MODEL, RedDiscs())
    (first, crops), (second, _) = list(found)
    assert len(found) == 2 and found.source_frames == len(SHOTS) == 133
    assert (crops.start, len(crops)) == (0, 56) and len(second.valid) == 40
    np.testing.assert_array_equal(np.flatnonzero(~first.valid), np.arange(30, 36))
    assert found.breaks == (
        "cut at 2.24 s (frame 56)",
        "left out from 2.24 to 2.72 s (frames 56 to 67): too short",
        "cut at 2.72 s (frame 68)",
        "left out from 2.72 to 3.12 s (frames 68 to 77): too short",
        "no face from 3.12 to 3.72 s (frames 78 to 92)",
    )


def test_a_prompt_is_the_longest_stretch(video):
    track, crops = track_video(video(SHOTS), MODEL, RedDiscs())
    assert (crops.start, len(track.valid), track.face_model, track.fps) == (0, 56, "head", 25.0)
    # The gap is filled by what lies between.
    middle = track.landmarks[:, :, 0].mean(1)
    assert np.abs(np.diff(middle[28:38])).max() < 3 * np.abs(np.diff(middle[:28])).max() + 0.5


@pytest.mark.parametrize("size", [SIZE, (159, 121)])
@pytest.mark.parametrize("x,y", [(60, 60), (23, 24), (136, 97)])
def test_the_crop_shows_the_face_wherever_it_is(video, size, x, y):
    """Also beyond the edges of the picture; only a part of each frame is read."""
    path = video([scene(1, x, size=size, y=y)] * MIN_STRETCH)
    track, crops = track_video(path, MODEL, RedDiscs())
    corners = track.landmarks[3, [33, 263], :2]
    np.testing.assert_allclose(corners.mean(0), (128, 112), atol=4)
    frames = list(crops)
    assert len(frames) == MIN_STRETCH
    whole = crop_frame(next(media.read_frames(path)), track.crop)
    assert np.abs(frames[0].astype(int) - whole).mean() < 0.5


def test_a_large_picture_is_reduced_to_find_the_face_in_but_not_to_show_it(video, monkeypatch):
    path = video([scene(1, 60)] * MIN_STRETCH)
    full, _ = track_video(path, MODEL, RedDiscs())
    monkeypatch.setattr(tracking, "_LONGEST", 80)
    track, crops = track_video(path, MODEL, RedDiscs())
    assert tuple(track.source_size) == SIZE and track.focal == full.focal
    np.testing.assert_allclose(track.crop, full.crop, atol=6)
    sharp = next(iter(crops))
    assert np.abs(sharp.astype(int) - crop_frame(next(media.read_frames(path)), track.crop)).mean() < 0.5


def test_a_turned_and_stretched_video(video, tmp_path):
    frames = [np.rot90(scene(1, 90, size=(120, 160), y=60)).copy()] * MIN_STRETCH
    lying, turned = video(frames), tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "270", "-i", lying, "-c", "copy"]
    subprocess.run([*command, turned], check=True)
    upright = next(media.read_frames(turned))
    track, crops = track_video(turned, MODEL, RedDiscs())
    assert tuple(track.source_size) == upright.shape[1::-1]
    np.testing.assert_allclose(next(iter(crops)), crop_frame(upright, track.crop), atol=2)
    np.testing.assert_allclose(next(iter(crops))[128, 128], (230, 20, 20), atol=30)


def test_what_cannot_be_used_is_told_with_its_name(video):
    with pytest.raises(UserError, match=r"one.mp4 has only 1 frames: give a video of a second"):
        track_video(video([scene(1, 60)], "one.mp4"), MODEL, RedDiscs())
    with pytest.raises(UserError, match=r"no face found in .*none.mp4 \(seen in 0% of its frames, 0 on end\)"):
        track_all(video([scene(1)] * 30, "none.mp4"), MODEL, RedDiscs())
    with pytest.raises(UserError, match=r"no face found in .*short.mp4 \(seen in 100% of its frames, 20 on end\)"):
        track_all(video([scene(1, 60)] * 20, "short.mp4"), MODEL, RedDiscs())
    small = video([scene(1, 60, radius=6)] * 30, "small.mp4")
    for track in (track_video, track_all):
        with pytest.raises(UserError, match=rf"small.mp4: the face is too small .* at least {MIN_CROP} are needed"):
            track(small, MODEL, RedDiscs())
    with pytest.raises(UserError, match=r"small.mp4: there is no face 2: at most 1 at a time"):
        track_all(small, MODEL, RedDiscs(), face="2")
    with pytest.raises(UserError, match="unknown face"):
        track_video(small, MODEL, RedDiscs(), face="4")


def test_which_face_is_followed(video):
    pair = [cv2.circle(scene(1, 40), (120, 60), 24, (230, 20, 20), -1)] * MIN_STRETCH
    path = video(pair)
    for face, x in {"largest": 120, "left": 40, "right": 120, "0": 40, "1": 120}.items():
        track, _ = track_video(path, MODEL, RedDiscs(), face=face)
        assert abs(track.crop[0] + track.crop[2] / 2 - x) < 2


def test_the_recipe_names_all_that_a_track_depends_on():
    """A head of the same parameter space, but other places of landmarks or other habits of the detector, fits anew."""
    model = load_face_model()
    recipes = {
        tracking.recipe(model),
        tracking.recipe(replace(model, detector_bias=None)),
        tracking.recipe(replace(model, landmark_offset=model.landmark_offset + 1)),
        tracking.recipe(replace(model, hash="other")),
    }
    assert len(recipes) == 4 and tracking.recipe(load_face_model()) in recipes
