import dataclasses

import numpy as np
import pytest
from footage import made_up_clip

from vast_jax.face.eroded_background import (
    FEATHER,
    Window,
    closed,
    cut_off,
    envelope_of,
    hole_of,
    holes_of,
    soften,
    views,
    window_around,
)
from vast_jax.face.model import load_face_model
from vast_jax.face.rasterise import camera_of, face_mask, place
from vast_jax.types import subset


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def clip():
    """A head that moves 60 mm to the right and turns by half a radian, its mouth moving."""
    made = made_up_clip(frames=8, shift=60.0)
    turned = np.linspace([0, -0.25, 0], [0, 0.25, 0.1], 8).astype(np.float32)
    return dataclasses.replace(made, track=made.track._replace(rotation=turned))


def test_the_hole_of_a_clip_holds_the_face_of_every_frame(model, clip):
    masks = face_mask(model, place(model, *clip.track[:5]), camera_of(clip.track))
    hole = hole_of(model, clip.track)
    assert not (masks.any(0) & ~hole).any()
    assert hole.sum() < 2 * masks.any(0).sum()


def test_a_hole_follows_the_head_and_holds_the_face_whatever_it_does(model, clip):
    envelope = envelope_of(model, clip.track)
    holes = holes_of(envelope, clip.track)
    for other in (slice(None), slice(None, None, -1)):  # a frame's own expression, and another frame's
        placed = place(model, clip.track.identity, clip.track.expression[other], *clip.track[2:5])
        masks = face_mask(model, placed, camera_of(clip.track))
        assert not (masks & ~holes).any()
        assert (holes.sum((1, 2)) < 1.7 * masks.sum((1, 2))).all()
    left = [np.flatnonzero(hole.any(0))[0] for hole in holes]
    assert np.diff(left).min() > 0  # it is not the union over the clip


def test_a_hole_tells_nothing_of_the_mouth(model, clip):
    envelope = envelope_of(model, clip.track)
    shut = clip.track._replace(expression=np.zeros_like(clip.track.expression))
    np.testing.assert_array_equal(holes_of(envelope, shut), holes_of(envelope, clip.track))


def test_an_envelope_reaches_as_far_as_the_widest_opened_jaw(model):
    track = made_up_clip(frames=40).track
    expression = np.zeros_like(track.expression)
    jaw = list(model.expression_names).index("jawOpen")
    expression[18, jaw] = 1.0
    lowest = [
        np.flatnonzero(holes_of(envelope_of(model, track._replace(expression=e)), track)[0].any(1))[-1]
        for e in (expression * 0, expression)
    ]
    assert lowest[1] - lowest[0] > 10


def test_windows_stay_while_the_head_does_and_follow_it_by_whole_cells(model, clip):
    envelope = envelope_of(model, clip.track)
    still = subset(clip.track, [3])
    trembling = [still._replace(translation=still.translation + d) for d in (0, 2, -2, 1)]
    assert len({window for *_, window in views(envelope, trembling, 176, 8)}) == 1
    moving = [subset(clip.track, [i]) for i in range(8)]
    seen = list(views(envelope, moving, 176, 8))
    assert len({window for *_, window in seen}) > 2
    for pose, (_, soft, window) in zip(moving, seen, strict=True):
        assert window.top % 8 == window.left % 8 == 0 and soft.shape == (176, 176, 1)
        hole = holes_of(envelope, pose)[0]
        middle = np.abs(np.array(window[:2]) - window_around(hole, 176)[:2])
        assert (middle <= 8).all() or max(window[:2]) == 256 - 176
        assert cut_off(hole, window) < 0.1
        np.testing.assert_array_equal(soft[..., 0] == 255, window.cut(closed(hole, window)[..., None])[..., 0])


@pytest.mark.parametrize("size", [64, 256])
def test_a_window_has_the_hole_in_its_middle_as_far_as_it_can(size):
    hole = np.zeros((256, 256), bool)
    hole[100:120, 240:256] = True
    window = window_around(hole, size)
    assert window.cut(hole[..., None]).sum() == hole.sum()
    assert window.top == (0 if size == 256 else 78) and window.left == 256 - size
    assert cut_off(hole, window) == 0
    assert cut_off(hole, Window(110, 200, 56)) == pytest.approx(0.5)


def test_the_soft_edge_lies_outside_the_hole_and_ends():
    hole = np.zeros((256, 256), bool)
    hole[80:170, 100:150] = True
    soft = soften(hole)[..., 0]
    np.testing.assert_array_equal(soft == 255, hole)
    profile = soft[120, 149 : 149 + FEATHER + 2].astype(int)
    assert (np.diff(profile[:-1]) < 0).all()
    assert profile[FEATHER + 1] == 0 and soft[:70].max() == 0
    assert (soft[hole] == 255).all()


def test_a_window_closes_the_hole_before_its_own_edge():
    window, everywhere = Window(10, 20, 96), np.ones((256, 256), bool)
    soft = window.cut(soften(closed(everywhere, window)))
    for edge in (
        soft[:FEATHER],
        soft[-FEATHER:],
        soft[:, :FEATHER],
        soft[:, -FEATHER:],
    ):
        assert edge.max() < 255
    for edge in (soft[0], soft[-1], soft[:, 0], soft[:, -1]):
        assert edge.max() == 0  # else a line shows where the window ends
    assert soft[48, 48] == 255
    assert closed(everywhere, Window(0, 0, 256)).all()
