"""Mesh images, which the renderer is conditioned on, and a person's own colours on the mesh.

The colours are the mean of the footage's pixels at each place of the face, as a texture. Deferred neural rendering
(Thies et al., 2019) learns its texture; a measured one shows the person from the first step on, and leaves a renderer
that was trained on others only what changes to learn.
"""

from collections.abc import Iterable

import cv2
import numba
import numpy as np

from vast_jax.face.model import PART_NAMES, FaceModel
from vast_jax.face.rasterise import Camera, camera_of, place_track, project, rasterise, triangles_of, vertex_normals
from vast_jax.types import CROP, FaceTrack

MESH_CHANNELS = 7  # camera-space normal (3), canonical coordinates on the mean head (3), part (1)
PART = 6  # the channel of the part
CANONICAL_CENTRE = np.array([0.0, 15.0, -20.0], np.float32)  # mm, head frame: the cube that canonical colours span
CANONICAL_HALF_SIDE = 128.0  # mm
PART_STEP = 255 // len(PART_NAMES)  # the part channel is (index + 1) * PART_STEP, 0 where there is no face
TEXTURE_SIDE = 384  # texels: two thirds of a millimetre each
# What lies one behind the other on the front view of the head must not share texels.
_BEHIND = {"eye_left": 1, "eye_right": 1, "upper_teeth": 2, "lower_teeth": 3, "tongue": 4, "mouth_inside": 4}
_LAYER = np.array([_BEHIND.get(name, 0) for name in PART_NAMES], np.uint8)
LAYERS, _INNER = 5, 2  # how many; from which on they are the inside of the mouth
_SEEN = 0.05  # frames' worth of a pixel from which a texel has its own colour


def mesh_images(
    model: FaceModel,
    vertices_camera: np.ndarray,
    camera: Camera,
    texture: np.ndarray | None = None,
    size: int = CROP,
) -> np.ndarray:
    """The renderer's condition: uint8 [N, size, size, MESH_CHANNELS] of vertices [N, V, 3]; background 0.

    Channels: camera-space normal mapped from [-1, 1] to [0, 255]; canonical coordinates, where on the mean head the
    pixel lies; part, (index + 1) * PART_STEP; with a `texture` (`measure_texture`) its colour (3), besides. Hair, neck
    and shoulders are left out: the picture keeps its own.
    """
    triangles = triangles_of(model, "head")
    points = np.ascontiguousarray(vertices_camera, np.float32)
    images = np.empty((len(points), size, size, MESH_CHANNELS + (0 if texture is None else 3)), np.uint8)
    for n, frame in enumerate(points):
        attributes = np.concatenate([vertex_normals(frame, model.triangles), _canonical(model)], axis=1)
        index, weights = _seen(model, triangles, project(frame, camera.resized(size)), size, size)
        _paint_mesh(index, weights, triangles, attributes, model.part, PART_STEP, images[n])
        if texture is not None:
            _paint_colours(index, weights, triangles, attributes[:, 3:5], model.part, _LAYER, texture, images[n])
    return images


def measure_texture(model: FaceModel, seen: Iterable[tuple[np.ndarray, np.ndarray, Camera]]) -> np.ndarray:
    """Mean colours of a person, uint8 [LAYERS, TEXTURE_SIDE, TEXTURE_SIDE, 3], by canonical x and y.

    Args:
      model: the face model.
      seen: frames uint8 [256, 256, 3], the vertices [V, 3] in them (camera frame, mm) and their camera.

    Returns:
      The texture; texels that no frame shows have the colours around them, a layer that none shows is black.
    """
    triangles, canonical = triangles_of(model, "head"), _canonical(model)[:, :2].copy()
    sums = np.zeros((LAYERS, TEXTURE_SIDE, TEXTURE_SIDE, 4), np.float32)
    for frame, points, camera in seen:
        points = np.ascontiguousarray(points, np.float32)
        index, weights = _seen(model, triangles, project(points, camera.resized(len(frame))), *frame.shape[:2])
        _collect(index, weights, triangles, canonical, model.part, _LAYER, np.ascontiguousarray(frame), sums)
    return np.stack([_filled(layer) for layer in sums])


def _seen(model: FaceModel, triangles: np.ndarray, projected: np.ndarray, height: int, width: int) -> tuple:
    """Triangle and weights of each pixel (`rasterise`), of the mouth's inside only what lies between the lips."""
    index, weights, _ = rasterise(projected, triangles, height, width)
    lips = projected[model.part == PART_NAMES.index("lips"), :2]
    (left, top), (right, bottom) = np.floor(lips.min(0)).astype(int), np.ceil(lips.max(0)).astype(int)
    inside = np.zeros((height, width), bool)
    inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    inner = _LAYER[model.part[triangles[:, 0]]] >= _INNER
    index[~inside & (index >= 0) & inner[index]] = -1  # the throat, seen below the chin where the head's skin ends
    return index, weights


def _canonical(model: FaceModel) -> np.ndarray:
    """Where each vertex lies on the mean head, [V, 3] in [-1, 1]."""
    return (model.neutral - CANONICAL_CENTRE) / np.float32(CANONICAL_HALF_SIDE)


def _filled(sums: np.ndarray) -> np.ndarray:
    """Sums of colour and weight [S, S, 4] to colours uint8 [S, S, 3]: where little was seen, of ever wider means."""
    total, done = np.zeros_like(sums[..., :3]), np.zeros_like(sums[..., 3:])
    for sigma in (0, 1, 2, 4, 8, 16, 32):
        blurred = cv2.GaussianBlur(sums, (0, 0), sigma) if sigma else sums
        share = np.clip(blurred[..., 3:] / _SEEN, 0, 1) * (1 - done)
        total += share * blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-12)
        done += share
    return np.clip(np.round(total / np.maximum(done, 1e-6)), 0, 255).astype(np.uint8)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _paint_mesh(index, weights, triangles, attributes, part, part_step, image):
    """Fills a uint8 [H, W, 7] image: attributes [V, 6] in [-1, 1] as bytes, and the part of the nearest corner."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            f = index[y, x]
            if f < 0:
                image[y, x, :MESH_CHANNELS] = 0
                continue
            u, v, w = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
            a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            for k in range(6):
                value = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
                image[y, x, k] = np.uint8(min(max((value + 1) * np.float32(127.5) + np.float32(0.5), 0), 255))
            nearest = a if u >= max(v, w) else (b if v >= w else c)
            image[y, x, PART] = (part[nearest] + 1) * part_step


@numba.njit(cache=True, fastmath=True, nogil=True, inline="always")
def _texel(index, weights, triangles, canonical, part, layer_of, side, y, x):
    """What a pixel shows: layer, row and column of the upper left texel, shares of the lower and right ones."""
    f = index[y, x]
    a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
    u, v, w = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
    nearest = a if u >= max(v, w) else (b if v >= w else c)
    half, last = np.float32(side / 2), np.float32(side - 1.01)
    column = (u * canonical[a, 0] + v * canonical[b, 0] + w * canonical[c, 0] + 1) * half - np.float32(0.5)
    row = (u * canonical[a, 1] + v * canonical[b, 1] + w * canonical[c, 1] + 1) * half - np.float32(0.5)
    column, row = min(max(column, np.float32(0)), last), min(max(row, np.float32(0)), last)
    left, top = int(column), int(row)
    return layer_of[part[nearest]], top, left, row - top, column - left


@numba.njit(cache=True, fastmath=True, nogil=True)
def _paint_colours(index, weights, triangles, canonical, part, layer_of, texture, image):
    """Fills the last three channels of a uint8 image with the texture's colours, bilinear; 0 where there is no face."""
    one = np.float32(1)
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            if index[y, x] < 0:
                image[y, x, MESH_CHANNELS] = image[y, x, MESH_CHANNELS + 1] = image[y, x, MESH_CHANNELS + 2] = 0
                continue
            layer, top, left, down, right = _texel(
                index, weights, triangles, canonical, part, layer_of, texture.shape[1], y, x
            )
            down, right = np.float32(down), np.float32(right)
            for k in range(3):
                above = (one - right) * texture[layer, top, left, k] + right * texture[layer, top, left + 1, k]
                below = (one - right) * texture[layer, top + 1, left, k] + right * texture[layer, top + 1, left + 1, k]
                image[y, x, MESH_CHANNELS + k] = np.uint8((one - down) * above + down * below + np.float32(0.5))


@numba.njit(cache=True, fastmath=True, nogil=True)
def _collect(index, weights, triangles, canonical, part, layer_of, frame, sums):
    """Adds the frame's colours, and what weight they have, to the texels [L, S, S, 4] that each pixel shows."""
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            if index[y, x] < 0:
                continue
            layer, top, left, down, right = _texel(
                index, weights, triangles, canonical, part, layer_of, sums.shape[1], y, x
            )
            for i in range(2):
                for j in range(2):
                    share = (down if i else 1 - down) * (right if j else 1 - right)
                    for k in range(3):
                        sums[layer, top + i, left + j, k] += share * frame[y, x, k]
                    sums[layer, top + i, left + j, 3] += share


def draw_mesh(
    model: FaceModel, track: FaceTrack, expression: np.ndarray, texture: np.ndarray | None = None
) -> np.ndarray:
    """Mesh images uint8 [N, 256, 256, 7] of the track's N poses with another expression [N, D]; with a texture 10."""
    return mesh_images(model, place_track(model, track, expression), camera_of(track), texture)
