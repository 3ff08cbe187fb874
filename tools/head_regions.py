"""What each vertex of the head is: parts, regions and soft paint masks, from groups, masks and geometry."""

import numpy as np

from vast_jax.face.model import PART_NAMES
from vast_jax.face_models.anatomy import smoothstep


def hair_height(azimuth: np.ndarray) -> np.ndarray:
    """Height of the hairline above the eyes in mm at an azimuth in degrees, 0 in front and 180 behind."""
    angle = [0, 15, 30, 42, 52, 62, 72, 80, 92, 105, 120, 140, 180]
    height = [64, 67, 66, 57, 42, 26, 6, -12, -16, -22, -52, -68, -74]
    return np.interp(np.abs(azimuth), angle, height)


def parts_regions_paint(neutral, triangles, group, masks, expression):
    """Part index [V], regions {name: bool [V]} and paint {name: float [V]} of the neutral head [V, 3] in mm."""
    x, y, z = neutral.T
    eye_y = np.mean([neutral[group == name, 1].mean() for name in ("eye_left", "eye_right")])
    above_eyes = eye_y - y
    body = group == "body"
    inside = body & (masks["inside-mouth"] > 0.5)
    skin = body & ~inside
    lips = skin & (masks["lips"] > 0.5)
    chin_y = y[skin & (np.abs(x) < 3) & (z < -60)].max()
    azimuth = np.degrees(np.arctan2(x, -(z + 5)))
    ears = np.where(skin, masks["ears"], 0)
    over = above_eyes - hair_height(azimuth)
    scalp = np.where(skin, smoothstep(-3, 5, over) * (1 - smoothstep(0.2, 0.6, ears)), 0)

    part = np.full(len(neutral), PART_NAMES.index("skin"), np.uint8)
    for name in ("eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue"):
        part[group == name] = PART_NAMES.index(name)
    part[inside] = PART_NAMES.index("mouth_inside")
    part[scalp > 0.5] = PART_NAMES.index("scalp")
    part[skin & (y > chin_y + 20) & (scalp < 0.5)] = PART_NAMES.index("body")
    part[lips] = PART_NAMES.index("lips")
    brow = skin & (brow_distance(x, above_eyes) < 6)
    part[brow & (z < -60)] = PART_NAMES.index("brows")

    moved = np.linalg.norm(expression["jawOpen"], axis=1)
    front = skin & (z < -5) & (np.abs(azimuth) < 78)
    face = front & (above_eyes < 34) & (y < chin_y + 4) | inside | ~body
    mouth_y = y[lips].mean()
    mouth = front & (y > mouth_y - 18) & (np.abs(x) < 45) & (y < chin_y + 2) & (z < -40) | lips
    regions = {
        "face": face,
        "head": (front & (above_eyes < 60) & (y < chin_y + 12)) | face,
        "mouth": mouth & (moved >= 0),
        "lips": lips,
        "brows": part == PART_NAMES.index("brows"),
        "eyes": skin & (masks["eyelids"] > 0.3),
        "eye_left": group == "eye_left",
        "eye_right": group == "eye_right",
        "teeth": np.isin(group, ("upper_teeth", "lower_teeth")),
        "tongue": group == "tongue",
        "inside": inside,
        "casters": body,  # of shadows: not eyes, teeth and tongue
    }
    paint = {
        "lips": np.where(skin, masks["lips"], 0),
        "eyelids": np.where(skin, masks["eyelids"], 0),
        "ears": ears,
        "inside": np.where(body, masks["inside-mouth"], 0),
        "scalp": scalp,
        "hair": (11 + 4 * smoothstep(-60, 60, x))
        * np.where(skin, smoothstep(-3, 34, over), 0)
        * (1 - smoothstep(0.05, 0.4, ears)),
        "flush": np.clip(flush(neutral, eye_y), 0, 1) * skin * (part != PART_NAMES.index("body")) + 0.45 * ears,
        "lash": np.where(skin, lash_line(neutral, group), 0),
    }
    return part, regions, paint


def brow_distance(x: np.ndarray, above_eyes: np.ndarray) -> np.ndarray:
    """Distance in mm from the arcs of the brows, in the frontal plane."""
    arc = np.array([[13, 19], [20, 22], [30, 25], [40, 25], [47, 21], [52, 16]], float)
    points = np.stack([np.interp(np.linspace(0, 5, 60), np.arange(6), arc[:, k]) for k in (0, 1)], 1)
    return np.sqrt((np.abs(x)[:, None] - points[:, 0]) ** 2 + (above_eyes[:, None] - points[:, 1]) ** 2).min(1)


def lash_line(neutral: np.ndarray, group: np.ndarray) -> np.ndarray:
    """How much [V] a vertex lies on the rim of a lid: close to the eyeball; the upper rim carries more lashes."""
    line = np.zeros(len(neutral))
    for name in ("eye_left", "eye_right"):
        ball = neutral[group == name]
        centre = ball.mean(0)
        radius = np.linalg.norm(ball - centre, axis=1).mean()
        offset = neutral - centre
        near = 1 - smoothstep(0.8, 2.6, np.linalg.norm(offset, axis=1) - radius)
        line = np.maximum(line, near * (offset[:, 2] < 2) * np.where(offset[:, 1] < -1, 1.0, 0.35))
    return line


def flush(neutral: np.ndarray, eye_y: float) -> np.ndarray:
    """Where blood shows through the skin [V]: cheeks, nose, around the eyes."""
    x, above = np.abs(neutral[:, 0]), eye_y - neutral[:, 1]

    def blob(left, up, width, height):
        return np.exp(-(((x - left) / width) ** 2) - ((above - up) / height) ** 2)

    front = smoothstep(20, 60, -neutral[:, 2])
    return front * (0.45 * blob(40, -34, 20, 17) + 0.3 * blob(0, -38, 13, 13) + 0.25 * blob(31, -1, 17, 12))
