import numpy as np
import pytest

from vast_jax.generation import style_mix
from vast_jax.generation.style_mix import Moment, Share
from vast_jax.types import UserError

ONE, OTHER = np.array([0.0, 2.0, -1.0], np.float32), np.array([4.0, 2.0, 1.0], np.float32)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("angry.mp4:0.7", Share("angry.mp4", 0.7)),
        ("angry.mp4", Share("angry.mp4", 1.0)),
        ("C:\\films\\a.mp4", Share("C:\\films\\a.mp4", 1.0)),
        ("C:\\films\\a.mp4:2", Share("C:\\films\\a.mp4", 2.0)),
        ("prior:1e-1", Share("prior", 0.1)),
    ],
)
def test_a_prompt_and_its_share(text, part):
    assert style_mix.parse_share(text) == part


@pytest.mark.parametrize("text", ["", "a.mp4:0", "a.mp4:-1", "a.mp4:.."])
def test_what_is_no_share(text):
    with pytest.raises(UserError, match="share"):
        style_mix.parse_share(text)


def test_schedule():
    assert style_mix.parse_schedule("4.2s angry.mp4:0.5+b c.mp4:1.5, 0s calm.style") == [
        Moment(0.0, (Share("calm.style", 1.0),)),
        Moment(4.2, (Share("angry.mp4", 0.5), Share("b c.mp4", 1.5))),
    ]
    for text in ("", "calm.style", "0 calm.style", "0s", "-1s a.mp4", "0s a.mp4, 0.0s b.mp4"):
        with pytest.raises(UserError):
            style_mix.parse_schedule(text)


def test_a_mix_lies_between_and_intensity_goes_beyond():
    np.testing.assert_allclose(style_mix.mix([ONE, OTHER], [3, 1]), [1, 2, -0.5])
    for intensity, expected in ((0, ONE), (1, OTHER), (1.5, [6, 2, 2]), (0.5, [2, 2, 0])):
        np.testing.assert_allclose(style_mix.strengthen(OTHER, ONE, intensity), expected)


def test_styles_over_time_arrive_when_they_are_due_and_never_jump():
    out = style_mix.over_time([0.0, 2.0, 2.4], [ONE, OTHER, ONE], 100, fade=0.8)
    assert out.shape == (100, 3) and out.dtype == np.float32
    np.testing.assert_allclose(out[:30], np.tile(ONE, (30, 1)), atol=1e-6)  # the fade begins at 1.2 s
    np.testing.assert_allclose(out[50], OTHER, atol=1e-5)
    np.testing.assert_allclose(out[60:], np.tile(ONE, (40, 1)), atol=1e-5)  # 0.4 s were left for the second
    assert np.abs(np.diff(out, axis=0)).max() < 4 * 1.5 / (0.4 * 25) + 1e-3  # the steepest of the shorter fade
    np.testing.assert_array_equal(style_mix.over_time([1.0], [OTHER], 3), np.tile(OTHER, (3, 1)))


def test_a_schedule_becomes_styles():
    table = {"a": ONE, "b": OTHER}
    single = style_mix.resolve([Moment(0, (Share("a", 1), Share("b", 1)))], table.get, ONE, 2.0, 10)
    np.testing.assert_allclose(single, OTHER)  # half way, twice as far
    moving = style_mix.resolve([Moment(0, (Share("a", 1),)), Moment(1, (Share("b", 1),))], table.get, ONE, 1.0, 50)
    np.testing.assert_allclose(moving[[0, 49]], [ONE, OTHER], atol=1e-6)
