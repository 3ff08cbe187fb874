"""Scenes to frames: the shaded head before its backdrop, seen through a camera's optics, sensor and compression."""

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np

from vast_jax.face.model import PART_NAMES, FaceModel
from vast_jax.face.rasterise import Camera, place, project, rotation_matrix
from vast_jax.face.shading import shade_over
from vast_jax.synthesis.appearance import Occluder, draw_backdrop
from vast_jax.synthesis.scene import Scene

# A frame is the mean of four pictures, at four places within a pixel and four times within the shutter's opening.
_PLACES = np.array([(-0.25, -0.25), (0.25, 0.25), (0.25, -0.25), (-0.25, 0.25)])  # pixels
_TIMES = (np.arange(4) + 0.5) / 4 - 0.5  # of the shutter's opening
RIM_RADIUS, RIM_FORWARD, WIRE = 23.0, 22.0, 1.6  # mm: glasses' rims, how far before the eyes' centres, their wire
_TEMPLE = 95.0  # mm, how far back the temples reach
_FINE = 4  # fine pixels a pixel, along each side, of an occluder's outline
_SHIFT = 4  # fractional bits of OpenCV's sub-pixel coordinates


def render(scene: Scene, model: FaceModel) -> Iterator[np.ndarray]:
    """Yields the frames, uint8 [H, W, 3], before the video's own compression."""
    width, height = scene.size
    backdrop = draw_backdrop(scene.backdrop, width, height)
    rng = np.random.default_rng(scene.seed)
    for n in range(len(scene.expression)):
        moments = np.clip(n + scene.sensor.shutter * _TIMES, 0, len(scene.expression) - 1)
        total = np.zeros_like(backdrop)
        for points, (x, y) in zip(place_at(scene, model, moments), _PLACES, strict=True):
            picture = backdrop.copy()
            focal, cx, cy = scene.camera
            index = shade_over(picture, model, points, Camera(focal, cx - x, cy - y), scene.look)
            _lengthen_body(picture, index, _of_body(model))
            total += picture
        picture = total / len(_PLACES)
        if scene.occluder is not None:
            cover = occlusion(scene, model, n)[..., None]
            picture += cover * (np.float32(scene.occluder.colour) - picture)
        yield _expose(picture, scene, rng)


@lru_cache(maxsize=2)
def _of_body(model: FaceModel) -> np.ndarray:
    """Whether each triangle belongs to the body, bool [F]."""
    return (model.part == PART_NAMES.index("body"))[model.triangles].all(1)


def _lengthen_body(picture: np.ndarray, index: np.ndarray, of_body: np.ndarray) -> None:
    """The mesh ends at the chest: its lower edge is drawn out to the bottom of the picture, in place."""
    height = len(index)
    lowest = height - 1 - (index[::-1] >= 0).argmax(0)
    columns = np.flatnonzero((index >= 0).any(0))
    columns = columns[of_body[index[lowest[columns], columns]]]
    if len(columns):
        edge = cv2.blur(picture[lowest[columns], columns][None], (9, 1))[0]
        below = np.arange(height)[:, None] > lowest[columns]
        picture[:, columns] = np.where(below[..., None], edge, picture[:, columns])


def place_at(scene: Scene, model: FaceModel, moments: np.ndarray) -> np.ndarray:
    """Vertices [M, V, 3] in the camera frame, mm, at fractional frame numbers [M]."""
    before = np.floor(moments).astype(int)
    after, part = np.minimum(before + 1, len(scene.expression) - 1), (moments - before)[:, None]
    arrays = scene.expression, scene.rotation, scene.translation, scene.gaze
    expression, rotation, translation, gaze = (a[before] * (1 - part) + a[after] * part for a in arrays)
    return place(model, scene.identity, expression, rotation, translation, gaze)


def occlusion(scene: Scene, model: FaceModel, n: int) -> np.ndarray:
    """How much of each pixel the scene's occluder covers in frame n: float32 [H, W] in [0, 1]."""
    width, height = scene.size
    cover = np.zeros((height * _FINE, width * _FINE), np.uint8)
    occluder = scene.occluder
    if occluder is None:
        return np.zeros((height, width), np.float32)
    if occluder.kind == "glasses":
        thick = max(1, round(_FINE * WIRE * scene.focal / float(scene.translation[n, 2])))
        cv2.polylines(cover, [_fixed(line) for line in _glasses(scene, model, n)], False, 1, thick, cv2.LINE_8, _SHIFT)
    else:
        outline = _ellipse(occluder) if occluder.kind == "hand" else _bar(occluder, 2 * height)
        cv2.fillPoly(cover, [_fixed(outline)], 1, cv2.LINE_8, _SHIFT)
    return cv2.resize(cover.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Points [P, 2] in pixels as OpenCV's fixed-point numbers on the fine grid."""
    return np.round((points * _FINE - 0.5) * 2**_SHIFT).astype(np.int32)


def _glasses(scene: Scene, model: FaceModel, n: int) -> list[np.ndarray]:
    """Two rims, a bridge and two temples as lines [P, 2] in pixels."""
    person = model.neutral + np.tensordot(scene.identity, model.identity_basis, 1)
    centres = np.stack([person[model.regions[name]].mean(0) for name in ("eye_left", "eye_right")])
    centres = centres + np.array([0, 3, -RIM_FORWARD])
    turn = np.linspace(0, 2 * np.pi, 49)
    circle = RIM_RADIUS * np.stack([np.cos(turn), 0.8 * np.sin(turn), 0 * turn], 1)
    rims = [centre + circle for centre in centres]
    inward = np.array([[-RIM_RADIUS, 0, 0], [RIM_RADIUS, 0, 0]])
    lines = [*rims, centres + inward]
    lines += [np.stack([c - i, c - 1.7 * i + [0, 0, _TEMPLE]]) for c, i in zip(centres, inward, strict=True)]
    matrix = rotation_matrix(scene.rotation[n])
    return [project(line @ matrix.T + scene.translation[n], scene.camera)[:, :2] for line in lines]


def _ellipse(occluder: Occluder) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    return _turned(occluder, np.stack([np.cos(turn), 0.6 * np.sin(turn)], 1) * occluder.radius)


def _bar(occluder: Occluder, length: float) -> np.ndarray:
    """A bar with a round tip that reaches down from the occluder's centre."""
    turn = np.linspace(np.pi, 2 * np.pi, 30)
    tip = np.stack([np.cos(turn), np.sin(turn)], 1) * occluder.radius
    return _turned(occluder, np.concatenate([tip, tip[[-1, 0]] + [0, length]]))


def _turned(occluder: Occluder, points: np.ndarray) -> np.ndarray:
    """Points [P, 2] about the occluder's centre, turned by its angle, in pixels of the picture."""
    c, s = np.cos(occluder.angle), np.sin(occluder.angle)
    return points @ np.array([[c, s], [-s, c]]) + occluder.centre


def _expose(picture: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Defocus, noise that grows with the light, and a first JPEG, as uint8."""
    sensor = scene.sensor
    if sensor.defocus > 0.05:
        picture = cv2.GaussianBlur(picture, (0, 0), sensor.defocus)
    grey = picture * np.float32(255)
    if sensor.noise > 0:
        level = np.sqrt((0.3 + grey) / 128)
        grey = grey + sensor.noise * level * rng.standard_normal(grey.shape, np.float32)
    image = np.clip(np.round(grey), 0, 255).astype(np.uint8)
    if sensor.jpeg is not None:
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])
        image = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    return image
