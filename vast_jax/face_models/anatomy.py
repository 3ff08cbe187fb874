"""Which vertex of any head is what: regions and plain paint masks, from a few named parts and the landmarks on it.

Where the shipped head has hand-made masks, a head from elsewhere has MediaPipe's contours of lips, eyes and brows.
"""

import cv2
import numpy as np

from vast_jax.face.model import PART_NAMES

# MediaPipe's closed contours, in order.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
EYES = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
)
BROWS = ((300, 293, 334, 296, 336, 285, 295, 282, 283, 276), (70, 63, 105, 66, 107, 55, 65, 52, 53, 46))
CHIN, MOUTH_CORNERS = 152, (61, 291)
LID = 6.0  # mm of skin around an eye that belong to it
LIP_EDGE = 1.5  # mm over which the colour of the lips fades
LASH = 1.4  # mm to either side of the rim of a lid
OPEN_SKY = {"skin": 0.85, "mouth_inside": 0.35, "upper_teeth": 0.6, "lower_teeth": 0.6, "tongue": 0.45}
GAP = 30.0  # mm behind a contour: deeper skin is another surface
NECK = 24.0  # mm below the chin landmark


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bare(kind: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays part, region_* and paint_* of a head of which only the kinds [V] (PART_NAMES) are known: no lips yet."""
    none = np.zeros(len(kind))
    inside = kind == "mouth_inside"
    body = inside | (kind == "skin")
    arrays = {f"region_{name}": none > 0 for name in ("face", "head", "mouth", "lips", "brows", "eyes")}
    arrays |= {f"region_{name}": kind == name for name in ("eye_left", "eye_right", "tongue")}
    arrays |= {"region_teeth": np.isin(kind, ("upper_teeth", "lower_teeth"))}
    arrays |= {"region_inside": inside, "region_casters": body}
    arrays |= {f"paint_{name}": none for name in ("lips", "eyelids", "ears", "scalp", "hair", "flush", "lash")}
    arrays["paint_inside"] = inside.astype(float)
    arrays["paint_occlusion"] = np.array([OPEN_SKY.get(name, 1.0) for name in kind])
    return arrays | {"part": np.array([PART_NAMES.index(name) for name in kind], np.uint8)}


def dress(
    kind: np.ndarray, neutral: np.ndarray, opened: np.ndarray, points: np.ndarray, opened_points: np.ndarray
) -> dict[str, np.ndarray]:
    """The same arrays, complete.

    Args:
      kind: [V] names of PART_NAMES, as far as they are known: no lips, brows, scalp or body yet.
      neutral, opened: [V, 3] vertices in mm, head frame, at rest and with the mouth open.
      points, opened_points: [478, 3] the landmarks on both.
    """
    x, y, z = neutral.T
    above_eyes = points[list(EYES[0] + EYES[1]), 1].mean() - y
    skin, body = kind == "skin", np.isin(kind, ("skin", "mouth_inside"))
    chin_y = points[CHIN, 1] + 4  # the landmark lies a little above the chin's edge
    front = skin & (z < -5) & (np.abs(np.degrees(np.arctan2(x, -(z + 5)))) < 78)

    lip_depth = within(opened, opened_points[list(OUTER_LIPS)], skin)
    eye_depth = np.maximum(*(within(neutral, points[list(eye)], skin) for eye in EYES))
    brow_depth = np.maximum(*(within(neutral, points[list(brow)], skin) for brow in BROWS))
    lips = lip_depth > 0
    mouth_y = points[list(MOUTH_CORNERS), 1].mean()
    face = front & (above_eyes < 34) & (y < chin_y) | (kind == "mouth_inside") | ~body
    arrays = bare(kind)
    arrays |= {
        "region_face": face,
        "region_head": front & (above_eyes < 60) & (y < chin_y + 8) | face,
        "region_mouth": front & (y > mouth_y - 18) & (np.abs(x) < 45) & (y < chin_y) & (z < -40) | lips,
        "region_lips": lips,
        "region_brows": brow_depth > 0,
        "region_eyes": eye_depth > -LID,
        "paint_lips": smoothstep(-LIP_EDGE / 2, LIP_EDGE / 2, lip_depth),
        "paint_eyelids": smoothstep(-LID, -LID / 2, eye_depth),
    }
    upper = np.where(above_eyes > 0, 1.0, 0.35)  # the upper rim carries more lashes
    arrays["paint_lash"] = upper * (1 - smoothstep(LASH / 3, LASH, np.abs(eye_depth)))
    part = arrays["part"]
    part[skin & (y > chin_y + NECK)] = PART_NAMES.index("body")
    part[lips] = PART_NAMES.index("lips")
    part[arrays["region_brows"]] = PART_NAMES.index("brows")
    return arrays


def within(vertices: np.ndarray, contour: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How deep [V] mm vertices lie inside a contour [n, 3] seen from the front; -1000 if far from it or not `among`."""
    depth = np.full(len(vertices), -1000.0)
    margin = np.array([20, 20, GAP])
    low, high = contour.min(0) - [20, 20, 1000], contour.max(0) + margin
    polygon = contour[:, None, :2].astype(np.float32)
    for v in np.flatnonzero(among & (vertices > low).all(1) & (vertices < high).all(1)):
        depth[v] = cv2.pointPolygonTest(polygon, (float(vertices[v, 0]), float(vertices[v, 1])), True)
    return depth
