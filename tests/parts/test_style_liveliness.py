"""Blinks and wandering are measured here on made-up talkers of whom both are known."""

import dataclasses

import numpy as np
import pytest
from talkers import FACE, D, talker

from vast_jax.metrics.expressiveness import blinks_a_minute
from vast_jax.models.liveliness import AFTER, BEFORE, Liveliness, blink_rate, eye_closures
from vast_jax.parts import style_data
from vast_jax.parts.style_liveliness import blinked, calm, measure

LIDS = [FACE.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
BROW, JAW = FACE.expression_names.index("browInnerUp"), FACE.expression_names.index("jawOpen")
WEAK = np.array([BROW, *LIDS, FACE.expression_names.index("noseSneerLeft")])
SHAPE = np.array([0.6, 1.0, 0.7, 0.2])  # of a blink, from two frames before its deepest


def _blinker(name, seed, peaks, frames=300):
    """Wanders by x <- .8 x + noise in every weak parameter, and blinks: lids to .9, brow down by .1."""
    rng = np.random.default_rng(seed)
    clip = talker(name, name, 0.1, frames, seed)
    expression = clip.track.expression.copy()
    still = np.zeros((frames + 50, len(WEAK)))
    for t in range(1, len(still)):
        still[t] = 0.8 * still[t - 1] + 0.03 * 0.6 * rng.normal(size=len(WEAK))
    expression[:, WEAK] = 0.2 + still[50:]
    without = expression.copy()
    for peak in peaks:
        at = np.arange(peak - 1, peak + 3)
        expression[at[:, None], LIDS] += SHAPE[:, None] * (0.9 - expression[at[:, None], LIDS])
        expression[at, BROW] -= 0.1 * SHAPE
    track = clip.track._replace(expression=expression)
    return dataclasses.replace(clip, track=track), without


@pytest.fixture(scope="module")
def blinkers():
    return [_blinker(f"a/{i}", i, (40 + i, 120, 121 + 60, 250)) for i in range(8)]


def test_what_blinks_is_found(blinkers):
    blink, thorough, moved = blinked(FACE, [clip for clip, _ in blinkers], WEAK)
    assert set(moved) == {BROW, *LIDS}
    assert blink.shape == (BEFORE + 1 + AFTER, D)
    np.testing.assert_allclose(blink[BEFORE, LIDS], 0.9, atol=0.02)
    np.testing.assert_allclose(thorough[LIDS], 0.9, atol=0.02)
    nothing = blinked(FACE, [talker("a/b", "c", 0.1)], WEAK)
    assert len(nothing[2]) == 0 and not nothing[0].any()


def test_calm_clips_do_not_blink_and_are_themselves_elsewhere(blinkers):
    clip, without = blinkers[0]
    quiet = calm(FACE, clip, [BROW, *LIDS])
    assert blinks_a_minute(FACE, clip.track.expression) == 20 and blinks_a_minute(FACE, quiet.expression) == 0
    np.testing.assert_array_equal(quiet.begins, np.array([40, 120, 181, 250]) - BEFORE + 1)
    changed = (quiet.expression != clip.track.expression).any(1)
    assert 4 * 4 <= changed.sum() <= 4 * (BEFORE + AFTER - 1)
    assert (quiet.expression[:, JAW] == clip.track.expression[:, JAW]).all()
    np.testing.assert_allclose(quiet.expression, without, atol=0.15)


def test_the_measured_liveliness_moves_and_blinks_as_the_clips_do(blinkers):
    clips = [clip for clip, _ in blinkers]
    x = np.concatenate([clip.track.expression for clip in clips])
    mean, std = x.mean(0), np.maximum(x.std(0), 0.02)
    lively = measure(FACE, clips, np.full(len(clips), 1 / len(clips)), mean, std, WEAK)
    again = Liveliness.of(lively.constants())
    wandering = again.wander(20000)
    np.testing.assert_allclose(wandering.std(0), 1, atol=0.05)
    lag = np.mean(wandering[5:] * wandering[:-5], axis=0)  # slower than half a frame's tremble
    assert (np.abs(lag - 0.8**5) < 0.15).all()
    assert np.argmax(again.wave) == BEFORE - 1 and again.wave.max() == 1
    np.testing.assert_allclose(again.wave[BEFORE - 2 : BEFORE + 2], SHAPE, atol=0.06)
    shut = again.shut * std[WEAK]
    np.testing.assert_allclose(shut[1:3] + mean[LIDS], 0.9, atol=0.02)
    assert shut[0] == pytest.approx(-0.1, abs=0.02) and shut[3] == 0
    np.testing.assert_array_equal(again.lids, [0, 1, 1, 0])


def test_a_parameter_that_never_moves_wanders_nowhere(blinkers):
    clips = [
        dataclasses.replace(clip, track=clip.track._replace(expression=clip.track.expression.copy()))
        for clip, _ in blinkers[:2]
    ]
    for clip in clips:
        clip.track.expression[:, WEAK[3]] = 0
    lively = measure(FACE, clips, np.full(2, 0.5), np.zeros(D), np.ones(D), WEAK)
    wandering = lively.wander(5000)
    assert np.isfinite(lively.memory).all() and np.abs(wandering[:, 3]).max() < 0.01
    np.testing.assert_allclose(wandering[:, :3].std(0), 1, atol=0.1)


def test_a_face_without_lids_does_not_blink(blinkers):
    face = dataclasses.replace(FACE, expression_names=tuple(f"shape{d}" for d in range(D)))
    clips = [clip for clip, _ in blinkers[:2]]
    lively = measure(face, clips, [0.5, 0.5], np.zeros(D), np.ones(D), WEAK)
    assert not lively.shut.any() and not lively.lids.any() and np.isfinite(lively.wander(50)).all()


def test_targets_are_without_blinks_and_say_where_they_were(blinkers):
    clip = blinkers[0][0]
    quiet = {clip.name: calm(FACE, clip, [BROW, *LIDS])}
    make = style_data.Examples([clip], FACE.expression_names, 96, 0.0, 0.5, stretch=0.2, calm=quiet)
    rng, seen = np.random.default_rng(0), 0
    for index in range(30):
        example = make(index, rng)
        length = example["mask"].sum()
        begins = np.flatnonzero(example["blink"] == style_data.BEGINS)
        seen += len(begins)
        assert blinks_a_minute(FACE, example["expression"][:length]) == 0
        for first in begins:
            under_way = example["blink"][first + 1 : first + style_data.BLINK_FRAMES]
            assert (under_way[: max(length - first - 1, 0)] == style_data.UNDER_WAY).all()
            if first + BEFORE < min(length, example["prompt_mask"].sum()):  # the prompt here is the target itself
                assert example["prompt_expression"][first : first + 2 * BEFORE, LIDS[0]].max() > 0.6
        assert not example["blink"][length:].any()
        frames = int(example["prompt_mask"].sum())
        closed = example["prompt_expression"][:frames] @ eye_closures(FACE)
        seen_begin = int(np.sum(np.diff(np.r_[0, closed > 0.6].astype(int)) == 1))
        fewer, more = (blink_rate(max(seen_begin + one, 0), frames) for one in (-1, 1))  # either end may cut one
        assert fewer <= example["prompt_blinks"] <= more
    assert seen > 15
