"""Pictures of the docs, made anew: gallery, phonemes, silence.

python tools/make_pictures.py gallery --prompts happy.mp4 angry.mp4 ... --names happy angry ...
python tools/make_pictures.py phonemes --avatar runs/renderer/export --data data/faces
python tools/make_pictures.py silence
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import matplotlib.pyplot as plt
import numpy as np
import tyro
from PIL import Image

from vast_jax import audio, cli, media
from vast_jax.audio import PHONES
from vast_jax.data.pipeline import spread
from vast_jax.face.model import load_face_model
from vast_jax.generation import generate
from vast_jax.generation.avatar_bundle import load_avatar
from vast_jax.generation.head_avatar import HeadAvatar
from vast_jax.generation.performance import Performance
from vast_jax.generation.prompt import DEMO_STYLE, read_prompt
from vast_jax.infer import DEMO_SPEECH
from vast_jax.metrics.expression import mean_activation, mesh_lip_aperture
from vast_jax.models.recogniser import load_acoustic
from vast_jax.parts.renderer_data import footage
from vast_jax.reporting import image_grid, plot_curves
from vast_jax.types import CROP, UserError

FRAMES, SIZE = 7, 256  # of a row of the gallery; pixels of its head
FACE = slice(int(0.16 * SIZE), int(0.84 * SIZE)), slice(int(0.2 * SIZE), int(0.8 * SIZE))  # of a picture
LIDS, BROWS_UP = ("eyeBlinkLeft", "eyeBlinkRight"), ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
BROWS_DOWN, SMILE = ("browDownLeft", "browDownRight"), ("mouthSmileLeft", "mouthSmileRight")
GALLERY_CURVES = {"smile": SMILE, "brows": BROWS_UP, "frown": BROWS_DOWN, "lids": LIDS}
SILENCE_CURVES = {"eyes closed": LIDS, "brows raised": BROWS_UP, "brows lowered": BROWS_DOWN}
SHOWN = ("AA", "EH", "IY", "OW", "UW", "M", "F", "TH", "S", "R")  # phonemes
ZOOM, MOUTH = 3, 64  # times; pixels of the crop
SILENCE = 6  # seconds


@dataclass(frozen=True)
class Gallery:
    """One sentence in several styles, as frames of the built-in head and as curves.

    A row for each prompt: the prompt's own face at a lively moment, then the head at the same moments of the speech in
    all rows, then lip gap, smile, brows and lids over the whole sentence.
    """

    prompts: tuple[Path, ...]
    """a row each"""
    out: Path = Path("docs/gallery.jpg")
    """the picture"""
    names: tuple[str, ...] = ()
    """of the rows; none: the files'"""
    speech: Path = DEMO_SPEECH
    """the sentence"""
    style_model: str | None = None
    """as of infer.py"""
    seed: int = 0
    """of the decoder's randomness"""


@dataclass(frozen=True)
class Phonemes:
    """Mouths of an avatar beside the real ones, a pair of rows for ten phonemes.

    Held-out clips of the avatar's person (training clips, if there are none), driven by their tracked expression; of
    each phoneme the frame in which the acoustic model is surest of it.
    """

    avatar: Path
    """as of infer.py"""
    data: Path
    """prepared footage of its person"""
    out: Path = Path("docs/phonemes.jpg")
    """the picture"""
    clips: int = 20
    """that are looked at"""


@dataclass(frozen=True)
class Silence:
    """What a face does as speech stops: the demo in its style, then six seconds of digital silence."""

    out: Path = Path("docs/silence.png")
    """the picture"""
    style_model: str | None = None
    """as of infer.py"""
    seed: int = 0
    """of the decoder's randomness"""


Args = (
    Annotated[Gallery, tyro.conf.subcommand("gallery", prefix_name=False)]
    | Annotated[Phonemes, tyro.conf.subcommand("phonemes", prefix_name=False)]
    | Annotated[Silence, tyro.conf.subcommand("silence", prefix_name=False)]
)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: make(cli.parse(Args, argv, prog="tools/make_pictures.py")))


def make(args: Gallery | Phonemes | Silence) -> None:
    """Makes one of the pictures."""
    {Gallery: gallery, Phonemes: phonemes, Silence: silence}[type(args)](args)
    print(f"wrote {args.out}")


def gallery(args: Gallery) -> None:
    names = args.names or tuple(path.stem for path in args.prompts)
    if len(names) != len(args.prompts):
        raise UserError(f"{len(args.prompts)} prompts, but {len(names)} names")
    models = generate.load_models(args.style_model)
    speech = media.read_speech(args.speech)
    count = audio.video_frames(len(speech), audio.SAMPLE_RATE)
    head, identity = HeadAvatar(models.face, size=SIZE), np.zeros(len(models.face.identity_basis), np.float32)
    shown = np.linspace(0.08, 0.92, FRAMES) * count
    figure, axes = plt.subplots(
        len(names), FRAMES + 2, figsize=(1.35 * (FRAMES + 3.6), 1.55 * len(names)), squeeze=False,
        gridspec_kw=dict(width_ratios=[1] * (FRAMES + 1) + [2.6], wspace=0.03, hspace=0.06),
    )  # fmt: skip
    prompts = [read_prompt(path, models.face, models.acoustic) for path in args.prompts]
    for row, name, prompt in zip(axes, names, prompts, strict=True):
        performance = generate.perform(models, speech, count, prompt, args.seed)
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
        for label, members in GALLERY_CURVES.items():
            curve = mean_activation(models.face, performance.expression, members)
            curves.plot(seconds, curve, linewidth=1, label=label)
        curves.set(ylim=(-0.1, 1), xticks=[], yticks=[])
    axes[0, 0].set_title("prompt", fontsize=8)
    axes[0, -1].legend(fontsize=5, ncol=3, loc="upper right", framealpha=0.6)
    figure.savefig(args.out, dpi=110, bbox_inches="tight", pil_kwargs=dict(quality=85))


def phonemes(args: Phonemes) -> None:
    model = load_face_model()
    actor = load_avatar(args.avatar, model, load_acoustic())
    clips = footage(args.data, "held_out", actor.person, least=0) or footage(args.data, "train", actor.person)
    clips = [clip for clip in spread(clips, args.clips) if clip.has_speech]
    real, made = [], []
    for phone in SHOWN:
        column = PHONES.index(phone)
        clip, t = max(
            ((clip, int(np.where(clip.track.valid, clip.ppg[:, column], -1).argmax())) for clip in clips),
            key=lambda at: at[0].ppg[at[1], column],
        )
        frame = actor.render(clip, clip.track.expression)[t]
        x, y = clip.track.landmarks[t, [13, 14], :2].mean(0)
        left, top = (int(np.clip(round(v) - MOUTH // 2, 0, CROP - MOUTH)) for v in (x, y))
        for row, picture in ((real, clip.frame(t)), (made, frame)):
            cut = picture[top : top + MOUTH, left : left + MOUTH]
            row.append(cv2.resize(cut, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC))
        cv2.putText(real[-1], phone, (6, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    half = len(SHOWN) // 2
    rows = [row[at : at + half] for at in (0, half) for row in (real, made)]
    Image.fromarray(image_grid(rows)).save(args.out, quality=90)


def silence(args: Silence) -> None:
    models = generate.load_models(args.style_model)
    speech = np.r_[media.read_speech(DEMO_SPEECH), np.zeros(SILENCE * audio.SAMPLE_RATE, np.float32)]
    frames = audio.video_frames(len(speech), audio.SAMPLE_RATE)
    prompt = read_prompt(DEMO_STYLE, models.face, models.acoustic)
    expression = generate.perform(models, speech, frames, prompt, args.seed).expression
    level = np.abs(audio.fit(speech, frames)).reshape(frames, -1).max(1)
    curves = {"speech": {"level": level}}
    gap = mesh_lip_aperture(models.face, np.zeros(len(models.face.identity_basis)), expression)
    curves["lip gap"] = {"over the eyes' distance": gap}
    for label, names in SILENCE_CURVES.items():
        curves[label] = {"activation": mean_activation(models.face, expression, names)}
    plot_curves(args.out, curves, title="speech, then silence", x_label="seconds", x_scale=1 / media.FPS)


if __name__ == "__main__":
    main()
