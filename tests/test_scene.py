import numpy as np
import pytest
from footage import made_up_clip

from vast_jax import scene
from vast_jax.face.model import load_face_model
from vast_jax.face.rasterise import camera_of, face_mask, place


def test_the_hole_holds_the_face_of_every_frame():
    clip, model = made_up_clip(frames=8, shift=12.0), load_face_model()
    masks = face_mask(model, place(model, *clip.track[:5]), camera_of(clip.track))
    hole = scene.hole_of(model, clip.track)
    assert not (masks.any(0) & ~hole).any()
    assert hole.sum() < 2 * masks.any(0).sum()


@pytest.mark.parametrize("size", [64, 256])
def test_a_window_has_the_hole_in_its_middle_as_far_as_it_can(size):
    hole = np.zeros((256, 256), bool)
    hole[100:120, 240:256] = True
    window = scene.window_around(hole, size)
    assert window.cut(hole[..., None]).sum() == hole.sum()
    assert window.top == (0 if size == 256 else 78) and window.left == 256 - size
    assert scene.cut_off(hole, window) == 0
    assert scene.cut_off(hole, scene.Window(110, 200, 56)) == pytest.approx(0.5)


def test_the_soft_edge_lies_outside_the_hole_and_ends():
    hole = np.zeros((256, 256), bool)
    hole[80:170, 100:150] = True
    soft = scene.soften(hole, scene.Window(0, 0, 256))[..., 0]
    np.testing.assert_array_equal(soft == 255, hole)
    profile = soft[120, 149 : 149 + scene.FEATHER + 2].astype(int)
    assert (np.diff(profile) < 0).all() or profile[-1] == 0
    assert profile[scene.FEATHER + 1] == 0 and soft[:70].max() == 0
    assert (soft[hole] == 255).all()


def test_a_window_closes_the_hole_before_its_own_edge():
    soft = scene.soften(np.ones((256, 256), bool), scene.Window(10, 20, 96))
    assert soft.shape == (96, 96, 1)
    for edge in (soft[: scene.FEATHER], soft[-scene.FEATHER :], soft[:, : scene.FEATHER], soft[:, -scene.FEATHER :]):
        assert edge.max() < 255
    for edge in (soft[0], soft[-1], soft[:, 0], soft[:, -1]):
        assert edge.max() == 0  # else a line shows where the window ends
    assert soft[48, 48] == 255


def test_ppg_windows_are_centred_and_repeat_the_ends():
    ppg = np.arange(5, dtype=np.float32)[:, None]
    windows = scene.ppg_windows(ppg)
    assert windows.shape == (5, scene.PPG_FRAMES, 1)
    np.testing.assert_array_equal(windows[0, :, 0], [0, 0, 0, 0, 0, 1, 2, 3, 4])
    np.testing.assert_array_equal(windows[:, scene.PPG_FRAMES // 2], ppg)
