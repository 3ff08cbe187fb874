"""What the shipped style weights do with the shipped demo: what makers will see, beyond figures on held-out footage."""

import numpy as np
import pytest

from vast_jax import media
from vast_jax.audio import SAMPLE_RATE, video_frames
from vast_jax.evaluate.control_figures import CLOSED, closing_spans, closings
from vast_jax.generation.generate import load_models, perform, style_of
from vast_jax.generation.prompt import read_prompt
from vast_jax.infer import DEMO_SPEECH, DEMO_STYLE
from vast_jax.metrics.expression import correlation, mesh_lip_aperture
from vast_jax.metrics.expressiveness import blinks_a_minute, parameter_groups
from vast_jax.models.style_model import SHIPPED


@pytest.fixture(scope="module", params=sorted(SHIPPED))
def shipped(request):
    """Models, the demo's speech and style."""
    models = load_models(style=request.param)
    style = style_of(models, read_prompt(DEMO_STYLE, models.face, models.acoustic))
    return models, media.read_speech(DEMO_SPEECH), style


def _speak(models, speech, style, seed=0):
    return perform(models, speech, video_frames(len(speech), SAMPLE_RATE), style, seed)


def _gap(models, expression):
    return mesh_lip_aperture(models.face, np.zeros(len(models.face.identity_basis)), expression)


def test_silence_shuts_the_mouth_and_leaves_the_face_alive(shipped):
    models, speech, style = shipped
    frames = video_frames(len(speech), SAMPLE_RATE)
    expression = _speak(models, np.r_[speech, np.zeros(60 * SAMPLE_RATE, np.float32)], style).expression
    spoken, silent = expression[:frames], expression[frames + 10 :]
    gap = _gap(models, expression)
    assert np.median(gap[frames + 10 :]) < 0.15 * np.quantile(gap[:frames], 0.95)
    weak = parameter_groups(models.face)["weak"]
    lively = silent[:, weak].std(0).mean() / spoken[:, weak].std(0).mean()
    assert lively > 0.6 and 5 < blinks_a_minute(models.face, silent) < 60


def test_lips_meet_at_b_p_and_m(shipped):
    models, speech, style = shipped
    performance = _speak(models, speech, style)
    spans = closing_spans(performance.ppg)
    assert len(spans) >= 3
    assert np.mean(closings(_gap(models, performance.expression), spans) < CLOSED) > 0.9


def test_the_seed_changes_brows_and_blinks_but_not_the_lips(shipped):
    models, speech, style = shipped
    one, again, other = (_speak(models, speech, style, seed).expression for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert correlation(_gap(models, one), _gap(models, other)) > 0.95
    brow = models.face.expression_names.index("browInnerUp")
    assert correlation(one[:, brow], other[:, brow]) < 0.9


def test_a_drawn_style_is_a_face(shipped):
    """Nobody's style has eyes that are open, and alike: z and manner drawn apart had one of them shut."""
    models, speech, _ = shipped
    lids = [models.face.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    for seed in range(8):
        expression = _speak(models, speech, models.style.draw(seed), seed).expression
        left, right = expression[:, lids].mean(0)
        assert abs(left - right) < 0.15 and max(left, right) < 0.45
