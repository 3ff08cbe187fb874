"""Speech, style prompt and avatar to frames: the seven steps of the paper (section 3), for every front end.

speech -> PPG -> (with the prompt's style) expression -> meshes -> frames
"""

from pathlib import Path

import numpy as np

from vast_jax import audio
from vast_jax.face.model import load_face_model
from vast_jax.generation.performance import Models, Performance
from vast_jax.generation.prompt import Prompt
from vast_jax.models import recogniser
from vast_jax.models.style_model import load_style_model
from vast_jax.types import UserError
from vast_jax.weights.exports import expect


def load_models(style: str | None = None, acoustic: str | None = None, face_model: str | Path | None = None) -> Models:
    """Loads the face, acoustic and style models; None takes the shipped ones.

    Raises:
      UserError: missing or damaged weights, or a style model trained for another face or acoustic model.
    """
    face, acoustic_model = load_face_model(face_model), recogniser.load_acoustic(acoustic)
    style_model = load_style_model(style)
    expect(style_model.card, part="style", face_model=face.hash, acoustic_model=acoustic_model.hash)
    return Models(face, acoustic_model, style_model)


def perform(
    models: Models,
    speech: np.ndarray,
    n_frames: int,
    style: Prompt | np.ndarray,
    seed: int = 0,
    gains: tuple[float, float] = (1.0, 1.0),
) -> Performance:
    """Lets the speech be spoken in a style.

    Args:
      models: as from `load_models`.
      speech: mono 16 kHz signal, float32 [n] in [-1, 1].
      n_frames: T, the length of the video.
      style: a prompt whose style to take, or a style vector [S], or one for each frame [T, S] (`style_mix`).
      seed: of the decoder's randomness.
      gains: of the deviation from the mean face, for the parameters tied to speech and for the others.

    Returns:
      Expression and PPG of T frames.
    """
    ppg = models.acoustic(audio.fit(speech, n_frames), n_frames)
    if isinstance(style, Prompt):
        style = style_of(models, style)
    expression = models.style.decode(ppg, style, seed, gains)
    if not np.isfinite(expression).all():
        raise UserError("the style model gave values that are not finite: its weights are damaged or mistrained")
    return Performance(expression, ppg)


def style_of(models: Models, prompt: Prompt) -> np.ndarray:
    """The style vector [S] of a prompt."""
    return models.style.encode(prompt.expression, prompt.ppg, prompt.has_speech)
