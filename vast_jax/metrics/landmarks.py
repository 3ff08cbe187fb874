"""Landmark distances on the 68 points of iBUG (LMD of the paper's Table 1, in pixels of the 256 crop)."""

import numpy as np

from vast_jax.face.landmarks import INNER_LIPS, OUTER_EYE_CORNERS

# MediaPipe's vertex for each of the 68 iBUG (300-W, dlib) points, in iBUG order: the widely used hand-made map. The
# jaw line is the loosest part of it: MediaPipe's oval follows the face's silhouette, iBUG's the jaw.
IBUG_68 = np.array(
    (
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # 0-16 jaw
        *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # 17-26 brows
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # 27-35 nose
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # 36-47 eyes
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # 48-59 outer lips
        *(78, 82, 13, 312, 308, 317, 14, 87),  # 60-67 inner lips
    )
)
MOUTH = slice(48, 68)


def umeyama(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least-squares similarity from `source` to `target`, both [..., N, D]: target ~ scale * source @ R.T + t.

    Returns scale [...], rotation [..., D, D] (proper: never a mirror image) and translation [..., D].
    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    source_mean, target_mean = source.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    centred = source - source_mean
    covariance = np.swapaxes(target - target_mean, -1, -2) @ centred / source.shape[-2]
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.ones_like(singular)
    signs[..., -1] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * signs[..., None, :]) @ vt
    scale = (singular * signs).sum(-1) / np.square(centred).sum((-1, -2)) * source.shape[-2]
    translation = target_mean[..., 0, :] - scale[..., None] * (rotation @ source_mean[..., 0, :, None])[..., 0]
    return scale, rotation, translation


def lmd(generated: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """LMD and LMD-m in pixels: mean distance of all 68 points, and of the 20 of the mouth (iBUG 48 to 67).

    Both [T, 478, 2 or more], MediaPipe's landmarks in pixels of the same crop. Each generated frame is first laid on
    the real one by the Umeyama similarity of all 68 points, for both figures. Frames with a NaN (no face seen) on
    either side are left out; NaN where none is left.
    """
    distance, _ = _aligned_distances(generated, real)
    if not len(distance):
        return float("nan"), float("nan")
    return float(distance.mean()), float(distance[:, MOUTH].mean())


def lmd_interocular(generated: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """`lmd`, each frame's distances divided by that of the real frame's outer eye corners: free of scale."""
    distance, seen = _aligned_distances(generated, real)
    if not len(distance):
        return float("nan"), float("nan")
    distance = distance / interocular(np.asarray(real, np.float64)[seen])[:, None]
    return float(distance.mean()), float(distance[:, MOUTH].mean())


def _aligned_distances(generated: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances [seen frames, 68] after alignment, and which frames are seen on both sides, bool [T]."""
    pair = [np.asarray(points, np.float64)[:, IBUG_68, :2] for points in (generated, real)]
    seen = np.isfinite(pair[0]).all((1, 2)) & np.isfinite(pair[1]).all((1, 2))
    source, target = (points[seen] for points in pair)
    scale, rotation, translation = umeyama(source, target)
    aligned = scale[:, None, None] * source @ np.swapaxes(rotation, -1, -2) + translation[:, None]
    return np.linalg.norm(aligned - target, axis=-1), seen


def interocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance of the outer eye corners, [..., 478, 2 or more] -> [...], in the landmarks' unit."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(landmarks[..., right, :2] - landmarks[..., left, :2], axis=-1)


def lip_aperture(landmarks: np.ndarray) -> np.ndarray:
    """Gap between the inner lips over the interocular distance, [..., 478, 2 or more] -> [...]."""
    upper, lower = INNER_LIPS
    gap = np.linalg.norm(landmarks[..., upper, :2] - landmarks[..., lower, :2], axis=-1)
    return gap / interocular(landmarks)


def aperture_lag(generated: np.ndarray, real: np.ndarray, max_lag: int = 10) -> tuple[int, float]:
    """By how many frames the generated lips come late, and how well they then follow: (lag, correlation).

    The lag, from -max_lag to max_lag, at which Pearson's correlation of two apertures [T] (of `lip_aperture`, or of
    `expression.mesh_lip_aperture`) is highest: positive where generated[t + lag] resembles real[t], so that the
    generated one is late; of equal ones the smallest. Frames with a NaN on either side are left out. Lags that leave
    less than half of the frames, or an aperture that does not move, are not tried; (0, NaN) where none is left.
    """
    generated, real = (np.asarray(aperture, np.float64) for aperture in (generated, real))
    count = min(len(generated), len(real))
    best, highest, reach = 0, float("nan"), min(max_lag, count // 2)
    for lag in sorted(range(-reach, reach + 1), key=abs):
        late, early = max(lag, 0), max(-lag, 0)
        pair = np.stack([generated[late : count - early], real[early : count - late]])
        pair = pair[:, np.isfinite(pair).all(0)]
        if pair.shape[1] < max(count / 2, 3) or pair.std(1).min() < 1e-9:
            continue
        value = float(np.corrcoef(pair)[0, 1])
        if not value <= highest + 1e-12:
            best, highest = lag, value
    return best, highest
