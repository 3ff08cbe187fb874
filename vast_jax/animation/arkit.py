"""ARKit's names and angles, as Live Link Face writes them, and how they follow from the face model's gaze and pose.

Angles: radians, right-handed about ARKit's axes of the face (x to the subject's left, y up, z out of the face), head to
camera, in the order yaw about y, then pitch about x, then roll about z: positive yaw turns to the subject's left,
positive pitch down, positive roll towards the subject's right shoulder.
"""

import numpy as np

from vast_jax.face.model import FaceModel, landmarks
from vast_jax.face.rasterise import rotation_matrix, rotation_vectors

_EYE = ("EyeBlink", "EyeLookDown", "EyeLookIn", "EyeLookOut", "EyeLookUp", "EyeSquint", "EyeWide")
_MOUTH = (
    *("JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker"),
    *("MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight"),
    *("MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight"),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *("MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight"),
    *("MouthUpperUpLeft", "MouthUpperUpRight"),
)
_REST = (
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"),
    *("CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
SHAPES = (*(name + "Left" for name in _EYE), *(name + "Right" for name in _EYE), *_MOUTH, *_REST)  # the app's order
ANGLES = tuple(part + angle for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))
LOOKS = tuple(f"EyeLook{way}{side}" for side in ("Left", "Right") for way in ("Down", "In", "Out", "Up"))
LIDS = {"EyeBlinkLeft": (386, 374), "EyeBlinkRight": (159, 145)}  # landmarks in the middle of the upper and lower lid
FULL_LOOK = np.radians(30.0)  # gaze at which an EyeLook shape is 1: ARKit does not say
TO_ARKIT = np.diag([1.0, -1.0, -1.0])  # from our axes (y down, z back) and back again: half a turn about x, no mirror


def closing_blinks(model: FaceModel) -> dict[str, float]:
    """The activation at which each eyeBlink closes the mean head's eye, at most 1: in ARKit it is 1."""
    names = [name.lower() for name in model.expression_names]
    closing = {}
    for name, (upper, lower) in LIDS.items():
        shape = model.expression_basis[names.index(name.lower())] if name.lower() in names else 0
        heads = np.stack([model.neutral, model.neutral + shape])
        height = (landmarks(model, heads) - model.landmark_offset)[:, [upper, lower], 1]
        opened, shut = height[:, 1] - height[:, 0]
        closing[name] = float(min(1, opened / (opened - shut))) if shut < opened else 1.0
    return closing


def angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll [N, 3] of head rotations [N, 3], axis-angle in our axes."""
    matrix = TO_ARKIT @ rotation_matrix(rotation) @ TO_ARKIT
    pitch = np.arcsin(np.clip(-matrix[:, 1, 2], -1, 1))
    yaw, roll = np.arctan2(matrix[:, 0, 2], matrix[:, 2, 2]), np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1])
    return np.stack([yaw, pitch, roll], axis=1)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Head rotations [N, 3], axis-angle in our axes, of yaw, pitch and roll [N, 3]."""
    yaw, pitch, roll = (rotation_matrix(angles[:, [i]] * axis) for i, axis in enumerate(np.eye(3)[[1, 0, 2]]))
    matrices = TO_ARKIT @ yaw @ pitch @ roll @ TO_ARKIT
    return rotation_vectors(matrices)


def looks(gaze: np.ndarray) -> dict[str, np.ndarray]:
    """The EyeLook shapes [N] of gaze [N, 4], as in FaceTrack."""
    shapes: dict[str, np.ndarray] = {}
    for side, (yaw, pitch), out in (("Left", gaze[:, :2].T, 1), ("Right", gaze[:, 2:].T, -1)):
        ways = {"Down": pitch, "In": -out * yaw, "Out": out * yaw, "Up": -pitch}
        shapes |= {f"EyeLook{way}{side}": np.clip(angle / FULL_LOOK, 0, 1) for way, angle in ways.items()}
    return shapes


def gaze(shapes: dict[str, np.ndarray]) -> np.ndarray:
    """Gaze [N, 4] of the EyeLook shapes [N]."""
    left, right = (shapes[f"EyeLookOut{side}"] - shapes[f"EyeLookIn{side}"] for side in ("Left", "Right"))
    down = [shapes[f"EyeLookDown{side}"] - shapes[f"EyeLookUp{side}"] for side in ("Left", "Right")]
    return FULL_LOOK * np.stack([left, down[0], -right, down[1]], axis=1)
