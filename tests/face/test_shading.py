import numpy as np
import pytest

from vast_jax.face.complexion import IRIS, SKIN, linear
from vast_jax.face.model import PART_NAMES, load_face_model
from vast_jax.face.rasterise import Camera, place
from vast_jax.face.shading import DEFAULT, shade, shade_over
from vast_jax.types import CROP

CAMERA = Camera(2.7 * CROP, CROP / 2, CROP / 2)
# The built-in avatar at 8 x 8 blocks, sRGB, before looks could be chosen: rows of mean grey levels.
GOLDEN = np.array(
    [
        [134.8, 146.3, 140.5, 96.0, 91.8, 132.6, 146.3, 134.8],
        [142.0, 156.1, 91.5, 136.9, 132.3, 77.7, 153.3, 142.0],
        [146.9, 156.0, 156.2, 208.6, 204.4, 143.3, 142.1, 146.9],
        [148.3, 162.9, 182.9, 195.2, 188.9, 160.3, 153.9, 148.3],
        [145.9, 161.6, 190.9, 206.2, 191.6, 166.8, 160.9, 145.9],
        [140.2, 153.6, 173.3, 146.3, 133.3, 160.7, 153.6, 140.2],
        [132.6, 143.3, 149.3, 176.1, 148.2, 133.1, 143.3, 132.6],
        [117.0, 109.6, 102.1, 96.6, 77.1, 73.5, 99.5, 117.0],
    ]
)


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def points(model):
    expression = np.zeros((1, len(model.expression_names)), np.float32)
    expression[0, model.expression_names.index("jawOpen")] = 0.7
    still = np.zeros((1, 3), np.float32)
    return place(
        model, np.zeros(len(model.identity_basis)), expression, still, still + np.float32([0, 0, 900]), np.zeros((1, 4))
    )


def test_the_default_look_is_the_one_it_was(model, points):
    (picture,) = shade(model, points, CAMERA, 64)
    blocks = picture.reshape(8, 8, 8, 8, 3).mean((1, 3, 4))
    np.testing.assert_allclose(blocks, GOLDEN, atol=0.5)
    np.testing.assert_array_equal(shade(model, points, CAMERA, 64, DEFAULT)[0], picture)


def test_each_colour_paints_its_own_part(model, points):
    def drawn(look):
        picture = np.zeros((256, 256, 3), np.float32)
        return picture, shade_over(picture, model, points[0], CAMERA, look)

    plain, index = drawn(DEFAULT)
    part = np.where(index < 0, -1, model.part[model.triangles[index, 0]])
    for row, parts in (
        (IRIS, ("eye_left", "eye_right")),
        (SKIN, ("skin", "lips", "brows", "scalp", "mouth_inside", "body")),
    ):
        palette = DEFAULT.palette.copy()
        palette[row] = linear(20, 240, 20)
        changed = np.abs(drawn(DEFAULT._replace(palette=palette))[0] - plain).max(-1) > 0.02
        assert changed.any()
        assert set(np.unique(part[changed])) <= {PART_NAMES.index(name) for name in parts}


def test_light_comes_from_where_the_look_says(model, points):
    still = DEFAULT._replace(light_colours=DEFAULT.light_colours * [[1], [0], [0]])
    means = {}
    for side in (-1, 1):
        lights = DEFAULT.lights.copy()
        lights[0] = np.array([0.8 * side, 0, -0.6])
        picture = shade(model, points, CAMERA, 64, still._replace(lights=lights))[0].astype(float)
        means[side] = picture[20:40, 20:32].mean(), picture[20:40, 32:44].mean()  # image left, image right of the face
    assert means[-1][0] > means[-1][1] + 20 and means[1][1] > means[1][0] + 20


def test_darkness_is_dark_and_hair_has_thickness(model, points):
    night = DEFAULT._replace(light_colours=0 * DEFAULT.light_colours, ambient=0 * DEFAULT.ambient)
    picture = np.ones((128, 128, 3), np.float32)
    camera = Camera(*(value / 2 for value in CAMERA))
    index = shade_over(picture, model, points[0], camera, night)
    assert (picture[index >= 0] == 0).all() and (picture[index < 0] == 1).all()
    covered = [
        (shade_over(picture, model, points[0], camera, DEFAULT._replace(hair=hair)) >= 0).sum() for hair in (0, 1, 2)
    ]
    assert covered[0] < covered[1] < covered[2]
