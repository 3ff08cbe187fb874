import numpy as np
import pytest

from vast_jax.face.shots import face_jumps, with_cuts


def picture(seed, size=(90, 120)):
    """A made-up scene: smooth blobs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    channels = [
        sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 600) for a, b in rng.uniform(0, size[1], (6, 2))) for _ in range(3)
    ]
    return np.clip(40 + 120 * np.stack(channels, -1), 0, 255).astype(np.uint8)


def cuts(frames):
    marked = list(with_cuts(frames))
    assert len(marked) == len(frames)
    assert all(np.array_equal(frame, given) for (frame, _), given in zip(marked, frames, strict=True))
    return [i for i, (_, cut) in enumerate(marked) if cut]


def test_each_cut_is_found_at_its_frame():
    a, b, c = picture(1), picture(2), picture(3)
    assert cuts([a] * 7 + [b] * 5 + [c] * 9) == [7, 12]
    assert cuts([a] * 7 + [b] * 2 + [c] * 7) == [7, 9]
    assert cuts([a] * 7 + [b] * 2) == [7]
    assert cuts([a]) == cuts([]) == []
    noisy = [np.clip(f + np.random.default_rng(i).normal(0, 9, f.shape), 0, 255).astype(np.uint8)
             for i, f in enumerate([a] * 6 + [b] * 6)]  # fmt: skip
    assert cuts(noisy) == [6]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length):
    a = picture(1)
    white = np.full_like(a, 250)
    over = np.clip(a.astype(int) * 3 + 60, 0, 255).astype(np.uint8)
    assert cuts([a] * 6 + [white] * length + [a] * 6) == []
    assert cuts([a] * 6 + [over] * length + [a] * 6) == []
    assert cuts([a] * 6 + [picture(2)] * length + [a] * 6) == []  # a damaged frame


def test_light_that_changes_and_motion_are_no_cuts():
    a = picture(1, (90, 400))
    assert cuts([a[:, 12 * t : 12 * t + 120] for t in range(20)]) == []
    assert cuts([(a * (1 - 0.8 * (t > 8))).astype(np.uint8) for t in range(20)]) == []
    twelve_a_second = [a[:, 24 * (t // 2) : 24 * (t // 2) + 120] for t in range(20)]
    assert cuts(twelve_a_second) == []


def test_a_face_that_jumps_and_stays_is_a_cut():
    rng = np.random.default_rng(0)
    shape = rng.uniform(-50, 50, (478, 3)).astype(np.float32)
    drift = np.linspace(0, 30, 20)[:, None, None]
    still = shape + drift + rng.normal(0, 0.3, (20, 478, 3))
    seen, size = np.ones(20, bool), np.full(20, 100.0)
    jump = still + np.where(np.arange(20) >= 9, 20, 0)[:, None, None]
    glitch = still + np.where((np.arange(20) >= 9) & (np.arange(20) < 11), 20, 0)[:, None, None]
    fast = still + np.clip(20 * (np.arange(20) - 6), 0, 140)[:, None, None]
    assert list(np.flatnonzero(face_jumps(jump, seen, size))) == [9]
    for motion in (still, glitch, fast):
        assert not face_jumps(motion, seen, size).any()
    assert not face_jumps(jump, np.arange(20) != 9, size).any()  # nobody knows what happened in between
