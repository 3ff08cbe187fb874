"""The built-in avatar: a smooth-shaded colour picture of the head, with hair, brows, eyes, teeth and soft shadows."""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from vast_jax.face.complexion import (
    P_OCCLUSION,
    P_SCALP,
    PAINTS,
    PALETTE,
    eye_colour,
    skin_colour,
    step,
    teeth_colour,
    tongue_colour,
)
from vast_jax.face.model import PART_NAMES, FaceModel
from vast_jax.face.rasterise import Camera, project, rasterise, triangles_of, vertex_normals
from vast_jax.types import CROP

SUPERSAMPLING = 2
SHADOW_SIZE = 320  # pixels of the shadow map
SHADOW_SCALE = 1.0  # pixels a millimetre
SHADOW_OFFSET = 2.5  # mm along the normal: no surface shadows itself
SCATTER = np.array([0.33, 0.19, 0.15], np.float32)  # how far light wraps around: red travels furthest under skin
_LIGHT = np.arange(2048, dtype=np.float32) / 512
TONES = (_LIGHT / (1 + 0.22 * _LIGHT)) ** np.float32(1 / 2.2)  # a film's soft shoulder, then sRGB's gamma
EYE_LEFT, EYE_RIGHT, UPPER_TEETH, LOWER_TEETH, TONGUE = (
    PART_NAMES.index(name) for name in ("eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue")
)


def _directions(*towards: tuple[float, float, float]) -> np.ndarray:
    """Unit vectors [n, 3] float32."""
    return np.array([np.array(light) / np.linalg.norm(light) for light in towards], np.float32)


class Look(NamedTuple):
    """What makes a picture of the head besides its shape: colours and lights, linear RGB. The first light is the key
    light, which alone casts shadows."""

    palette: np.ndarray = PALETTE  # [12, 3] float32, rows named in complexion.py
    lights: np.ndarray = _directions((-0.42, -0.6, -0.68), (0.75, -0.1, -0.65), (0.55, -0.55, 0.62))
    # [3, 3] float32, unit vectors towards key, fill and rim light, camera frame
    light_colours: np.ndarray = np.array([[1.75, 1.66, 1.54], [0.36, 0.39, 0.42], [0.45, 0.475, 0.5]], np.float32)
    ambient: np.ndarray = np.array([[0.30, 0.25, 0.23], [0.38, 0.42, 0.48]], np.float32)  # from the ground, the sky
    hair: float = 1.0  # thickness, times that of the head file; 0 is a shaved head


DEFAULT = Look()  # the built-in avatar's


def shade(
    model: FaceModel, vertices_camera: np.ndarray, camera: Camera, size: int = CROP, look: Look = DEFAULT
) -> np.ndarray:
    """Colour pictures uint8 [N, size, size, 3] of vertices [N, V, 3] in the camera frame, mm, before a backdrop."""
    fine = size * SUPERSAMPLING
    view = camera.resized(fine)
    pictures = np.empty((len(vertices_camera), size, size, 3), np.uint8)
    for n, frame in enumerate(np.ascontiguousarray(vertices_camera, np.float32)):
        picture = _backdrop(fine).copy()
        shade_over(picture, model, frame, view, look)
        _shrink(picture, pictures[n])
    return pictures


def shade_over(
    picture: np.ndarray, model: FaceModel, points: np.ndarray, view: Camera, look: Look = DEFAULT
) -> np.ndarray:
    """Draws one head, vertices [V, 3] in the camera frame, over `picture` in place, without anti-aliasing.

    Args:
      picture: [H, W, 3] float32, sRGB in [0, 1].
      view: a camera in pixels of the picture, which may have any size.

    Returns:
      index [H, W] int32: the triangle seen at each pixel, -1 where there is none.
    """
    paints, gums = _paints(model), _gums(model)
    if look.hair != 1:
        paints = paints.copy()
        paints[:, P_SCALP] *= min(2 * look.hair, 1)  # short hair lets the skin shine through
    points = points + vertex_normals(points, model.triangles) * (model.paint["hair"] * np.float32(look.hair))[:, None]
    normals = vertex_normals(points, model.triangles)
    index, weights, _ = rasterise(project(points, view), model.triangles, *picture.shape[:2])
    middle, key = points.mean(0), look.lights[0]
    _, _, shadow = rasterise(
        _from_light(points - middle, key), triangles_of(model, "casters"), SHADOW_SIZE, SHADOW_SIZE
    )
    lit = _from_light(points + SHADOW_OFFSET * normals - middle, key)
    _shade_pixels(
        index, weights, model.triangles, model.part, points, normals, model.neutral, paints, lit, shadow,
        model.eye_centres, gums, look.palette, look.lights, look.light_colours, look.ambient, picture,
    )  # fmt: skip
    return index


@lru_cache(maxsize=2)
def _paints(model: FaceModel) -> np.ndarray:
    return np.stack([model.paint[name] for name in PAINTS], axis=1).astype(np.float32)


@lru_cache(maxsize=2)
def _gums(model: FaceModel) -> np.ndarray:
    return np.array([_gum_line(model, "upper_teeth"), _gum_line(model, "lower_teeth")])


@lru_cache(maxsize=2)
def _backdrop(size: int) -> np.ndarray:
    """A soft studio backdrop, sRGB [size, size, 3] in [0, 1], brighter around the head."""
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    glow = np.exp(-(((x - 0.5) / 0.55) ** 2 + ((y - 0.42) / 0.6) ** 2))[..., None]
    return np.array([0.36, 0.40, 0.45], np.float32) + glow * np.array([0.34, 0.34, 0.33], np.float32)


def _gum_line(model: FaceModel, name: str) -> float:
    """Height y in mm where a row of teeth leaves the gums: 70 % of the way from the edges to the roots."""
    y = model.neutral[model.part == PART_NAMES.index(name), 1]
    if not len(y):  # a head without teeth
        return 0.0
    edge, root = (y.max(), y.min()) if name == "upper_teeth" else (y.min(), y.max())
    return float(edge + 0.7 * (root - edge))


def _from_light(points: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Points [V, 3] about the middle as a light towards `key` [3] sees them, orthographic: map pixels, depth in mm."""
    forward = -key
    right = np.cross(np.array([0, 1, 0], np.float32), forward)
    right /= np.linalg.norm(right)
    seen = points @ np.stack([right, np.cross(forward, right), forward], 1)
    seen[:, :2] = seen[:, :2] * SHADOW_SCALE + SHADOW_SIZE / 2
    seen[:, 2] += 1000  # depths are positive
    return seen


@numba.njit(cache=True, fastmath=True, nogil=True)
def _visible(column, row, depth, shadow):
    """How much of the key light reaches a point of the shadow map: soft comparison over 3 x 3 pixels."""
    size = shadow.shape[0]
    j, i = int(column), int(row)
    if j < 2 or i < 2 or j >= size - 3 or i >= size - 3:
        return 1.0
    u, v = column - j, row - i
    total = 0.0
    for b in range(-1, 3):
        for a in range(-1, 3):
            weight = (1 - u if a == -1 else (u if a == 2 else 1.0)) * (1 - v if b == -1 else (v if b == 2 else 1.0))
            total += weight * (1 - step(0.0, 4.0, depth - shadow[i + b, j + a]))
    return total / 9


@numba.njit(cache=True, fastmath=True, nogil=True)
def _shade_pixels(
    index, weights, triangles, part, points, normals, rest, paints, lit, shadow, eye_centres, gums, palette, lights,
    light_colours, ambient, picture,
):  # fmt: skip
    """Colours the pixels of a raster; `picture` [H, W, 3] holds the backdrop, sRGB in [0, 1]."""
    eye_y = 0.5 * (eye_centres[0, 1] + eye_centres[1, 1])
    colour, paint, out = np.zeros(3, np.float32), np.zeros(paints.shape[1], np.float32), np.zeros(3, np.float32)
    values = np.zeros(12, np.float32)  # normal, camera point, shadow view, rest
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            f = index[y, x]
            if f < 0:
                continue
            values[:] = 0
            paint[:] = 0
            for k in range(3):
                w, v = weights[y, x, k], triangles[f, k]
                for c in range(3):
                    values[c] += w * normals[v, c]
                    values[3 + c] += w * points[v, c]
                    values[6 + c] += w * lit[v, c]
                    values[9 + c] += w * rest[v, c]
                for c in range(paint.shape[0]):
                    paint[c] += w * paints[v, c]
            length = np.sqrt(values[0] ** 2 + values[1] ** 2 + values[2] ** 2) + np.float32(1e-9)
            nx, ny, nz = values[0] / length, values[1] / length, values[2] / length
            rx, ry, rz = values[9], values[10], values[11]
            kind = part[triangles[f, 0]]
            occlusion, shine = paint[P_OCCLUSION], 18.0
            if kind in (EYE_LEFT, EYE_RIGHT):
                e = kind - EYE_LEFT
                gloss = eye_colour(
                    colour, palette, rx - eye_centres[e, 0], ry - eye_centres[e, 1], rz - eye_centres[e, 2]
                )
                shine = 160.0
                occlusion = (0.3 + 0.7 * step(-0.7, 0.2, ny)) * (
                    0.4 + 0.6 * step(0.75, 0.3, abs(nx))
                )  # the lids' shade
            elif kind == UPPER_TEETH:
                gloss, shine = teeth_colour(colour, palette, rx, gums[0] - ry, rz), 60.0
            elif kind == LOWER_TEETH:
                gloss, shine = teeth_colour(colour, palette, rx, ry - gums[1], rz), 60.0
            elif kind == TONGUE:
                gloss = tongue_colour(colour, palette)
            else:
                gloss = skin_colour(colour, palette, rx, ry, rz, paint, eye_y)
            length = np.sqrt(values[3] ** 2 + values[4] ** 2 + values[5] ** 2)
            sx, sy, sz = -values[3] / length, -values[4] / length, -values[5] / length
            visible = _visible(values[6], values[7], values[8], shadow)
            sky = np.float32(0.5) - np.float32(0.5) * ny
            for c in range(3):
                out[c] = colour[c] * (ambient[0, c] * (1 - sky) + ambient[1, c] * sky) * occlusion
            for n in range(3):
                lx, ly, lz = lights[n, 0], lights[n, 1], lights[n, 2]
                facing = nx * lx + ny * ly + nz * lz
                hx, hy, hz = lx + sx, ly + sy, lz + sz
                glint = max(nx * hx + ny * hy + nz * hz, 0.0) / np.sqrt(hx * hx + hy * hy + hz * hz)
                glint = glint**shine * 0.0315 * gloss * (shine + 8) / 26 if facing > 0 and glint > 0.6 else 0.0
                reach = visible * (0.75 + 0.25 * occlusion) if n == 0 else occlusion
                for c in range(3):
                    diffuse = max((facing + SCATTER[c]) / (1 + SCATTER[c]), 0.0)
                    out[c] += light_colours[n, c] * reach * (colour[c] * diffuse + glint)
            for c in range(3):
                picture[y, x, c] = TONES[min(int(out[c] * 512), TONES.shape[0] - 1)]


@numba.njit(cache=True, fastmath=True, nogil=True)
def _shrink(picture, small):
    """Averages squares of a float picture in [0, 1] into the pixels of a uint8 one."""
    side = picture.shape[0] // small.shape[0]
    for y in range(small.shape[0]):
        for x in range(small.shape[1]):
            for c in range(3):
                total = np.float32(0)
                for i in range(side):
                    for j in range(side):
                        total += picture[y * side + i, x * side + j, c]
                small[y, x, c] = np.uint8(min(total * 255 / (side * side) + np.float32(0.5), 255))
