"""One sentence in several styles, as frames of the built-in head and as curves: docs/gallery.jpg.

    python tools/make_gallery.py --prompts happy.mp4 angry.mp4 ... --names happy angry ... --out docs/gallery.jpg

A row for each prompt: the prompt's own face at a lively moment, then the head at the same moments of the speech in all
rows, then lip gap, smile, brows and lids over the whole sentence.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro

from vast_jax import audio, cli, media
from vast_jax.generation import generate
from vast_jax.generation.head_avatar import HeadAvatar
from vast_jax.generation.performance import Performance
from vast_jax.generation.prompt import read_prompt
from vast_jax.infer import DEMO_SPEECH
from vast_jax.metrics.expression import mean_activation, mesh_lip_aperture
from vast_jax.types import UserError

FRAMES, SIZE = 7, 256
FACE = slice(int(0.16 * SIZE), int(0.84 * SIZE)), slice(int(0.2 * SIZE), int(0.8 * SIZE))  # of a picture
CURVES = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "brows": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "frown": ("browDownLeft", "browDownRight"),
    "lids": ("eyeBlinkLeft", "eyeBlinkRight"),
}


@dataclass(frozen=True)
class Args:
    prompts: tuple[Path, ...]
    out: Path
    names: tuple[str, ...] = ()  # of the rows; none: the files'
    speech: Path = DEMO_SPEECH
    style_model: str | None = None
    seed: int = 0


def main() -> None:
    arguments = tyro.cli(Args, description=__doc__)
    names = arguments.names or tuple(path.stem for path in arguments.prompts)
    if len(names) != len(arguments.prompts):
        raise UserError(f"{len(arguments.prompts)} prompts, but {len(names)} names")
    models = generate.load_models(arguments.style_model)
    speech = media.read_speech(arguments.speech)
    count = audio.video_frames(len(speech), audio.SAMPLE_RATE)
    head, identity = HeadAvatar(models.face, size=SIZE), np.zeros(len(models.face.identity_basis), np.float32)
    shown = np.linspace(0.08, 0.92, FRAMES) * count
    figure, axes = plt.subplots(
        len(names), FRAMES + 2, figsize=(1.35 * (FRAMES + 3.6), 1.55 * len(names)), squeeze=False,
        gridspec_kw=dict(width_ratios=[1] * (FRAMES + 1) + [2.6], wspace=0.03, hspace=0.06),
    )  # fmt: skip
    prompts = [read_prompt(path, models.face, models.acoustic) for path in arguments.prompts]
    for row, name, prompt in zip(axes, names, prompts, strict=True):
        performance = generate.perform(models, speech, count, prompt, arguments.seed)
        rest = models.style.constants["mean"]
        lively = np.abs(prompt.expression - rest).sum(-1).argmax()
        likeness = Performance(prompt.expression[[lively]], performance.ppg[:1])
        pictures = [next(iter(head.frames(likeness)))]
        frames = list(head.frames(performance))
        pictures += [frames[int(at)] for at in shown]
        for axis, picture in zip(row, pictures, strict=False):
            axis.imshow(picture[FACE])
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=7)
        curves = row[-1]
        gap = mesh_lip_aperture(models.face, identity, performance.expression)
        seconds = np.arange(count) / media.FPS
        curves.plot(seconds, 3 * gap, color="0.75", linewidth=0.8, label="lip gap")
        for label, members in CURVES.items():
            curve = mean_activation(models.face, performance.expression, members)
            curves.plot(seconds, curve, linewidth=1, label=label)
        curves.set(ylim=(-0.1, 1), xticks=[], yticks=[])
    axes[0, 0].set_title("prompt", fontsize=8)
    axes[0, -1].legend(fontsize=5, ncol=3, loc="upper right", framealpha=0.6)
    figure.savefig(arguments.out, dpi=110, bbox_inches="tight", pil_kwargs=dict(quality=85))
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    cli.run(main)
