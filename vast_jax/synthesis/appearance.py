"""Made-up looks: complexions, lights, backdrops and things before the face."""

from typing import NamedTuple

import cv2
import numpy as np

from vast_jax.face.complexion import (
    BROWS,
    CLOTHES,
    EYE_WHITE,
    FLUSH,
    GUMS,
    HAIR,
    IRIS,
    LASHES,
    LIPS,
    MOUTH,
    PALETTE,
    SKIN,
    TEETH,
    linear,
)  # fmt: skip
from vast_jax.face.shading import DEFAULT, Look

# sRGB; a person's is drawn between neighbours of its list.
SKINS = ((244, 208, 188), (224, 176, 150), (198, 146, 116), (160, 110, 82), (112, 74, 54), (74, 48, 38))
HAIRS = ((24, 20, 20), (50, 34, 26), (92, 62, 40), (168, 126, 78), (150, 74, 36), (150, 148, 146))
IRISES = ((52, 34, 24), (92, 62, 36), (104, 104, 60), (84, 116, 126), (96, 130, 160), (120, 124, 126))
OCCLUDERS = ("hand", "glasses", "microphone")


class Backdrop(NamedTuple):
    """What is behind the head: a gradient from top to bottom, with a blurred noise picture over it."""

    top: tuple[float, float, float] = (0.7, 0.7, 0.7)  # sRGB in [0, 1]
    bottom: tuple[float, float, float] = (0.7, 0.7, 0.7)
    texture: float = 0.0  # amplitude of the noise picture
    grain: float = 0.1  # its finest detail, as a share of the picture's height
    seed: int = 0


class Occluder(NamedTuple):
    """Something before the face.

    "hand": an ellipse; "microphone": a bar that comes from below; both stay in the picture where they are.
    "glasses": two rims of wire, a bridge and two temples, which move with the head (`centre` and `radius` are unused).
    """

    kind: str
    centre: tuple[float, float] = (0.0, 0.0)  # pixels: the hand's middle, the microphone's tip
    radius: float = 10.0  # pixels: the hand's longer half axis (the other is 0.6 of it), half the bar's width
    angle: float = 0.0  # radians
    colour: tuple[float, float, float] = (0.1, 0.1, 0.1)  # sRGB in [0, 1]


def random_look(rng: np.random.Generator) -> Look:
    """A complexion under random light; colours go together as people's do."""
    tone = rng.uniform(0, len(SKINS) - 1)
    skin = _between(SKINS, tone) * rng.uniform(0.92, 1.05) * rng.uniform(0.97, 1.03, 3)
    dark = tone / (len(SKINS) - 1)
    hair = _between(HAIRS, rng.uniform(0, 1) if dark > 0.45 else rng.uniform(0, len(HAIRS) - 1))
    iris = _between(IRISES, rng.uniform(0, 1) if dark > 0.45 else rng.uniform(0, len(IRISES) - 1))
    red = rng.uniform(0.2, 1.0)
    colours = PALETTE.copy()
    colours[SKIN] = linear(*skin)
    colours[FLUSH] = linear(*skin * [0.96, 0.8, 0.8])
    colours[LIPS] = linear(*skin * [0.9 - 0.06 * red, 0.72 - 0.2 * red, 0.76 - 0.16 * red])
    colours[BROWS] = linear(*hair * rng.uniform(0.6, 1.0))
    colours[HAIR] = linear(*hair)
    colours[LASHES] = linear(*np.minimum(hair * 0.7, 60))
    colours[IRIS] = linear(*iris)
    colours[EYE_WHITE] *= rng.uniform(0.8, 1.0)
    colours[TEETH] *= rng.uniform(0.75, 1.0) * np.float32([1, 1, rng.uniform(0.85, 1)])
    colours[[GUMS, MOUTH]] *= rng.uniform(0.6, 1.0)
    colours[CLOTHES] = rng.uniform(0.02, 0.5) * rng.uniform(0.6, 1.2, 3)
    return DEFAULT._replace(
        palette=colours.astype(np.float32), hair=float(rng.uniform(0.2, 1.7)), **_random_lights(rng)._asdict()
    )


class _Lights(NamedTuple):
    lights: np.ndarray
    light_colours: np.ndarray
    ambient: np.ndarray


def _random_lights(rng: np.random.Generator) -> _Lights:
    """A key light from anywhere in front and above, a fill from the other side, a rim; a warm or cold cast."""
    azimuth, height = rng.uniform(-1.1, 1.1), rng.uniform(0.0, 0.9)
    key = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
    side = -np.sign(azimuth) or 1.0
    others = np.array([[0.75 * side, -0.1, -0.65], [0.55 * side, -0.55, 0.62]])
    lights = np.concatenate([key[None], others / np.linalg.norm(others, axis=1, keepdims=True)])
    warmth = rng.normal(0, 0.08)
    cast = np.array([1 + warmth, 1 + rng.normal(0, 0.02), 1 - warmth])
    exposure = rng.uniform(0.7, 1.15)
    key_share = rng.uniform(0.55, 1.05)
    ambient = DEFAULT.ambient * exposure * rng.uniform(0.8, 1.5) * cast
    colours = DEFAULT.light_colours * np.array([[key_share], [rng.uniform(0.5, 2.0)], [rng.uniform(0, 1.5)]])
    return _Lights(
        lights.astype(np.float32), (colours * exposure * cast).astype(np.float32), ambient.astype(np.float32)
    )


def random_backdrop(rng: np.random.Generator) -> Backdrop:
    """Plain, a gradient, or a noise picture, each as often."""
    top = rng.uniform(0.1, 0.95, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.15, 0.95))
    kind = rng.integers(3)
    bottom = top if kind == 0 else np.clip(top * rng.uniform(0.5, 1.3) + rng.normal(0, 0.05, 3), 0, 1)
    texture = float(rng.uniform(0.1, 0.35)) if kind == 2 else 0.0
    seed = int(rng.integers(2**31))
    return Backdrop(tuple(map(float, top)), tuple(map(float, bottom)), texture, float(rng.uniform(0.02, 0.2)), seed)


def random_occluder(
    rng: np.random.Generator, look: Look, face: np.ndarray, scale: float, kind: str | None = None
) -> Occluder:
    """A hand on a cheek or before the mouth, glasses, or a microphone below the lips.

    face: [2] pixels, the point between the eyes; scale: pixels a millimetre there.
    """
    kind = str(rng.choice(OCCLUDERS)) if kind is None else kind
    colour = (float(rng.uniform(0.03, 0.3)),) * 3
    angle = float(rng.uniform(-0.6, 0.6))
    if kind == "hand":
        colour = tuple(float(v) for v in 0.9 * np.clip(look.palette[SKIN], 0, 1) ** (1 / 2.2))
        offset, radius = (rng.choice([-1, 1]) * rng.uniform(25, 60), rng.uniform(60, 95)), rng.uniform(35, 55)
    else:
        offset, radius = (rng.uniform(-25, 25), rng.uniform(85, 115)), rng.uniform(8, 18)
    centre = face + scale * np.array(offset)
    return Occluder(kind, (float(centre[0]), float(centre[1])), float(radius * scale), angle, colour)


def draw_backdrop(backdrop: Backdrop, width: int, height: int) -> np.ndarray:
    """The backdrop, sRGB [height, width, 3] float32 in [0, 1]."""
    down = (np.arange(height, dtype=np.float32) + 0.5)[:, None, None] / height
    picture = np.float32(backdrop.top) * (1 - down) + np.float32(backdrop.bottom) * down
    picture = np.repeat(picture, width, axis=1)
    if backdrop.texture:
        rng = np.random.default_rng(backdrop.seed)
        cells = np.array([1.0, 2.0, 5.0]) * max(backdrop.grain, 0.01)
        for cell in cells:
            rows = max(2, round(1 / cell))
            shape = rows, max(2, round(rows * width / height))
            coarse = rng.normal(size=(*shape, 1)) + 0.3 * rng.normal(size=(*shape, 3))  # mostly without colour
            coarse = coarse.astype(np.float32)
            smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            picture = picture + backdrop.texture / len(cells) * smooth
    return np.clip(picture, 0, 1, dtype=np.float32)


def _between(colours: tuple, at: float) -> np.ndarray:
    return np.array([np.interp(at, range(len(colours)), channel) for channel in zip(*colours, strict=True)])
