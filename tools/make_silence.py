"""What a face does as speech stops: docs/silence.png.

    python tools/make_silence.py --out docs/silence.png

The demo's speech in the demo's style, then six seconds of digital silence.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from vast_jax import audio, cli, media
from vast_jax.generation import generate
from vast_jax.generation.prompt import read_prompt
from vast_jax.infer import DEMO_SPEECH, DEMO_STYLE
from vast_jax.metrics.expression import mean_activation, mesh_lip_aperture
from vast_jax.reporting import plot_curves

SILENCE = 6  # seconds
CURVES = {
    "eyes closed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "brows raised": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows lowered": ("browDownLeft", "browDownRight"),
}


@dataclass(frozen=True)
class Args:
    out: Path
    style_model: str | None = None
    seed: int = 0


def main() -> None:
    arguments = tyro.cli(Args, description=__doc__)
    models = generate.load_models(arguments.style_model)
    speech = np.r_[media.read_speech(DEMO_SPEECH), np.zeros(SILENCE * audio.SAMPLE_RATE, np.float32)]
    frames = audio.video_frames(len(speech), audio.SAMPLE_RATE)
    prompt = read_prompt(DEMO_STYLE, models.face, models.acoustic)
    expression = generate.perform(models, speech, frames, prompt, arguments.seed).expression
    level = np.abs(audio.fit(speech, frames)).reshape(frames, -1).max(1)
    curves = {"speech": {"level": level}}
    gap = mesh_lip_aperture(models.face, np.zeros(len(models.face.identity_basis)), expression)
    curves["lip gap"] = {"over the eyes' distance": gap}
    for label, names in CURVES.items():
        curves[label] = {"activation": mean_activation(models.face, expression, names)}
    plot_curves(arguments.out, curves, title="speech, then silence", x_label="seconds", x_scale=1 / media.FPS)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    cli.run(main)
