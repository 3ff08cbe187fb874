"""One face followed through a video: who it is among several, where it is lost, and the stretches that leaves."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vast_jax.face.landmarks import Landmarker
from vast_jax.face.shots import face_jumps, with_cuts
from vast_jax.media import FPS
from vast_jax.types import CROP, UserError

MAX_GAP = round(0.4 * FPS)  # frames without the face that are bridged
MIN_RUN = 3  # frames in a row that make a face
CHOICES = ("largest", "central", "left", "right", "0", "1", "2", "3")
_POINT = re.compile(r"([01]|[01]?\.\d+),([01]|[01]?\.\d+)")  # of the picture's width and height
_LOST = 2 * FPS  # frames after which somebody else, who was there all along, may be taken for the one asked for
_SEARCH_EVERY = 5  # frames: looking for small faces all over the picture is slow
_SMALL = 0.25  # of the picture's longer side: below it the landmarks of a closer look are steadier by a tenth
_CLOSE = 2.6  # times the face: what a closer look shows
_NEAR = 0.5  # faces: see `_distance`


class SeenFace(NamedTuple):
    """One face over a whole video at 25 fps."""

    landmarks: np.ndarray  # [N, 478, 3] float32, pixels of the frames; zeros where not seen
    seen: np.ndarray  # [N] bool
    cuts: np.ndarray  # [N] bool: whether a new shot begins here
    size: tuple[int, int]  # width and height of the frames, pixels


def check_choice(face: str) -> None:
    """UserError unless `face` is one of CHOICES or a point of the picture."""
    if face not in CHOICES and not _POINT.fullmatch(face):
        numbers = "a number counts from the left; 0.5,0.3 is the face nearest to that part of width and height"
        raise UserError(f"unknown face {face!r}: choose one of {', '.join(CHOICES)} ({numbers})")


def follow_face(frames: Iterable[np.ndarray], landmarker: Landmarker, face: str = "largest") -> SeenFace:
    """Landmarks of one face through `frames` (uint8 [H, W, 3] each), which are not kept.

    face: "largest", "central" (nearest to the middle), "left" or "right" in the first frame of a shot that shows any,
      or a number from left to right, "0" first, in its first frame that shows so many, or "0.5,0.3", the nearest to
      that part of the picture's width and height; then followed by continuity.
      When it is lost for longer than can be bridged, the choice is made anew among those who came after; among all
      after two seconds.

    UserError: unknown `face`, or a number that is never reached.
    """
    check_choice(face)
    people, most = _People(face), 0
    rows, seen, cuts, size = bytearray(), [], [], (0, 0)
    for frame, cut in with_cuts(frames):
        if cut:
            people = _People(face)
        size = frame.shape[1], frame.shape[0]
        faces = _detect(landmarker, frame, people.expected(), len(seen) % _SEARCH_EVERY == 0)
        chosen = people.update(faces, size)
        most = max(most, len(faces))
        seen.append(chosen is not None)
        cuts.append(cut)
        rows += (np.zeros((478, 3)) if chosen is None else chosen).astype(np.float32).tobytes()
    if face.isdigit() and not any(seen) and most:
        raise UserError(f"there is no face {face}: at most {most} at a time, counted from 0, left to right")
    landmarks = np.frombuffer(rows, np.float32).reshape(-1, 478, 3)
    cuts, seen = np.array(cuts, bool), np.array(seen, bool)
    sizes = np.ptp(landmarks[..., :2], axis=1).max(-1)
    return SeenFace(landmarks, _steady(seen, cuts), cuts | face_jumps(landmarks, seen, sizes), size)


class _Person:
    """Somebody in a shot: where they were, and how they move."""

    def __init__(self, face: np.ndarray, now: int):
        self.face, self.since, self.last, self.velocity = face, now, now, np.zeros(3, np.float32)

    def move(self, face: np.ndarray, now: int) -> None:
        step = (face - self.face).mean(0) / (now - self.last)
        self.velocity, self.face, self.last = (self.velocity + step) / 2, face, now

    def expected(self, now: int) -> np.ndarray:
        """Where the face would be by now, were it to go on as it did, for a moment at most."""
        return self.face + self.velocity * min(now - self.last, MAX_GAP)


class _People:
    """Everybody in a shot, so that none is taken for another."""

    def __init__(self, face: str):
        self._choice, self._now = face, 0
        self._all: list[_Person] = []
        self._chosen: _Person | None = None

    def expected(self) -> np.ndarray | None:
        """Where the chosen face should be in the next frame; None if nobody knows."""
        if self._chosen is None or self._now - self._chosen.last > MAX_GAP + 1:
            return None
        return self._chosen.expected(self._now)

    def update(self, faces: list[np.ndarray], size: tuple[int, int]) -> np.ndarray | None:
        """Takes the faces of the next frame; returns the chosen one if it is there."""
        known = [person for person in self._all if self._now - person.last <= _LOST]
        pairs = sorted(
            (_distance(face, person.expected(self._now)), i, k)
            for i, person in enumerate(known)
            for k, face in enumerate(faces)
        )
        here: dict[int, _Person] = {}
        for distance, i, k in pairs:
            if distance < _NEAR and k not in here and known[i] not in here.values():
                known[i].move(faces[k], self._now)
                here[k] = known[i]
        for k, face in enumerate(faces):
            if k not in here:
                here[k] = _Person(face, self._now)
                known.append(here[k])
        self._all = known
        missed = self._now - self._chosen.last if self._chosen else _LOST + 2
        if missed > MAX_GAP + 1 and here:
            chosen = self._choose([here[k] for k in range(len(faces))], size)
            newcomers = [person for person in here.values() if self._chosen and person.since > self._chosen.last]
            if missed <= _LOST + 1 and chosen not in newcomers:
                chosen = None if self._choice.isdigit() else self._choose(newcomers, size)
            self._chosen = chosen or self._chosen
        there = self._chosen is not None and self._chosen.last == self._now
        self._now += 1
        return self._chosen.face if there else None

    def _choose(self, people: list[_Person], size: tuple[int, int]) -> _Person | None:
        if not people:
            return None
        centres = [person.face[:, :2].mean(0) for person in people]
        if self._choice.isdigit():
            order = np.argsort([x for x, _ in centres])
            return people[order[int(self._choice)]] if int(self._choice) < len(people) else None
        point = _POINT.fullmatch(self._choice)
        target = np.array(size) * np.array(point.groups() if point else (0.5, 0.5), float)
        cost = {
            "largest": lambda k: -face_size(people[k].face),
            "left": lambda k: centres[k][0],
            "right": lambda k: -centres[k][0],
        }.get(self._choice, lambda k: np.linalg.norm(centres[k] - target))
        return people[min(range(len(people)), key=cost)]


def _detect(landmarker: Landmarker, frame: np.ndarray, expected: np.ndarray | None, search: bool) -> list[np.ndarray]:
    """Faces of the frame, with a closer look where the one `expected` is missed or small, or, if `search`, at all."""
    faces = _distinct(landmarker.detect(frame))
    height, width = frame.shape[:2]
    if min(height, width) < 2 * CROP // 3:
        return faces
    if expected is None:
        if not faces and search:
            side = min(height, width) / 2
            for y in (0, side / 2, side):
                for x in np.arange(0, width - side + 1, side / 2):
                    if found := _look(landmarker, frame, (x + side / 2, y + side / 2), side):
                        return found
        return faces
    at = nearest(faces, expected)
    face = expected if at is None else faces[at]
    if at is None or face_size(face) < _SMALL * max(height, width):
        centre = (face[:, :2].min(0) + face[:, :2].max(0)) / 2
        closer = _look(landmarker, frame, centre, _CLOSE * face_size(face))
        if at is None:
            return _distinct([*faces, *closer])
        if (same := nearest(closer, face)) is not None:
            faces[at] = closer[same]
    return faces


def _look(landmarker: Landmarker, frame: np.ndarray, centre, side: float) -> list[np.ndarray]:
    """Faces of the square of `side` about `centre`."""
    height, width = frame.shape[:2]
    corners = np.round(np.asarray(centre) + np.array([[-side / 2], [side / 2]]))
    (x0, y0), (x1, y1) = np.clip(corners, 0, (width, height)).astype(int)
    if min(x1 - x0, y1 - y0) < 32:
        return []
    return [face + np.array([x0, y0, 0], np.float32) for face in landmarker.detect(frame[y0:y1, x0:x1])]


def _distinct(faces: list[np.ndarray]) -> list[np.ndarray]:
    """Without faces that are another one found twice."""
    kept: list[np.ndarray] = []
    for face in faces:
        if all(_distance(face, other) > 0.2 for other in kept):
            kept.append(face)
    return kept


def face_size(face: np.ndarray) -> float:
    """Longer side of the box around landmarks [478, 3]."""
    return float(np.ptp(face[:, :2], axis=0).max())


def _distance(face: np.ndarray, other: np.ndarray) -> float:
    """How far a face is from another, in faces, plus the logarithm of how much larger or smaller it is."""
    size = face_size(other)
    return float(np.linalg.norm((face - other)[:, :2].mean(0)) / size + abs(np.log(face_size(face) / size)))


def nearest(faces: list[np.ndarray], expected: np.ndarray) -> int | None:
    """The face within half a face of `expected` and of like size."""
    distances = [_distance(face, expected) for face in faces]
    return int(np.argmin(distances)) if distances and min(distances) < _NEAR else None


def _steady(seen: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Without runs shorter than MIN_RUN: damaged frames show the detector a face now and then."""
    steady = np.zeros_like(seen)
    for run in runs(seen, cuts):
        steady[run] = run.stop - run.start >= MIN_RUN
    return steady


def runs(usable: np.ndarray, cuts: np.ndarray) -> list[slice]:
    """The runs of True, split where a shot begins."""
    starts = usable & (cuts | ~np.r_[False, usable[:-1]])
    stops = usable & np.r_[cuts[1:] | ~usable[1:], True][: len(usable)]
    return [slice(int(a), int(b) + 1) for a, b in zip(np.flatnonzero(starts), np.flatnonzero(stops), strict=True)]


def stretches(seen: np.ndarray, cuts: np.ndarray, max_gap: int = MAX_GAP) -> list[slice]:
    """What gaps of more than `max_gap` frames and cuts leave of a video: each begins and ends with the face seen."""
    usable = seen.copy()
    for before, after in pairwise(np.flatnonzero(seen)):
        if after - before <= max_gap + 1 and not cuts[before + 1 : after + 1].any():
            usable[before:after] = True
    return runs(usable, cuts)


def longest(found: list[slice]) -> slice:
    """The longest stretch; the first of equals; empty when there is none."""
    return max(found, key=lambda run: run.stop - run.start, default=slice(0, 0))


def bridge(landmarks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Interpolates landmarks [N, 478, 3] of one stretch where not `seen` between frames that are; in place."""
    for before, after in pairwise(np.flatnonzero(seen)):
        weight = (np.arange(before + 1, after) - before)[:, None, None] / (after - before)
        landmarks[before + 1 : after] = (1 - weight) * landmarks[before] + weight * landmarks[after]
    return landmarks
