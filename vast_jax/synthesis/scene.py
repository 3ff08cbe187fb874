"""A scene: all numbers that make a clip of synthetic footage, and how to draw one."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from vast_jax.face.model import PUPIL_DISTANCE, FaceModel
from vast_jax.face.rasterise import Camera, rotation_matrix
from vast_jax.face.shading import Look
from vast_jax.face.tracking import FOCAL
from vast_jax.media import FPS
from vast_jax.synthesis import motion
from vast_jax.synthesis.appearance import Backdrop, Occluder, random_backdrop, random_look, random_occluder
from vast_jax.synthesis.speech import CLOSED, RATE, Phone, closure, mouth_shapes, random_phones
from vast_jax.types import UserError

Realism = Literal["clean", "realistic", "hard"]
# Standard deviation of identities drawn: fits to 105 clips of 80 people have 0.6 in the strongest parameters and in the
# learned ones, 0.3 elsewhere. At 1, skulls come out odd, for the basis spans people of every age, weight and origin.
PEOPLE = 0.6
MINIMUM_SIDE = 32  # pixels


@dataclass(frozen=True)
class Sensor:
    """What a camera and a file do to a picture; the default does nothing."""

    shutter: float = 0.0  # of the time between frames: motion blur
    defocus: float = 0.0  # pixels, standard deviation
    noise: float = 0.0  # grey levels in mid grey, standard deviation
    jpeg: int | None = None  # quality of a first compression, frame by frame
    crf: int = 17  # of the video's H.264


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip of N frames at 25 a second. Millimetres, radians and axes as in FaceTrack."""

    identity: np.ndarray  # [I] float32
    expression: np.ndarray  # [N, D] float32
    rotation: np.ndarray  # [N, 3] float32
    translation: np.ndarray  # [N, 3] float32
    gaze: np.ndarray  # [N, 4] float32
    phones: tuple[Phone, ...]
    pitch: float  # Hz, of the voice
    size: tuple[int, int]  # pixels, width and height
    focal: float  # pixels; the principal point is the picture's middle
    look: Look
    backdrop: Backdrop
    occluder: Occluder | None
    sensor: Sensor
    seed: int  # of sensor noise and voice

    @property
    def camera(self) -> Camera:
        """The camera, in pixels of the picture (not of a crop)."""
        return Camera(self.focal, self.size[0] / 2, self.size[1] / 2)

    @property
    def seconds(self) -> float:
        return len(self.expression) / FPS


def random_scene(
    rng: np.random.Generator,
    model: FaceModel,
    realism: Realism = "realistic",
    seconds: float = 4.0,
    size: tuple[int, int] = (512, 512),
    eye_distance: float | None = None,
    yaw: float = 25.0,
    pitch: float = 12.0,
    focal: float = FOCAL,
    blinks: float | None = None,
    person: np.random.Generator | None = None,
) -> Scene:
    """Draws a person, what they say and how, their light and their camera.

    Args:
      realism: "clean" is free of noise, blur and compression loss, before any backdrop; "realistic" has moderate ones;
        "hard" has strong ones and something before the face.
      size: width and height in pixels.
      eye_distance: pixels between the eyes of a frontal face; None draws an eighth to a fifth of the shorter side.
      yaw, pitch: degrees that the head turns at most.
      focal: of the longer side; the tracker assumes 1.2.
      blinks: a minute; None draws 3 to 20. There is one at least.
      person: draws all that stays the same from clip to clip of one person before one camera; `rng` unless given.

    Raises:
      UserError: a value out of range.
    """
    _check(realism, seconds, size, eye_distance, yaw, pitch, focal)
    n_frames = max(1, round(seconds * FPS))
    times = np.arange(n_frames) / FPS
    person = rng if person is None else person
    identity = PEOPLE * person.normal(size=len(model.identity_basis)).astype(np.float32)
    look, backdrop = random_look(person), random_backdrop(person)
    eye_distance = person.uniform(0.125, 0.2) * min(size) if eye_distance is None else eye_distance
    shift = person.uniform([-0.06, -0.06], [0.06, 0.02]) * min(size)  # of the eyes from the picture's middle
    sensor = _random_sensor(person, realism, eye_distance)
    voice = float(np.exp(person.uniform(np.log(95), np.log(240))))
    focal_pixels = focal * max(size)
    rotation = motion.head_rotation(rng, times, np.radians(yaw), np.radians(pitch))
    gaze = motion.gaze(rng, times, rotation)
    phones = random_phones(rng, n_frames / FPS, rng.uniform(*RATE))
    expression = _expression(rng, model, times, phones, gaze, blinks)
    eyes = np.array([*shift, focal_pixels]) * PUPIL_DISTANCE / eye_distance
    translation = _translation(rng, times, model, rotation, eyes)
    occluder = None
    if realism == "hard":
        face = shift + np.array(size) / 2
        occluder = random_occluder(rng, look, face, eye_distance / PUPIL_DISTANCE)
    arrays = (array.astype(np.float32) for array in (identity, expression, rotation, translation, gaze))
    seed = int(rng.integers(2**31))
    return Scene(*arrays, phones, voice, size, focal_pixels, look, backdrop, occluder, sensor, seed)


def _check(realism, seconds, size, eye_distance, yaw, pitch, focal) -> None:
    if realism not in get_args(Realism):
        raise UserError(f"unknown realism {realism!r}: choose one of {', '.join(get_args(Realism))}")
    if not seconds > 0:
        raise UserError(f"a clip of {seconds} seconds has no frames: ask for more than 0")
    if min(size) < MINIMUM_SIDE:
        raise UserError(f"a picture of {size[0]}x{size[1]} is too small for a face: ask for {MINIMUM_SIDE} or more")
    if eye_distance is not None and not eye_distance > 0:
        raise UserError(f"an eye distance of {eye_distance} pixels is none: ask for more than 0")
    if not (0 <= yaw <= 90 and 0 <= pitch <= 90):
        raise UserError(f"a head cannot turn by {yaw} degrees of yaw and {pitch} of pitch: ask for 0 to 90")
    if not focal > 0:
        raise UserError(f"a focal length of {focal} is none: ask for more than 0, say {FOCAL}")


def _expression(rng, model: FaceModel, times, phones, gaze, blinks: float | None) -> np.ndarray:
    """Activations [N, D]: speech, mood, lids that follow the gaze, and blinks that close them wherever they are."""
    strength = rng.uniform(0.2, 1.0)
    speech = mouth_shapes(phones, times, effort=rng.uniform(0.7, 1.1))
    mood = motion.mood(rng, times, strength)
    # What a mood adds must not part lips that have to meet.
    lips_meet = closure([phone for phone in phones if phone.name in CLOSED], times)
    shapes = {name: value * (1 - lips_meet) if name.startswith("mouth") else value for name, value in mood.items()}
    for name, value in speech.items():
        shapes[name] = shapes.get(name, 0) + value
    a_minute = rng.uniform(3, 20) if blinks is None else blinks
    closed = motion.blinks(rng, times, motion.blink_times(rng, times[-1] + 1 / FPS, a_minute))
    expression = np.zeros((len(times), len(model.expression_names)))
    names = {name: i for i, name in enumerate(model.expression_names)}
    for name, value in (shapes | motion.lids_of(gaze)).items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in names:
                expression[:, names[full]] += value
    for side, value in zip(("Left", "Right"), closed.T, strict=True):
        for name in ("eyeWide", "eyeSquint", "eyeLookUp", "eyeLookDown"):  # a closed lid is where it is
            if name + side in names:
                expression[:, names[name + side]] *= 1 - value
        expression[:, names["eyeBlink" + side]] = value
    return np.clip(expression, 0, 1)


def _translation(rng, times: np.ndarray, model: FaceModel, rotation: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Head origin [N, 3] in mm of a head whose point between the eyes sways about `eyes` [3], camera frame."""
    sway = motion.wander(rng, times, 0.8, 3) * [3.0, 2.0, 4.0]
    turned = rotation_matrix(rotation) @ model.eye_centres.mean(0)
    return eyes + sway + 0.5 * (turned - turned.mean(0)) - turned  # heads turn about the neck: eyes move along


def _random_sensor(rng, realism: Realism, eye_distance: float) -> Sensor:
    if realism == "clean":
        return Sensor()
    strong = 2.0 if realism == "hard" else 1.0
    return Sensor(
        shutter=float(rng.uniform(0.1, 0.4) * strong),
        defocus=float(rng.uniform(0.0, 0.008) * eye_distance * strong),
        noise=float(rng.uniform(0.5, 3.0) * strong),
        jpeg=int(rng.integers(75, 95) - 20 * (strong - 1)) if rng.random() < 0.3 * strong else None,
        crf=int(rng.integers(20, 27) + 6 * (strong - 1)),
    )
