"""What the renderer sees of the mesh, and a person's own colours on it."""

import numpy as np
import pytest
from posed_head import CAMERA, put

from vast_jax.face.mesh_image import (
    CANONICAL_CENTRE,
    CANONICAL_HALF_SIDE,
    LAYERS,
    MESH_CHANNELS,
    PART_STEP,
    TEXTURE_SIDE,
    measure_texture,
    mesh_images,
)
from vast_jax.face.model import PART_NAMES, load_face_model
from vast_jax.types import CROP


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def waves():
    """A texture of smooth waves, other ones in every layer."""
    at = np.linspace(0, 6 * np.pi, TEXTURE_SIDE)
    return np.stack(
        [
            np.stack([127 + 100 * np.sin(at[None] + layer + k) * np.cos(at[:, None] - k) for k in range(3)], -1)
            for layer in range(LAYERS)
        ]
    ).astype(np.uint8)


def test_mesh_image_channels(model):
    (image,) = mesh_images(model, put(model), CAMERA)
    assert image.shape == (CROP, CROP, MESH_CHANNELS) and image.dtype == np.uint8
    part = image[..., 6]
    seen = part > 0
    assert (image[~seen] == 0).all()
    assert 0.15 < seen.mean() < 0.6
    assert set(np.unique(part[seen])) <= {(k + 1) * PART_STEP for k in range(len(PART_NAMES))}
    assert image[seen][:, 2].mean() < 100  # normals look at the camera, along -z
    rows, columns = np.nonzero(seen)
    assert np.corrcoef(columns, image[seen][:, 3])[0, 1] > 0.99  # canonical x and y
    assert np.corrcoef(rows, image[seen][:, 4])[0, 1] > 0.99


def test_mesh_images_are_frame_by_frame(model):
    both = np.concatenate([put(model), put(model, rotation=(0.1, 0.3, 0), jawOpen=0.5)])
    images = mesh_images(model, both, CAMERA)
    np.testing.assert_array_equal(images[1], mesh_images(model, both[1:], CAMERA)[0])
    assert (images[0] != images[1]).any()


def test_teeth_are_hidden_until_the_lips_part(model):
    def teeth(vertices):
        part = mesh_images(model, vertices, CAMERA)[0, ..., 6]
        return np.isin(part, [(PART_NAMES.index(f"{row}_teeth") + 1) * PART_STEP for row in ("upper", "lower")]).sum()

    assert teeth(put(model)) < 15  # a line between the lips at most
    assert teeth(put(model, jawOpen=0.3, mouthSmileLeft=0.5, mouthSmileRight=0.5)) > 20


def test_colours_are_the_textures_where_the_pixel_lies_on_the_mean_head(model, waves):
    vertices = put(model, rotation=(0.1, -0.3, 0.05))
    (image,) = mesh_images(model, vertices, CAMERA, waves)
    assert image.shape == (CROP, CROP, MESH_CHANNELS + 3)
    np.testing.assert_array_equal(image[..., :MESH_CHANNELS], mesh_images(model, vertices, CAMERA)[0])
    assert (image[image[..., 6] == 0] == 0).all()
    skin = image[..., 6] == PART_STEP
    column, row = (image[skin][:, 3:5] / 127.5 * TEXTURE_SIDE / 2 - 0.5).T  # known to a millimetre, 1.5 texels
    around = [
        waves[0, (row + i).round().astype(int), (column + j).round().astype(int)] for i in (-2, 2) for j in (-2, 2)
    ]
    low, high = np.min(around, 0).astype(int), np.max(around, 0).astype(int)
    colours = image[skin][:, MESH_CHANNELS:].astype(int)
    assert ((colours >= low - 6) & (colours <= high + 6)).mean() > 0.99


def test_a_texture_is_found_again_in_the_pictures_it_made(model, waves):
    poses = [(0.02 * k, 0.03 * k, 0.01 * k) for k in range(-6, 7)]
    vertices = np.concatenate([put(model, rotation=pose, jawOpen=0.4) for pose in poses])
    pictures = mesh_images(model, vertices, CAMERA, waves)[..., MESH_CHANNELS:]
    found = measure_texture(model, zip(pictures, vertices, [CAMERA] * len(poses), strict=True))
    assert found.shape == waves.shape and found.dtype == np.uint8
    nose, eye = ([0, 0, -105], [31, -25, -85]) - CANONICAL_CENTRE
    for layer, (x, y, _) in ((0, nose), (1, eye)):
        row, column = (int((v / CANONICAL_HALF_SIDE + 1) * TEXTURE_SIDE / 2) for v in (y, x))
        seen = np.s_[layer, row - 5 : row + 6, column - 5 : column + 6]
        np.testing.assert_allclose(found[seen].astype(int), waves[seen].astype(int), atol=12)


def test_what_nobody_saw_has_the_colours_around_it_or_is_black(model):
    grey = np.full((CROP, CROP, 3), 90, np.uint8)
    found = measure_texture(model, [(grey, put(model)[0], CAMERA)])
    middle = TEXTURE_SIDE // 2
    assert (found[0, middle - 60 : middle + 60, middle - 60 : middle + 60] == 90).all()
    assert not found[4].any()  # behind closed lips


@pytest.mark.parametrize("pitch", [-0.25, 0, 0.25])
def test_the_inside_of_the_mouth_shows_between_the_lips_alone(model, pitch):
    vertices = put(model, rotation=(pitch, 0.2, 0), jawOpen=0.6)
    part = mesh_images(model, vertices, CAMERA)[0, ..., 6]
    code = {name: (k + 1) * PART_STEP for k, name in enumerate(PART_NAMES)}
    rows, columns = np.nonzero(part == code["lips"])
    inner = np.isin(part, [code[name] for name in ("upper_teeth", "lower_teeth", "tongue", "mouth_inside")])
    assert inner.sum() > 50
    y, x = np.nonzero(inner)
    assert rows.min() <= y.min() and y.max() <= rows.max() and columns.min() <= x.min() and x.max() <= columns.max()
