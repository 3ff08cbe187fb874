import numpy as np
import pytest

from vast_jax.face import following
from vast_jax.face.following import CHOICES, MAX_GAP, bridge, follow_face, longest, stretches
from vast_jax.types import UserError

WIDTH, HEIGHT = 120, 100
_SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 2))


def face_at(x, y=50.0, size=30.0):
    return np.c_[_SHAPE * size + [x, y], np.zeros(478)].astype(np.float32)


class ScriptedLandmarker:
    """Says what it is told, frame by frame."""

    def __init__(self, script):
        self.script = iter(script)

    def detect(self, rgb):
        return next(self.script)


def follow(script, face="largest", scenes=None):
    """`scenes` is a number a frame: another number, another picture."""
    pictures = np.random.default_rng(1).integers(0, 255, (3, HEIGHT, WIDTH, 3), np.uint8)
    frames = (pictures[scene] for scene in (scenes or [0] * len(script)))
    return follow_face(frames, ScriptedLandmarker(script), face)


def places(found):
    """Where the face is, to a pixel or two; None where it is not."""
    middles = found.landmarks[..., 0].mean(1) - 30 * _SHAPE[:, 0].mean()
    return [round(float(x)) if seen else None for x, seen in zip(middles, found.seen, strict=True)]


def test_the_choice_is_made_in_the_first_frame_that_shows_any():
    left, middle, right = face_at(20), face_at(62, size=28), face_at(100, size=36)
    script = [[], [middle, right, left], [right, left, middle], [left, middle, right]]
    expected = {"largest": 100, "central": 62, "left": 20, "right": 100, "0": 20, "1": 62, "2": 100}
    for face, x in expected.items():
        found = follow(script, face)
        np.testing.assert_array_equal(found.seen, [False, True, True, True])
        assert all(abs(place - x) <= 2 for place in places(found)[1:])
    assert {*expected, "3"} == set(CHOICES)
    for face, x in {"0.5,0.5": 62, "0.7,1": 100, "0,.5": 20}.items():  # near a point of the picture
        assert all(abs(place - x) <= 2 for place in places(follow(script, face))[1:])
    with pytest.raises(UserError, match="there is no face 3: at most 3 at a time"):
        follow(script, "3")
    with pytest.raises(UserError, match="unknown face 'nicest': choose one of largest, central, left"):
        follow(script, "nicest")
    with pytest.raises(UserError, match="unknown face '2,2'"):
        follow(script, "2,2")


def test_a_number_waits_for_the_frame_that_shows_so_many():
    one, two = face_at(30), face_at(90)
    assert places(follow([[two]] * 3 + [[one, two]] * 4, "1")) == [None] * 3 + [90] * 4


def test_it_stays_the_same_face_when_another_grows_larger():
    script = [[face_at(30, size=30 + 2 * t), face_at(90, size=40)] for t in range(12)]
    np.testing.assert_allclose(follow(script).landmarks[..., 0].mean(1), face_at(90, size=40)[:, 0].mean(), atol=0.1)


@pytest.mark.parametrize("face,end", [("left", 100), ("right", 20)])
@pytest.mark.parametrize("hidden", [0, 3])
def test_people_who_cross_are_not_exchanged(face, end, hidden):
    """One walks to the right, another to the left; near the crossing one may hide the other."""
    script = []
    for t in range(41):
        faces = [face_at(20 + 2 * t), face_at(100 - 2 * t)]
        if abs(t - 20) < hidden:
            faces = faces[:1] if face == "right" else faces[1:]  # the one who is not followed stays in sight
        script.append(faces if t % 2 else faces[::-1])
    found = places(follow(script, face))
    assert found[-1] == end
    steps = np.diff([place for place in found if place is not None])
    assert (np.sign(steps[steps != 0]) == np.sign(end - 60)).all()


def test_another_face_does_not_stand_in_for_a_lost_one():
    here, there = face_at(20), face_at(100)
    seen = follow([*[[here]] * 3, [there], [there], *[[here]] * 3]).seen
    np.testing.assert_array_equal(seen, [True] * 3 + [False] * 2 + [True] * 3)


def test_who_was_there_all_along_stands_in_only_after_two_seconds_and_who_comes_later_at_once():
    here, there = face_at(20, size=40), face_at(100)
    left = follow([[here, there]] * 5 + [[there]] * 70)
    gap = np.flatnonzero(~left.seen)
    assert len(gap) >= 50 and gap[0] == 5 and left.seen[gap[-1] + 1 :].all() and left.seen[-1]
    back = follow([[here, there]] * 5 + [[there]] * 20 + [[face_at(50, size=20), there]] * 5)
    assert places(back)[-5:] == pytest.approx([50] * 5, abs=2)


def test_a_choice_made_anew_never_ends_a_gap_that_is_bridged():
    here, there = face_at(20), face_at(100)
    found = follow([[here]] * 3 + [[there]] * (MAX_GAP + 6))
    assert found.seen[:3].all() and found.seen[-3:].all()
    assert len(stretches(found.seen, found.cuts)) == 2


def test_a_cut_makes_the_choice_anew_and_is_not_bridged():
    here, there = face_at(20), face_at(24, size=36)
    script = [[here]] * 8 + [[]] + [[there, face_at(100, size=20)]] * 8
    scenes = [0] * 8 + [1] * 9
    found = follow(script, scenes=scenes)
    np.testing.assert_array_equal(np.flatnonzero(found.cuts), [8])
    assert stretches(found.seen, found.cuts) == [slice(0, 8), slice(9, 17)]
    assert stretches(*follow(script)[1:3]) == [slice(0, 17)]  # the same without a cut: a gap of one frame
    assert places(follow(script, "right", scenes))[-1] in (100, 101)


def test_a_flash_of_a_face_does_not_count():
    face = face_at(50)
    seen = follow([[face], [], [face], [face], [], [face], [face], [face]]).seen
    np.testing.assert_array_equal(seen, [False] * 5 + [True] * 3)


def test_one_face_found_twice_is_one():
    double = [face_at(50), face_at(52)]
    with pytest.raises(UserError, match="at most 1 at a time"):
        follow([double] * 3, "1")


def test_gaps_are_bridged_up_to_the_limit_by_interpolation():
    seen = np.ones(60, bool)
    seen[10 : 10 + MAX_GAP] = False
    seen[25 : 25 + MAX_GAP + 1] = False
    seen[[0, 58, 59]] = False
    runs = stretches(seen, np.zeros(60, bool))
    assert runs == [slice(1, 25), slice(25 + MAX_GAP + 1, 58)]
    assert longest(runs) == slice(1, 25) and longest([]) == slice(0, 0)
    ramp = np.arange(60.0)[:, None, None] * np.ones((1, 478, 3))
    bridged = bridge(np.where(seen[:, None, None], ramp, 0)[1:25], seen[1:25])
    np.testing.assert_allclose(bridged, ramp[1:25])


def test_a_cut_inside_a_gap_or_at_its_end_splits():
    seen = np.array([1, 1, 1, 0, 0, 1, 1, 1], bool)
    for at in (3, 4, 5):
        cuts = np.arange(8) == at
        assert stretches(seen, cuts) == [slice(0, 3), slice(5, 8)]
    assert stretches(seen, np.arange(8) == 6) == [slice(0, 6), slice(6, 8)]
    assert stretches(seen, np.arange(8) == 0) == [slice(0, 8)]


def test_a_small_face_is_looked_at_more_closely():
    """The landmarks of the closer look count, in pixels of the frame."""
    looked = []

    class Landmarker:
        def detect(self, rgb):
            looked.append(rgb.shape[:2])
            if rgb.shape[0] == 300:
                return [face_at(200, 150, 40)]
            return [face_at(rgb.shape[1] / 2 + 1, rgb.shape[0] / 2, 40)]

    found = follow_face([np.zeros((300, 400, 3), np.uint8)] * 4, Landmarker())
    assert {shape for shape in looked if shape != (300, 400)} == {(104, 104)}
    shift = (found.landmarks[1:] - found.landmarks[0]).mean((0, 1))
    assert 0 < shift[0] < 4 and abs(shift[1]) < 2 and found.seen.all()
    assert following.face_size(face_at(0)) == pytest.approx(30, rel=0.02)
