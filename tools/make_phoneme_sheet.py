"""Mouths of an avatar beside the real ones, a pair of rows for ten phonemes each: docs/phonemes.jpg.

    python tools/make_phoneme_sheet.py --avatar runs/renderer/export --data data/faces --out docs/phonemes.jpg

Held-out clips of the avatar's person (training clips, if there are none), driven by their tracked expression; of each
phoneme the frame in which the acoustic model is surest of it.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from PIL import Image

from vast_jax import cli
from vast_jax.audio import PHONES
from vast_jax.data.pipeline import spread
from vast_jax.face.model import load_face_model
from vast_jax.generation.avatar_bundle import load_avatar
from vast_jax.models.recogniser import load_acoustic
from vast_jax.parts.renderer_data import footage
from vast_jax.reporting import image_grid

SHOWN = ("AA", "EH", "IY", "OW", "UW", "M", "F", "TH", "S", "R")
ZOOM, MOUTH = 3, 64  # times; pixels of the crop


@dataclass(frozen=True)
class Args:
    avatar: Path
    data: Path
    out: Path = Path("docs/phonemes.jpg")
    clips: int = 20


def main() -> None:
    args = tyro.cli(Args)
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
        left, top = (int(np.clip(round(v) - MOUTH // 2, 0, 256 - MOUTH)) for v in (x, y))
        for row, picture in ((real, clip.frame(t)), (made, frame)):
            cut = picture[top : top + MOUTH, left : left + MOUTH]
            row.append(cv2.resize(cut, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC))
        cv2.putText(real[-1], phone, (6, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    half = len(SHOWN) // 2
    rows = [row[at : at + half] for at in (0, half) for row in (real, made)]
    Image.fromarray(image_grid(rows)).save(args.out, quality=90)


if __name__ == "__main__":
    cli.run(main)
