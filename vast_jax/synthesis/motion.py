"""Made-up movement of head, eyes, lids and brows: arrays over the times of a clip, in seconds."""

import numpy as np

BLINK_CLOSING, BLINK_CLOSED, BLINK_OPENING = (0.06, 0.1), (0.02, 0.06), (0.12, 0.22)  # seconds, from, to
BLINK_GAP = 0.6  # seconds between blinks, at least
FIXATION = (0.25, 1.6)  # seconds
GAZE_REACH = (np.radians(9.0), np.radians(6.0))  # standard deviation of where people look besides at the camera
GAZE_LIMIT = np.radians(28.0)
SACCADE_SECONDS, SACCADE_SECONDS_A_RADIAN = 0.021, 0.126  # main sequence: 2.2 ms a degree
LID_REACH = np.radians(30.0)  # gaze pitch at which the lids have followed all the way
MOODS = {  # slowly varying, mixed; ARKit activations, both sides
    "happy": {"mouthSmile": 0.55, "cheekSquint": 0.5, "eyeSquint": 0.25, "mouthDimple": 0.15},
    "sad": {"mouthFrown": 0.45, "browInnerUp": 0.5, "mouthShrugLower": 0.2},
    "angry": {"browDown": 0.7, "noseSneer": 0.35, "mouthPress": 0.15, "eyeSquint": 0.2},
    "surprised": {"browInnerUp": 0.6, "browOuterUp": 0.6, "eyeWide": 0.5},
    "disdain": {"noseSneer": 0.4, "mouthUpperUp": 0.15, "mouthShrugUpper": 0.2},
}


def wander(rng: np.random.Generator, times: np.ndarray, seconds: float, columns: int = 1) -> np.ndarray:
    """Smooth noise [T, columns] of unit variance that loses its memory within about `seconds`."""
    waves = 12
    frequency = rng.rayleigh(1 / (2 * np.pi * seconds), (waves, columns))
    phase = rng.uniform(0, 2 * np.pi, (waves, columns))
    return np.sqrt(2 / waves) * np.sin(2 * np.pi * frequency * times[:, None, None] + phase).sum(1)


def blink_times(rng: np.random.Generator, seconds: float, a_minute: float) -> np.ndarray:
    """When blinks begin, about `a_minute` of them, one at least."""
    count = max(1, rng.poisson(a_minute * seconds / 60))
    begins = np.sort(rng.uniform(0.1, max(seconds - 0.4, 0.2), count))
    keep = [begins[0]]
    for begin in begins[1:]:
        if begin - keep[-1] >= BLINK_GAP:
            keep.append(begin)
    return np.array(keep)


def blinks(rng: np.random.Generator, times: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Closure [T, 2] of the left and right eye: lids fall fast, rest closed for a moment, and rise slowly."""
    closed = np.zeros((len(times), 2))
    for begin in begins:
        closing, rest, opening = (rng.uniform(*r) for r in (BLINK_CLOSING, BLINK_CLOSED, BLINK_OPENING))
        depth = rng.uniform(0.92, 1.0) * np.array([1.0, rng.uniform(0.97, 1.0)])
        falling = np.clip((times - begin) / closing, 0, 1)
        rising = np.clip((times - begin - closing - rest) / opening, 0, 1)
        falling, rising = (t * t * (3 - 2 * t) for t in (falling, rising))
        closed = np.maximum(closed, (falling * (1 - rising) ** 1.5)[:, None] * depth)
    return closed


def head_rotation(rng: np.random.Generator, times: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Axis-angle [T, 3] in radians: a constant attitude and slow turns about it, within +-`yaw` and +-`pitch`."""
    limits = np.array([pitch, yaw, 0.35 * yaw])
    attitude = rng.uniform(-0.7, 0.7, 3) * limits
    slow, nods = wander(rng, times, 0.7, 3), wander(rng, times, 0.2, 3)
    moved = attitude + limits * (0.22 * slow + [0.12, 0.05, 0.06] * nods)
    return np.clip(moved, -limits, limits)


def gaze(rng: np.random.Generator, times: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Gaze [T, 4] (yaw and pitch of the left, then of the right eye, in the head frame, radians) with saccades.

    Eyes rest on a place in the world, mostly near the camera, while the head turns under them.
    """
    target = np.zeros((len(times), 2))
    time, place = 0.0, rng.normal(size=2) * GAZE_REACH * 0.3
    target[:] = place
    while time < times[-1]:
        time += rng.uniform(*FIXATION)
        following = rng.normal(size=2) * GAZE_REACH * rng.choice([0.3, 1.0])
        duration = SACCADE_SECONDS + SACCADE_SECONDS_A_RADIAN * np.linalg.norm(following - place)
        t = np.clip((times - time) / duration, 0, 1)[:, None]
        target += (following - place) * t * t * (3 - 2 * t)
        place = following
    in_head = np.clip(target + np.stack([rotation[:, 1], -rotation[:, 0]], 1), -GAZE_LIMIT, GAZE_LIMIT)
    vergence = rng.uniform(0, np.radians(2.0))  # the left eye turns towards the nose, to the image left
    inward = np.array([vergence, 0])
    return np.concatenate([in_head - inward, in_head + inward], axis=1)


def lids_of(gaze: np.ndarray) -> dict[str, np.ndarray]:
    """ARKit's eyeLook activations [T] by name, of lids that follow the gaze [T, 4]."""
    shapes = {}
    for side, (yaw, pitch), inward in zip(("Left", "Right"), (gaze.T[:2], gaze.T[2:]), (-1, 1), strict=True):
        shapes[f"eyeLookDown{side}"] = np.clip(pitch / LID_REACH, 0, 1)
        shapes[f"eyeLookUp{side}"] = np.clip(-pitch / LID_REACH, 0, 1)
        shapes[f"eyeLookIn{side}"] = np.clip(inward * yaw / LID_REACH, 0, 1)
        shapes[f"eyeLookOut{side}"] = np.clip(-inward * yaw / LID_REACH, 0, 1)
    return shapes


def mood(rng: np.random.Generator, times: np.ndarray, strength: float) -> dict[str, np.ndarray]:
    """ARKit activations [T] by name: moods that come and go, brows that stress words, a mouth a little askew."""
    shapes: dict[str, np.ndarray] = {}
    levels = np.exp(1.2 * wander(rng, times, 1.5, len(MOODS)) + rng.normal(0, 1, len(MOODS)))
    levels = strength * levels / (levels.sum(1, keepdims=True) + 0.5)
    for (_, recipe), level in zip(MOODS.items(), levels.T, strict=True):
        for name, value in recipe.items():
            shapes[name] = shapes.get(name, 0) + value * level
    stress = np.maximum(wander(rng, times, 0.25)[:, 0] - 1, 0) * strength
    for name, value in {"browInnerUp": 0.3, "browOuterUp": 0.3}.items():
        shapes[name] = shapes.get(name, 0) + value * stress
    askew = 0.12 * wander(rng, times, 1.0)[:, 0] * strength
    return shapes | {"mouthLeft": np.maximum(askew, 0), "mouthRight": np.maximum(-askew, 0)}
